"""``python -m ssljax``."""

import sys

from ssljax.commands import main
from ssljax.host_memory import keep_freed_memory

if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
