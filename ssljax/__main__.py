"""Run ``python -m ssljax``."""

import os
import sys

from ssljax.cli.main import main
from ssljax.system.cpu import keep_freed_memory
from ssljax.system.errors import EXIT_DISK

if __name__ == "__main__":
    keep_freed_memory()
    code = main()
    if code == EXIT_DISK:
        # What a failed save left half-done complains, in pages, while the interpreter winds down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
