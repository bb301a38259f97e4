"""The one exception of `ssljax` that a user can act on, and the exit code of a disk that fails."""

EXIT_DISK = 74
"""Input or output failed, in the numbering of sysexits.h."""


class UsageError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what was given, what was wanted, what to do. The command line
    prints it and exits with code 2; nothing half-written is left behind.
    """
