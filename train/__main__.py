"""Lists the commands of train: python -m train."""

from data.command import list_commands

if __name__ == "__main__":
    raise SystemExit(list_commands("train"))
