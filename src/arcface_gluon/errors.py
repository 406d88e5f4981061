"""The one exception that reaches users."""


class UserError(Exception):
    """Bad input. The message is one line that names the file or option and says what to do about it.

    The command line prints it without a traceback and exits with status 2.
    """
