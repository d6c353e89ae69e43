"""Whether the server can serve, as a container's check or a proxy asks it: without sign-in."""

from pathlib import Path

import pytest
from conftest import Postgres
from starlette.testclient import TestClient

from annotate.app import build_app
from data.store import open_store
from data.version import version


@pytest.mark.parametrize("base", ["", "/label"])
def test_health_is_told_to_anybody_at_the_root_and_under_the_path(base: str, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/concord.db")
    with TestClient(build_app(store, base=base, gradio=False)) as http:
        for path in {"/healthz", f"{base}/healthz"}:
            answer = http.get(path, headers={"Accept": "text/html"}, follow_redirects=False)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert http.get("/healthz/more").status_code == 401
        assert http.get(f"{base}/openapi.json").json()["info"]["version"] == version()
    store.close()


def test_health_is_503_while_the_store_is_down_and_200_when_it_is_back(stoppable_pg: Postgres) -> None:
    store = open_store(stoppable_pg.create())
    with TestClient(build_app(store, gradio=False)) as http:
        assert http.get("/healthz").status_code == 200
        stoppable_pg.stop()
        answer = http.get("/healthz")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_down")
        stoppable_pg.start()
        assert http.get("/healthz").status_code == 200
    store.close()
