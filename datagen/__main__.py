"""Lists the commands of datagen: python -m datagen."""

from data.command import list_commands

if __name__ == "__main__":
    raise SystemExit(list_commands("datagen"))
