"""``python -m ssljax``."""

import os
import sys

from ssljax.commands import main
from ssljax.errors import EXIT_DISK
from ssljax.host_memory import keep_freed_memory

if __name__ == "__main__":
    keep_freed_memory()
    code = main()
    if code == EXIT_DISK:
        # What a failed save left half-done complains, in pages, while the interpreter winds down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
