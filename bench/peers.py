"""Peers, each in an environment of its own, so that none moves a version of ours.

    python -m bench.peers                 (which are there)
    python -m bench.peers dedup           (datasketch and rensa, at the versions below)
    python -m bench.peers all

They lie under .peers/ in the checkout, or in the folder CONCORD_PEERS names; the measurements find them there.
Peers that our own environment has for the tests (krippendorff, rouge_score, TRL, openai) need none.
"""

import argparse
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS: dict[str, tuple[str, ...]] = {
    "dedup": ("datasketch==2.0.0", "rensa==0.5.0", "pyarrow==26.0.1"),
    "aggregate": ("crowd-kit==1.4.2", "scikit-learn==1.9.1"),
    "label-studio": ("label-studio==1.23.2",),
    "potato": ("potato-annotation==2.12.1",),
}
"""One environment each: the last two do not agree on what they stand on."""
NEEDS = {"dedup": ("dedup",), "aggregate": ("aggregate",), "closed_loop": ("label-studio", "potato")}
"""Which of them a measurement is compared with."""


def home() -> Path:
    """The folder the environments lie in."""
    return Path(os.environ.get("CONCORD_PEERS") or ROOT / ".peers").absolute()


def stamp(name: str) -> Path:
    """What was installed, as `pip freeze` says it: written last, so that half an environment does not count."""
    return home() / name / "installed.txt"


def there(name: str) -> bool:
    """Whether an environment is whole and at the versions of PINS."""
    if not stamp(name).exists():
        return False
    lines = {line.lower() for line in stamp(name).read_text("utf-8").splitlines()}
    return all(pin in lines for pin in PINS[name])


def python_of(name: str) -> str | None:
    """The interpreter of an environment, or None."""
    return str(home() / name / "bin" / "python") if there(name) else None


def program_of(name: str) -> Path | None:
    """The command of the peer of that name, or None."""
    return home() / name / "bin" / name if there(name) else None


def versions(name: str, given: object = None) -> dict[str, str]:
    """The versions of PINS in an environment of ours; nothing is known of one that a flag gave."""
    if not there(name) or (given and Path(str(given)) != home() / name / "bin" / "python"):
        return {}
    return dict(pin.split("==") for pin in PINS[name])


def missing(measurement: str) -> list[str]:
    """The environments a measurement could be compared with that are not there."""
    return [name for name in NEEDS.get(measurement, ()) if not there(name)]


def absent(measurement: str) -> str:
    """What a measurement says in place of its ratio."""
    return f"ratio: no peer installed: python -m bench.peers {measurement}"


def install(name: str) -> None:
    """Make one environment anew, whole or not at all.

    Raises:
        SystemExit: pip could not, with its own last line.
    """
    place = home() / name
    shutil.rmtree(place, ignore_errors=True)
    print(f"installing {', '.join(PINS[name])} into {place} ...", flush=True)
    venv.create(place, with_pip=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    told = subprocess.run([*pip, "install", "--quiet", *PINS[name]], env=outside, capture_output=True, text=True)
    if told.returncode:
        shutil.rmtree(place, ignore_errors=True)
        last = (told.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise SystemExit(f"{name}: {last}; nothing was left behind, try again once that is mended")
    frozen = subprocess.run([*pip, "freeze"], env=outside, capture_output=True, text=True, check=True).stdout
    stamp(name).write_text(frozen, "utf-8")


def main() -> int:
    """Install what is named and is not there yet; then say what is there."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted({*NEEDS, *PINS, "all"})
    args.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    asked = args.parse_args()
    for name in asked.names:
        if name not in known:
            args.error(f"no peers are named {name}; there are {', '.join(known)}")
    wanted = {one for name in asked.names for one in (PINS if name == "all" else NEEDS.get(name, (name,)))}
    for name in PINS:
        if name in wanted and not there(name):
            install(name)
    for name, pins in PINS.items():
        print(f"{name:13} {'there' if there(name) else 'absent':7} {', '.join(pins)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
