"""The one exception of `experiments` that a user can act on."""


class InputError(ValueError):
    """Input that an experiment cannot use.

    The message is one line: what was given, what was wanted, what to do. The command line
    prints it and exits with code 2; nothing half-written is left by then.
    """
