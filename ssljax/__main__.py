"""``python -m ssljax``."""

import sys

from ssljax.commands import main

if __name__ == "__main__":
    sys.exit(main())
