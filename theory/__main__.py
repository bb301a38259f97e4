"""Run `python -m theory`."""

import sys

from theory.commands import main

if __name__ == "__main__":
    sys.exit(main())
