"""The one exception of `theory` that a user can act on."""


class InputError(ValueError):
    """Input that theory cannot use.

    The message is one line: what was given, what was wanted, what to do. The command line
    prints it and exits with code 2; nothing has been written by then.
    """
