"""What a user can put right, told from what only a developer can."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from analysis import AnalysisError
from encoders import EncoderError
from tasks import DatasetError


class UserError(Exception):
    """Something the user can put right; the message is one line that says what, where and what to do."""


#: Shown as one line with exit code 2; anything else is a bug and shows its traceback.
USER_ERRORS = (UserError, AnalysisError, DatasetError, EncoderError)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Error for a name that the registry does not hold, with the nearest one that it does.

    Parameters
    ----------
    kind
        What was looked up, singular, e.g. ``"task"``.
    name
        What was asked for.
    known
        Valid names.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(names)}." if names else ""
    return UserError(f"unknown {kind} {name!r}.{hint}")
