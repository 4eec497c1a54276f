"""Tables of every key that a registry or a study file may have, read off the models that validate them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from benchmark.plan.requests import Grid
from benchmark.plan.studies import SHIPPED, Study, load_study
from benchmark.registry.methods import ContrastiveRecipe, MultiSourceRecipe, PredictiveRecipe, SupervisedRecipe
from benchmark.registry.registry import SECTIONS, Registry, built_in_registry

#: Names of tables -> the models whose keys they list.
TABLES: dict[str, type[BaseModel]] = {
    **SECTIONS,
    "recipes": ContrastiveRecipe,
    "supervised": SupervisedRecipe,
    "multi_source": MultiSourceRecipe,
    "predictive": PredictiveRecipe,
    "study": Study,
    "grid": Grid,
}
_WORDS: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "`true` or `false`", Any: "anything"}
_BOUNDS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
#: More names than these are counted instead.
_NAMED = 3


def table(name: str) -> str:
    """Markdown of the keys of one table, and of the mappings within it that have keys of their own.

    Parameters
    ----------
    name
        A key of `TABLES`.

    Raises
    ------
    KeyError
        If there is no such table.
    """
    model = TABLES[name]
    shipped = _shipped(name)
    lines = ["| key | value | if left out | meaning | said by |", "| --- | --- | --- | --- | --- |"]
    lines += [_row(*field, _said_by(field[0], shipped)) for field in _fields(model)]
    for each, (place, path) in _places().items():
        if place != name:
            continue
        lines += ["", f"#### `{name}: {path}` {{#{_anchor(place, path)}}}", "", _sentence(each), ""]
        lines += ["| key | value | if left out | meaning |", "| --- | --- | --- | --- |"]
        lines += [_row(*field) for field in _fields(each)]
    return "\n".join(lines)


def meaning(info: FieldInfo) -> str:
    """What a key means: its description, or, where it leads to one mapping, what that is; empty if nobody says it."""
    if info.description:
        return info.description
    models = list(_models(info.annotation))
    return _sentence(models[0]).rstrip(".") if len(models) == 1 else ""


def _fields(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    return [
        (info.alias or key, _kind(info.annotation, info.metadata), _default(info), meaning(info))
        for key, info in model.model_fields.items()
    ]


def _row(key: str, *cells: str) -> str:
    # A bar would end the cell.
    return "| " + " | ".join([f"`{key}`", *(cell.replace("|", "\\|") for cell in cells)]) + " |"


def _kind(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type as a reader of YAML would say it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner: list[Any] = []
        for each in arguments[1:]:
            inner += each.metadata if isinstance(each, FieldInfo) else [each]
        return _kind(arguments[0], [*inner, *metadata])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(each, metadata) for each in arguments if each is not NoneType))
    if origin is Literal:
        words = [f"`{value}`" for value in arguments]
        return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            inside = _kind(arguments[0])
            return f"list of ({inside})" if " or " in inside else f"list of {inside}"
        return "[" + ", ".join(_kind(each) for each in arguments) + "]"
    if origin is dict:
        return "mapping of names to " + _kind(arguments[1])
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        place, path = ("grid", "grid") if annotation is Grid else _places()[annotation]
        return f"[mapping](#{_anchor(place, path)})"
    bounds = {type(m): f"{getattr(m, _BOUNDS[type(m)][1]):g}" for m in metadata if type(m) in _BOUNDS}
    if bounds.keys() == {Ge, Le}:
        return f"{_WORDS[annotation]} {bounds[Ge]} to {bounds[Le]}"
    return " ".join([_WORDS[annotation], *(f"{_BOUNDS[kind][0]} {bound}" for kind, bound in bounds.items())])


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return "" if value is None or value in ("", (), {}, ({},)) else f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.model_dump().items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    """The models that a type mentions."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def _inner(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models within a model, at any depth, each once."""
    found: dict[type[BaseModel], None] = {}
    for info in model.model_fields.values():
        for each in _models(info.annotation):
            found |= dict.fromkeys([each, *_inner(each)])
    return list(found)


def _path(model: type[BaseModel], inner: type[BaseModel]) -> str:
    """Keys that lead from a model to one within it, with its kind where there are several."""
    for key, info in model.model_fields.items():
        for each in _models(info.annotation):
            if each is inner:
                kind = get_args(each.model_fields["kind"].annotation) if "kind" in each.model_fields else ()
                return f"{key} {{kind: {kind[0]}}}" if len(kind) == 1 else key
            if inner in _inner(each):
                return f"{key}.{_path(each, inner)}"
    raise KeyError(inner.__name__)


@cache
def _places() -> dict[type[BaseModel], tuple[str, str]]:
    """Each model that has no table of its own -> the first table that leads to it, and by which keys."""
    places: dict[type[BaseModel], tuple[str, str]] = {}
    for name, model in TABLES.items():
        for inner in _inner(model):
            if inner not in TABLES.values():
                places.setdefault(inner, (name, _path(model, inner)))
    return places


def _anchor(name: str, path: str) -> str:
    words = re.findall(r"\w+", path)
    return "-".join(words if name == path else [name, *words])


def _sentence(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].replace("\n", " ")


@cache
def _registry() -> Registry:
    registry = Registry()
    registry.add_file(built_in_registry())
    return registry


def _shipped(name: str) -> Sequence[tuple[str, BaseModel]]:
    """Entries that ship with bench and are read as a table's model, with their names."""
    if name in ("study", "grid"):
        studies = [(file.stem, load_study(str(file))) for file in sorted(SHIPPED.glob("*.yaml"))]
        if name == "study":
            return studies
        return [(stem, grid) for stem, study in studies for grid in (study.grid, *study.include) if grid]
    section = _registry().sections["recipes" if name in ("supervised", "multi_source", "predictive") else name]
    return [(each.name, each.entry) for each in section.values() if isinstance(each.entry, TABLES[name])]


def _said_by(key: str, shipped: Sequence[tuple[str, BaseModel]]) -> str:
    """Which of the shipped entries have a key."""
    every = list(dict.fromkeys(name for name, _ in shipped))
    found: dict[str, None] = {}
    for name, entry in shipped:
        said = {type(entry).model_fields[field].alias or field for field in entry.model_fields_set}
        if key in said:
            found[name] = None
    if len(found) == len(every):
        return "all" if len(every) > 1 else f"`{every[0]}`"
    return f"{len(found)} of {len(every)}" if len(found) > _NAMED else ", ".join(f"`{each}`" for each in found)
