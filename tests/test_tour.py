"""The tour: what is true of its people and answers, its seeded server, and the whole chain at a small size."""

import json
import math
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.agreement import krippendorff_alpha
from data.errors import ConcordError, Refused
from tour import going
from tour.going import Asked, go
from tour.people import BAD_CREW, CREW
from tour.proof import Near, Seed, claims, mean_interval, wilson
from tour.stages import open_desk, run
from tour.truth import Vote, better, expected_alpha, worth
from tour.words import CLAIMS, STAGES

ASKED = 'For "handwriting", keep a short list and then call ahead.'


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module", autouse=True)
def own_port() -> Iterator[None]:
    """One port for every tour of this file, which no tour that goes on beside it has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(going, "PORT", next(port for port in range(going.PORT + 1, going.PORT + 100) if _is_free(port)))
        yield


def test_worth_follows_the_guidelines_and_no_two_answers_are_alike() -> None:
    plain = "The weather changes fast."
    assert better(ASKED, plain)
    assert better(f"{plain} {plain} {plain}", plain)
    assert better(f"{plain}\n\n1. {plain}", plain)
    assert better(plain, f"{plain}\n\n```python\nx\n```")
    assert better(plain, "Do you mean small talk?")
    assert better(plain, "I'm sorry, but I can't help with that.")
    assert better(plain, "")
    six, nine = (" ".join([plain] * n) for n in (6, 9))
    assert abs(worth(six) - worth(nine)) < 0.01
    assert worth(six) != worth(nine)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_alpha_that_skills_imply_is_the_mean_over_many_simulated_projects(share: float) -> None:
    skill = {f"p{n}": value for n, value in enumerate((0.95, 0.8, 0.7, 0.55))}
    dice = random.Random(1)
    tasks = {f"t{n}": dice.random() < share for n in range(150)}
    who = {task: dice.sample(sorted(skill), dice.choice((1, 2, 3))) for task in tasks}
    votes = [Vote(task, person, True) for task, people in who.items() for person in people]
    foretold = expected_alpha(votes, skill, tasks)
    seen = []
    for _ in range(300):
        counts = np.zeros((len(tasks), 2), dtype=np.int64)
        for row, (task, people) in enumerate(who.items()):
            for person in people:
                first = tasks[task] == (dice.random() < skill[person])
                counts[row, 0 if first else 1] += 1
        seen.append(krippendorff_alpha(counts).value)
    mean, low, high = mean_interval([one for one in seen if one is not None])
    assert low - 0.01 <= foretold <= high + 0.01, (mean, foretold)


def test_people_of_the_bad_crew_are_told_from_the_others() -> None:
    assert min(one.skill for one in CREW) > 0.6 > max(one.skill for one in BAD_CREW)
    assert len(CREW) == len(BAD_CREW) == 12
    assert [one.name for one in CREW] == [one.name for one in BAD_CREW]


SEEDED = "import secrets, random, json; s = list('abcdef'); random.SystemRandom().shuffle(s)"


def drawn(seed: str) -> Any:
    code = f"from tour.seeded import plant; plant('{seed}'); {SEEDED}; print(json.dumps([secrets.token_hex(8), s]))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_a_seeded_command_draws_the_same_ids_for_the_same_seed_and_others_for_another() -> None:
    assert drawn("a") == drawn("a")
    assert drawn("a") != drawn("b")


def seed_of(bad: bool, gate: str, shift: float = 0.0) -> Seed:
    alpha = Near("alpha", 0.5 + shift, 0.45 + shift, 0.55 + shift, 0.5)
    people = [Near("a", 0.8, 0.7, 0.9, 0.78 + 2 * shift)]
    return Seed(0, bad, alpha, people, wilson(50, 500), 0.1 + shift, wilson(80 if shift == 0 else 50, 100), gate)


def test_each_claim_holds_on_what_is_so_and_fails_on_what_is_not() -> None:
    right = claims([seed_of(False, "pass"), seed_of(False, ""), seed_of(True, "fail")], 3)
    assert {one.key: one.held for one in right} == dict.fromkeys(CLAIMS, True)
    wrong = claims([seed_of(False, "fail", 0.2), seed_of(False, "", 0.2), seed_of(True, "pass", 0.2)], 0)
    assert {one.key: one.held for one in wrong} == dict.fromkeys(CLAIMS, False)


def test_an_interval_of_one_value_reaches_everywhere() -> None:
    assert mean_interval([0.3]) == (0.3, -math.inf, math.inf)


def test_a_stage_that_ends_otherwise_says_which_and_why(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "desk", lambda key: None)
    with pytest.raises(ConcordError, match=r"curate.verify ended with 2 where the tour needs 0: error: .*is not there"):
        run(desk, "verify", "curate.verify", tmp_path / "nothing")
    assert list((tmp_path / "desk" / "logs").iterdir())


def test_where_the_port_is_taken_another_is_and_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", going.PORT)), going.answers(tmp_path) as url:
        assert url.startswith("http://127.0.0.1:")
        assert f":{going.PORT}" not in url
    assert "digests will not be those of other tours" in capsys.readouterr().err


def test_a_folder_that_is_no_tour_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "tour").mkdir()
    (tmp_path / "tour" / "mine.txt").write_text("dear to me")
    with pytest.raises(Refused, match="no tour's folder"):
        go(Asked(tmp_path / "tour", 1, 1, 60, 20, None))
    assert (tmp_path / "tour" / "mine.txt").exists()


def test_a_second_tour_leaves_the_folder_to_the_one_that_is_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(tmp_path / "tour", 1, 1, 60, 20, None)

    def begun(place: Path) -> None:
        (place / "work").touch()
        monkeypatch.setattr(going, "answers", lambda _: pytest.fail("two tours are at it"))
        with pytest.raises(Refused, match="another tour is going on"):
            go(asked)
        assert (place / "work").exists()
        raise KeyboardInterrupt

    for _ in range(2):  # one that was stopped is in nobody's way
        monkeypatch.setattr(going, "answers", begun)
        with pytest.raises(KeyboardInterrupt):
            go(asked)


@pytest.fixture(scope="module")
def toured(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A tour of one small seed, all stages."""
    place = tmp_path_factory.mktemp("toured") / "tour"
    summary, _ = go(Asked(place, 1, 1, 48, 16, tiny))
    return place, summary


