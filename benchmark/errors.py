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


#: Names listed at most where none is near.
_LISTED = 20


def unknown_name(kind: str, name: str, known: Iterable[str], see: str = "") -> UserError:
    """Error for a name that is not there, with the nearest one that is, or all of them, and where to look.

    Parameters
    ----------
    kind
        What was looked up, singular, e.g. ``"task"``.
    name
        What was asked for.
    known
        Valid names.
    see
        Command that lists them, e.g. ``"bench list tasks"``.
    """
    return UserError(f"unknown {kind} {name!r}.{names_instead(name, known, see)}")


def names_instead(name: str, known: Iterable[str], see: str = "") -> str:
    """The sentence after a name that is not there, with a space before it; arguments as of `unknown_name`.

    E.g. ``Did you mean 'mtt'? `bench list tasks` lists all``, or the names themselves where none is near.
    """
    names = sorted(known)
    # Options are alike in their dashes, and show by them where they begin.
    bare = {each.lstrip("-"): each for each in names}
    near = get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.5)
    if near:
        found = bare[near[0]]
        hint = f" Did you mean {found if found.startswith('-') else repr(found)}?"
        return f"{hint} `{see}` lists all" if see else hint
    if not names:
        return f" There is none; see `{see}`" if see else " There is none."
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    hint = f" There are: {', '.join(names[:_LISTED])}{more}"
    return f"{hint}; `{see}` lists them" if see else f"{hint}."
