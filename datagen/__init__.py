"""Datagen: asks a model."""

try:
    import data.errors as _ours  # noqa: F401
except ImportError:
    raise ImportError(
        "a module named 'data' hides Concord's, such as data.py in this folder: type `concord datagen COMMAND ...`",
        name=__name__,
    ) from None