def test_the_whole_chain_runs_and_every_stage_has_its_words(toured: tuple[Path, dict[str, Any]]) -> None:
    place, summary = toured
    told = json.loads((place / "tour.json").read_text("utf-8"))
    assert summary["stages"] == len(STAGES)
    assert {key.split("/")[1] for key in told["digests"]} >= {"respond", "export", "reward", "sft", "dpo", "gate"}
    assert {claim["key"] for claim in told["claims"]} == {*CLAIMS} - {"refuses"}


def test_the_report_is_whole_in_both_languages_and_its_links_lead_somewhere(
    toured: tuple[Path, dict[str, Any]],
) -> None:
    import re

    place, _ = toured
    page = (place / "report.html").read_text("utf-8")
    for title in ("One pair, from its seed to the adapter", "一个偏好对：从种子到适配器", "Beside the truth"):
        assert title in page
    links = [link for link in re.findall(r'href="([^"#]+)"', page) if "://" not in link]
    assert len(links) > 15
    assert all((place / link).exists() for link in links)
    trail = page.split('class="trail"')[1].split("</ol>")[0]
    for kind in ("seed task", "prompt", "judgment", "row of the export", "trained on it", "gate"):
        assert f">{kind}<" in trail


def test_a_second_tour_comes_to_the_same_digests(
    toured: tuple[Path, dict[str, Any]], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to the export: what training makes of the same export is held to the same bytes by its own tests."""
    place, _ = toured
    monkeypatch.setattr("tour.chain.train", lambda desk, chain: None)
    known = json.loads((place / "tour.json").read_text("utf-8"))["digests"]
    with going.answers(tmp_path) as url:
        (again,) = going.follow_seeds(Asked(tmp_path / "again", 1, 1, 48, 16, tiny), url, tiny)
    made = {f"0/{stage.key}": stage.digest for stage in again.desk.stages if stage.digest}
    assert "0/export" in made
    assert made == {key: known[key] for key in made}
