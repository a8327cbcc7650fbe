"""The command line: `python -m wordkit COMMAND FILE`."""

import sys
from pathlib import Path

from wordkit.counting import count_words

USAGE = "usage: python -m wordkit count FILE"


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    match arguments:
        case ["count", name]:
            print(count_words(Path(name).read_text(encoding="utf-8")))
            return 0
        case _:
            print(USAGE, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
