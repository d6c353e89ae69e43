"""Data: what every room knows, the record types, the store, the ledger, manifests, text and statistics."""

import sys
from importlib.util import find_spec

if find_spec("orjson") is None:  # stands for all: a checkout without its .venv finds the rooms, and none of their needs
    raise ImportError(
        f"{sys.executable} lacks what Concord needs: type `source .venv/bin/activate`, or `make demo` to install it",
        name=__name__,
    )
