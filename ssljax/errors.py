"""The one exception of `ssljax` that a user can act on."""


class UsageError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what was given, what was wanted, what to do. The command line
    prints it and exits with code 2; nothing half-written is left behind.
    """
