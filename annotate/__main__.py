"""Lists the commands of annotate: python -m annotate."""

from data.command import list_commands

if __name__ == "__main__":
    raise SystemExit(list_commands("annotate"))
