"""The image and the compose file, as far as they can be held to their word without Docker.

What is written in them is taken apart and its parts run here: the server's command, its health check, the
settings that are refused. That the image builds is for whoever has Docker.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from serving import add_person, opened, served
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from annotate.app import build_app

DOCS = ("docs/annotating.md", "docs/annotating.zh.md")
REFUSES = re.compile(r"\$\{POSTGRES_PASSWORD:\?[^}]+\}")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, each with what follows it."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.strip().partition(" ") for line in lines) if word]


def last_stage() -> dict[str, str]:
    """What the image that is kept says; of several instructions of a kind, the last."""
    found: dict[str, str] = {}
    for word, rest in instructions():
        if word == "FROM":
            found = {}
        found[word] = rest
    return found


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return loaded


def with_defaults(text: str) -> str:
    """A value of the compose file where the environment sets nothing."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def server_flags() -> list[str]:
    """The compose file's flags of the server, but for the place to listen: the tests' server has its own."""
    words = [with_defaults(word) for word in compose()["services"]["app"]["command"]]
    assert words[:2] == ["annotate", "serve"]
    return [word for word in words[2:] if not word.startswith(("--host", "--port"))]


def team(name: str) -> str:
    """The section on running it for a team, to the end of its last part."""
    text = (ROOT / name).read_text("utf-8")
    head = "## Running it for a team\n" if name == DOCS[0] else "## 为团队运行\n"
    return re.split(r"^## ", text.split(head)[1], flags=re.M)[0]


# ── the image ────────────────────────────────────────────────────────────────


def test_the_image_runs_as_nobody_special_in_a_folder_of_its_own() -> None:
    kept = last_stage()
    assert int(kept["USER"]) > 0
    made = next(rest for word, rest in instructions() if word == "RUN" and "useradd" in rest)
    assert f"--uid {kept['USER']}" in made
    assert kept["VOLUME"] == kept["WORKDIR"] == "/workspace"
    assert f"CONCORD_WORKSPACE={kept['VOLUME']}" in kept["ENV"]


def test_the_image_holds_no_secret_and_no_source() -> None:
    kept = " ".join(rest for _, rest in instructions())
    assert not re.search(r"password|secret|token|api_key", kept, re.I)
    copied = [rest for word, rest in instructions() if word == "COPY"]
    assert copied[-1].startswith("--from=build /opt/concord ")


@pytest.mark.parametrize(
    ("extras", "wanted"), [("", "."), ("train", ".[train]"), ("train,evaluation", ".[train,evaluation]")]
)
def test_training_is_installed_only_where_it_is_asked_for(extras: str, wanted: str) -> None:
    (default,) = [rest for word, rest in instructions() if word == "ARG" and rest.startswith("EXTRAS")]
    assert default == 'EXTRAS=""'
    (install,) = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    named = install.split("constraints.txt ")[1]
    said = subprocess.run(
        ["sh", "-c", f"echo {named}"], env={"EXTRAS": extras}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == wanted


def test_the_servers_command_and_the_images_health_check_work(fresh_pg: str) -> None:
    """The compose file's own words, over PostgreSQL; the check is the image's, at this server's port."""
    check = json.loads(last_stage()["HEALTHCHECK"].partition("CMD ")[2])
    with served(fresh_pg, *server_flags()) as server:
        port = server.url.rpartition(":")[2]
        asked = [sys.executable, *check[1:-1], check[-1].replace("7860", port)]
        assert subprocess.run(asked, check=False, capture_output=True).returncode == 0
    assert subprocess.run(asked, check=False, capture_output=True).returncode != 0


@pytest.mark.parametrize(
    ("address", "believed"), [("172.18.0.1", True), ("203.0.113.9", False), ("192.168.1.5", False)]
)
def test_only_a_proxy_in_a_network_that_docker_makes_is_believed(address: str, believed: bool, tmp_path: Path) -> None:
    (named,) = [flag.partition("=")[2] for flag in server_flags() if flag.startswith("--proxies=")]
    url = f"sqlite:///{tmp_path}/concord.db"
    link = add_person(url, "Ana", [])
    with opened(url) as store:
        served_app = ProxyHeadersMiddleware(build_app(store, gradio=False), trusted_hosts=named)  # as uvicorn has it
        http = TestClient(served_app, client=(address, 50000), follow_redirects=False)  # type: ignore[arg-type]
        joined = http.post(f"/join/{link}", data={"password": ""}, headers={"X-Forwarded-Proto": "https"})
    assert joined.status_code == 303
    assert ("secure" in joined.headers["set-cookie"].lower()) == believed


def test_who_starts_it_waits_no_longer_than_ten_seconds_for_the_first_check() -> None:
    """`docker compose up --wait` ends with a check that passed, and Docker makes the first after one interval."""
    said = re.search(r"--interval=(\d+)s", last_stage()["HEALTHCHECK"])
    assert said
    assert int(said[1]) <= 10


def test_image_and_compose_file_speak_of_one_port() -> None:
    app = compose()["services"]["app"]
    assert last_stage()["EXPOSE"] == "7860"
    assert "--port=7860" in app["command"]
    assert json.loads(last_stage()["CMD"])[-2:] == ["--port", "7860"]
    assert all(port.endswith(":7860") for port in app["ports"])


# ── the compose file ─────────────────────────────────────────────────────────


def test_nothing_starts_without_a_password_and_none_is_written_down() -> None:
    app, db = compose()["services"]["app"], compose()["services"]["db"]
    assert REFUSES.fullmatch(app["environment"]["PGPASSWORD"])
    assert REFUSES.fullmatch(db["environment"]["POSTGRES_PASSWORD"])
    assert re.search(r"^POSTGRES_PASSWORD=$", (ROOT / ".env.example").read_text("utf-8"), re.M)
    assert ".env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_only_this_machine_reaches_the_server_and_nobody_the_database() -> None:
    services = compose()["services"]
    assert all(port.startswith("127.0.0.1:") for port in services["app"]["ports"])
    assert "ports" not in services["db"]


def test_work_outlives_the_containers() -> None:
    described = compose()
    kept = {mount.split(":")[0]: mount.split(":")[1] for s in described["services"].values() for mount in s["volumes"]}
    assert set(kept) == set(described["volumes"])
    assert kept["workspace"] == last_stage()["VOLUME"]


def test_the_server_waits_for_a_database_that_answers() -> None:
    services = compose()["services"]
    assert services["app"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["db"]["healthcheck"]["test"][1] == "pg_isready"
    store = services["app"]["environment"]["CONCORD_STORE"]
    assert store == f"postgresql://{services['db']['environment']['POSTGRES_USER']}@db/concord"


def test_every_setting_of_the_compose_file_is_in_the_example() -> None:
    settings = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text("utf-8")))
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.M))
    assert settings == example


