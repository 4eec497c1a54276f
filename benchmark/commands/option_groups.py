"""Options that a command takes as one frozen dataclass: each field is an option of its own on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, get_type_hints


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """Parameters of a command's function by their order in its help, the fields of a dataclass in its place."""
    return [flat for own in _own(function) for flat in _flat(own)]


def arguments_of(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What to call a command's function with, of the values of `parameters_of` by their names."""
    return {own.name: _gathered(own, options) for own in _own(function)}


def _own(function: Callable[..., Any]) -> Iterator[Parameter]:
    yield from signature(function, eval_str=True).parameters.values()


def _fields(group: Any) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = Parameter.empty if field.default is MISSING else field.default
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])


def _flat(parameter: Parameter) -> Iterator[Parameter]:
    if not is_dataclass(parameter.annotation):
        yield parameter.replace(kind=Parameter.KEYWORD_ONLY)
        return
    for field in _fields(parameter.annotation):
        yield from _flat(field)


def _gathered(parameter: Parameter, options: Mapping[str, Any]) -> Any:
    if not is_dataclass(parameter.annotation):
        return options[parameter.name]
    group: Any = parameter.annotation
    return group(**{field.name: _gathered(field, options) for field in _fields(group)})
