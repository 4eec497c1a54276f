"""Python code of others, named by a registry entry and imported when its encoder is built."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from encoders import EncoderError


def import_module(name: str) -> ModuleType:
    """The module `name`; `EncoderError` with the reason if it cannot be imported."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise EncoderError(f"module {name!r} cannot be imported: {reason}") from error


def attribute(owner: Any, name: str, owner_name: str) -> Any:
    """`owner.name`; `EncoderError` that says what is missing where."""
    try:
        return getattr(owner, name)
    except AttributeError:
        raise EncoderError(f"{owner_name} has no {name!r}, which its interface asks for") from None