def test_the_builder_sees_no_more_than_the_wheel_is_made_of() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    assert sorted(path for path in let_in if not Path(ROOT / path).exists()) == []
    assert {path for path in let_in if (ROOT / path).is_dir()} == {"data", "annotate", "curate", "datagen", "train"}
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= set(let_in)


def test_a_hidden_file_in_a_room_such_as_env_stays_from_the_builder() -> None:
    """Docker goes by the last rule that fits, so what is kept out of every folder follows what is let in."""
    rules = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] not in ("#", "")]
    last_let_in = max(at for at, rule in enumerate(rules) if rule.startswith("!"))
    assert {"**/.*", "**/__pycache__", "**/*.py[cod]"} == set(rules[last_let_in + 1 :])


# ── the page about it ────────────────────────────────────────────────────────


def test_what_one_types_in_the_servers_container_works(tmp_path: Path) -> None:
    lines = re.findall(r"^docker compose exec app concord (.*)$", team(DOCS[0]), re.M)
    assert len(lines) == 2
    environment = {**os.environ, "CONCORD_WORKSPACE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for line in lines:
        argv = [sys.executable, "-c", "import sys\nfrom data.console import main\nsys.exit(main())", *shlex.split(line)]
        ended = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{line}: {ended.stderr}"
    assert "https://label.example.org/join/" in ended.stdout


def test_both_languages_say_the_same_to_type() -> None:
    typed = [
        [re.sub(r"\s+#.*", "", block) for block in re.findall(r"^```text\n(.*?)^```$", team(n), re.M | re.S)]
        for n in DOCS
    ]
    assert typed[0] == typed[1] != []


def test_backups_copied_out_again_lie_beside_the_earlier_ones() -> None:
    """Without the dot Docker copies the folder into the one that is there from last time: backups/backups."""
    copied = re.findall(r"^docker compose cp app:(\S+) (\S+)", team(DOCS[0]), re.M)
    assert copied == [("/workspace/backups/.", "./backups")]


def test_the_password_is_changed_for_the_databases_own_user() -> None:
    said = re.search(r"^docker compose exec db psql --username=(\S+) --command='\\password'$", team(DOCS[0]), re.M)
    assert said
    assert said[1] == compose()["services"]["db"]["environment"]["POSTGRES_USER"]


@pytest.mark.parametrize("name", DOCS)
def test_every_setting_and_volume_that_is_named_exists(name: str) -> None:
    said = team(name)
    example = (ROOT / ".env.example").read_text("utf-8")
    named = set(re.findall(r"\b(?:CONCORD|POSTGRES)_[A-Z_]+", said)) - {"CONCORD_STORE"}
    assert {"POSTGRES_PASSWORD", "CONCORD_BASE_PATH", "CONCORD_PROXIES"} <= named
    assert {setting for setting in named if f"{setting}=" not in example} == set()
    assert all(f"`{volume}`" in said for volume in compose()["volumes"])
    assert with_defaults(compose()["services"]["app"]["command"][-1]).split("=")[1] in said
