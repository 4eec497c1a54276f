"""Imports of other people's libraries that some work needs and that may be missing or broken."""

from __future__ import annotations

import importlib
from types import ModuleType

from benchmark.errors import UserError


def require(module: str, wanted_by: str) -> ModuleType:
    """Import a module by name.

    Parameters
    ----------
    module
        E.g. ``"lightning.pytorch"``.
    wanted_by
        What needs it, to begin the message with.

    Raises
    ------
    UserError
        If it cannot be imported, for whatever reason.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # a library that is broken may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        package = module.partition(".")[0]
        raise UserError(
            f"{wanted_by}: cannot import {module}: {reason}; install {package} again, and see `bench doctor`"
        ) from error
