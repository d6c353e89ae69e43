"""A command of ours whose ids and clock come from a seed, so that two tours can be held beside each other.

    python -m tour.seeded SEED annotate.serve --port 0

Leases, one-time links and people's ids are drawn at random, and a judgment's id is a hash over them: rightly so, and
no two projects are ever alike. Here they are drawn from the seed, and the store's clock goes forward by a few seconds
at each look. All else is the command's own. Never for people: whoever knows the seed can sign in as anybody.
"""

import random
import runpy
import secrets
import sys
import threading
from itertools import count
from typing import Any

BEGIN_MS = 1_767_600_000_000
"""5 January 2026, 08:00 UTC."""
STEP_MS = 4_000


class _Shared(random.Random):
    """One sequence for whoever asks next, from any thread."""

    lock = threading.Lock()

    def getrandbits(self, k: int, /) -> int:
        with self.lock:
            return super().getrandbits(k)


def plant(seed: str) -> None:
    """From here on this process draws its secrets from the seed and reads a clock that the seed begins."""
    from data.store_tx import Tx

    drawn = _Shared(f"tour {seed}")
    ticks = count(BEGIN_MS, STEP_MS)

    def hexadecimal(nbytes: int = 32) -> str:
        return f"{drawn.getrandbits(8 * nbytes):0{2 * nbytes}x}"

    def now(tx: Any) -> int:
        if tx._now is None:
            tx._now = next(ticks)
        return int(tx._now)

    named: Any = secrets
    named.token_hex = hexadecimal
    named.token_urlsafe = lambda nbytes=32: hexadecimal(nbytes)
    shuffling: Any = random
    shuffling.SystemRandom = lambda: drawn
    store: Any = Tx
    store.now = now


def main() -> None:
    """Plant the seed and run the command in this process."""
    if len(sys.argv) < 3:
        print("python -m tour.seeded SEED ROOM.COMMAND …", file=sys.stderr)
        raise SystemExit(2)
    _, seed, module, *words = sys.argv
    plant(seed)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
