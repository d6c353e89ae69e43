"""Lists the commands of curate: python -m curate."""

from data.command import list_commands

if __name__ == "__main__":
    raise SystemExit(list_commands("curate"))
