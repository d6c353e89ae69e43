"""Annotate: asks a person. Load tasks, serve the labelling page, keep people and progress."""

try:
    import data.errors as _ours  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(
        "a module named 'data' hides Concord's, such as data.py in this folder: type `concord annotate COMMAND ...`",
        name=__name__,
    ) from None
except ImportError as error:  # data says what is missing; with our name on it, python prints that line alone
    raise ImportError(str(error), name=__name__) from None
