"""The one exception that reaches users."""

from __future__ import annotations

import difflib


class UserError(Exception):
    """Bad input. The message is one line that names the file or option and says what to do about it.

    The command line prints it without a traceback and exits with status 2.
    """


def did_you_mean(name, known) -> str:
    """The end of a message about an unknown name: "; did you mean 'x'?", or the known names if none is near."""
    known = [str(k) for k in known]
    # A right last part in a wrong group is nearer than any spelling: batch_size for train.batch_size.
    tail = str(name).split(".")[-1]
    close = [k for k in known if k.split(".")[-1] == tail] or difflib.get_close_matches(str(name), known, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else "; known: " + ", ".join(known)
