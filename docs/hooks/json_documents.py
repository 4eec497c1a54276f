"""Tables of the JSON documents that commands print, read off the types that they are made as."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel

from analysis.documents.analysis import AnalysisDocument
from analysis.documents.design import DesignDocument
from analysis.report.document import Document
from analysis.speed import SpeedDocument
from benchmark.commands.data import PreparedRow
from benchmark.commands.listing import ListedEntry
from benchmark.commands.plug_in import ImportedEncoder
from benchmark.commands.published import FetchedWeights, TaggedFile
from benchmark.commands.store import VerifiedStore
from benchmark.comparison.compare import Comparison
from benchmark.data.label_sources import LabelledSource
from benchmark.data.new_task_text import ProposedTask
from benchmark.data.status import StatusDocument
from benchmark.data.verify import Verdict
from benchmark.engine.housekeeping import Holding
from benchmark.engine.progress import Note
from benchmark.examination.fitness import Check
from benchmark.examination.installation import Finding
from benchmark.forecast.resources import Resources, Unbuilt
from benchmark.forecast.sizes import PlannedStep
from benchmark.scores.records import ScoreRecord
from benchmark.speed.results import DecodeSpeed, EngineSpeed, ForwardSpeed, PretrainSpeed, ProbeSpeed

#: Commands that print JSON -> the type of the document.
DOCUMENTS: dict[str, Any] = {
    "run": list[ScoreRecord],
    "run --dry-run": list[PlannedStep],
    "check": list[Check],
    "resources": list[Resources | Unbuilt],
    "status": list[Note],
    "doctor": list[Finding],
    "list": list[ListedEntry],
    "import": ImportedEncoder,
    "fetch-weights": list[FetchedWeights],
    "tag": list[TaggedFile],
    "new encoder": list[str],
    "new task": ProposedTask,
    "compare": list[Comparison],
    "analyze": AnalysisDocument,
    "design": DesignDocument,
    "report --format json": Document,
    "data status": StatusDocument,
    "data prepare": list[PreparedRow],
    "data sources": list[LabelledSource],
    "data verify": Verdict,
    "store ls": list[Holding],
    "store verify": VerifiedStore,
    "speed decode": DecodeSpeed,
    "speed analysis": SpeedDocument,
    "speed forward": ForwardSpeed,
    "speed probe": ProbeSpeed,
    "speed pretrain": PretrainSpeed,
    "speed engine": EngineSpeed,
}
#: Properties that a document holds beside a dataclass's fields.
PROPERTIES: Mapping[type[Any], Sequence[str]] = {Comparison: ("text",), Verdict: ("sound",)}
_WORDS: Mapping[Any, str] = {
    **{str: "text", int: "integer", float: "number", bool: "`true` or `false`"},
    **{NoneType: "null", Any: "anything"},
}


def tables(command: str) -> str:
    """Markdown of the keys of the document that a command prints, and of the documents within it.

    Parameters
    ----------
    command
        A key of `DOCUMENTS`.

    Raises
    ------
    KeyError
        If there is no such command.
    """
    found = DOCUMENTS[command]
    lines = [f"{_kind(found, command).capitalize()}." if get_origin(found) is list else ""]
    for each in dict.fromkeys(_models(found)):
        lines += ["", f"#### `{each.__name__}` {{#{_anchor(each, command)}}}", "", _first(each), ""]
        lines += ["| key | value | meaning |", "| --- | --- | --- |"]
        said = meanings(each)
        for name, kind in keys(each).items():
            cells = (_kind(kind, command), said.get(name, ""))
            lines.append("| " + " | ".join([f"`{name}`", *(cell.replace("|", "\\|") for cell in cells)]) + " |")
    return "\n".join(lines)


def keys(model: type[Any]) -> dict[str, Any]:
    """Type of each key of a document."""
    hints = get_type_hints(model, include_extras=True)
    if issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    names = list(hints) if is_typeddict(model) else [field.name for field in fields(model)]
    own = {name: hints[name] for name in names}
    return own | {name: get_type_hints(getattr(model, name).fget)["return"] for name in PROPERTIES.get(model, ())}


def meanings(model: type[Any]) -> dict[str, str]:
    """What each key means: the description of a pydantic field, else what docstrings of the class and its bases say."""
    if issubclass(model, BaseModel):
        return {name: field.description or "" for name, field in model.model_fields.items()}
    found = {name: _first(getattr(model, name)) for name in PROPERTIES.get(model, ())}
    for base in _bases(model):
        found |= meanings(base)
    text = inspect.cleandoc(model.__doc__ or "").partition("Attributes\n----------\n")[2]
    for entry in re.findall(r"^(\S.*)\n((?:    .*\n?|\n)+)", text, re.M):
        words = " ".join(entry[1].split()).replace("``", "`").replace("`None`", "null")
        found |= dict.fromkeys(entry[0].split(", "), words)
    return found


def _bases(model: type[Any]) -> list[type[Any]]:
    """Documents that one extends, read off its source: before Python 3.12 a TypedDict forgets them."""
    if not is_typeddict(model):
        return []
    written = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(written, ast.ClassDef)
    known = vars(sys.modules[model.__module__])
    return [known[base.id] for base in written.bases if isinstance(base, ast.Name) and is_typeddict(known[base.id])]


def _first(each: Any) -> str:
    return inspect.cleandoc(each.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _anchor(model: type[Any], command: str) -> str:
    return f"{command.replace(' --', '-').replace(' ', '-')}-{model.__name__.lower()}"


def _is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and (is_typeddict(kind) or is_dataclass(kind) or issubclass(kind, BaseModel))


def _models(kind: Any) -> Iterator[type[Any]]:
    """The documents that a type mentions, outer ones first."""
    if _is_model(kind):
        yield kind
        for inner in keys(kind).values():
            yield from _models(inner)
    for inner in get_args(kind):
        yield from _models(inner)


def _kind(kind: Any, command: str) -> str:
    """A type as a reader of JSON would say it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if _is_model(kind):
        return f"[{kind.__name__}](#{_anchor(kind, command)})"
    if origin is Annotated:
        return _kind(arguments[0], command)
    if origin is NotRequired:
        return f"{_kind(arguments[0], command)}, or left out"
    if origin in (Union, UnionType):
        return " or ".join(_kind(each, command) for each in arguments)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return "[" + ", ".join(_kind(each, command) for each in arguments) + "]"
    if origin is not None and issubclass(origin, Mapping):
        return f"mapping of names to {_kind(arguments[1], command)}"
    if origin is not None and issubclass(origin, Sequence):
        inside = _kind(arguments[0], command)
        return f"list of ({inside})" if " or " in inside else f"list of {inside}"
    return _WORDS[kind]
