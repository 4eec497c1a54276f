"""What all HTML pages share: their style sheet and macros, numbers as text, and JSON inside a script element."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from analysis.errors import AnalysisError


def environment(package: str = "analysis.pages") -> Environment:
    """Renders the templates of a package, with every text escaped.

    ``{% from "macros.html" import … %}`` gives the shared macros, whichever package it is.

    Parameters
    ----------
    package : str
        Whose folder ``template`` the others are looked for in.
    """
    shared = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(
            lambda name: part("analysis.pages", name) if name == "macros.html" else part(package, "template", name)
        ),
    )
    filters: dict[str, Callable[..., str]] = {
        "score": score_text,
        "signed": lambda value, digits=3: minus_sign(f"{value:+.{digits}f}"),
        "number": lambda value, digits=2: minus_sign(f"{value:.{digits}f}"),
        "count": lambda value: f"{value:,}",
        "bytes": bytes_text,
        "duration": duration_text,
    }
    shared.filters |= filters
    return shared


def part(package: str, *path: str) -> str:
    """Text of a file that ships with `package`."""
    return files(package).joinpath(*path).read_text(encoding="utf-8")


def style() -> Markup:
    """The style sheet."""
    return Markup(part("analysis.pages", "style.css"))  # noqa: S704 - shipped with the package


def script_json(value: Any) -> Markup:
    """JSON that may stand in a script element, whatever texts it holds.

    Raises
    ------
    AnalysisError
        If the value holds NaN or infinity.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise AnalysisError(f"a score is no finite number: {error}") from None
    for character, code in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, code)
    return Markup(text)  # noqa: S704 - escaped just above


def minus_sign(text: str) -> str:
    """Text with a minus sign instead of a hyphen, and none before a zero."""
    if text[:1] in "+-" and not any(digit in text for digit in "123456789"):
        text = text[1:]
    return text.replace("-", "−")


def score_text(value: float) -> str:
    """Three decimals."""
    return minus_sign(f"{value:.3f}")


def bytes_text(count: float | None) -> str:
    """E.g. ``1.3 GB``; empty for ``None``."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("B", "kB", "MB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration_text(seconds: float | None) -> str:
    """E.g. ``0.4 s``, ``3 min 20 s`` or ``2 h 05 min``; empty for ``None``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
