"""Numbers of a recipe, or arguments of an encoder, replaced by the user, which makes it another one."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from benchmark.errors import UserError, unknown_name
from benchmark.registry.entries import EncoderEntry, Entry
from benchmark.registry.registry import Named
from benchmark.registry.yaml_dialect import read_value

E = TypeVar("E", bound=Entry)

_EXAMPLES = {"--set": "augmentation.pitch.probability=0.2", "--arg": "front_end.bands=64"}
#: Texts that need no quotes among other values.
_PLAIN = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def parse_settings(settings: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """``KEY=VALUE`` texts of an option, with dots in KEY for nested keys and YAML in VALUE, as a mapping.

    Raises
    ------
    UserError
        If one has another form.
    """
    changes = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals and value):
            raise UserError(f"{option} {setting}: must look like KEY=VALUE, e.g. {_EXAMPLES[option]}")
        changes[key] = read_value(value, f"{option} {setting}")
    return changes


def override(entry: E, changes: Mapping[str, Any]) -> E:
    """`entry` with some values replaced; setting one of `epochs` and `pairs`, its length, drops the other.

    Parameters
    ----------
    entry
        A recipe.
    changes
        New values by key; dots lead into nested keys, and into the only mapping of a list that has a key, or its
        mapping of a number from 0: ``augmentation.pitch.probability`` or ``augmentation.5.pitch.probability``.

    Raises
    ------
    UserError
        If a key is not known, a value is out of its range, or both `epochs` and `pairs` are given.
    """
    document = entry.model_dump()
    if {"epochs", "pairs"} <= changes.keys():
        raise UserError("epochs and pairs are both the length of a training: give one of them")
    for key, value in changes.items():
        if key in ("epochs", "pairs") and {"epochs", "pairs"} <= document.keys():
            document["epochs"] = document["pairs"] = None
        *path, last = key.split(".")
        place: Any = document
        for part in path:
            place = _inside(place, part)
        if not isinstance(place, dict) or last not in place:
            raise unknown_name("key", key, _keys(document))
        place[last] = value
    try:
        return type(entry).model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or ", ".join(changes)
        raise UserError(f"{where}: {first['msg']}, not {first['input']!r}") from None


def with_arguments(
    named: Named[EncoderEntry], arguments: Mapping[str, Any], sample_rate: int | None
) -> Named[EncoderEntry]:
    """An encoder's entry with some of its arguments replaced, working at another sample rate [Hz] if one is given.

    Parameters
    ----------
    named
        The entry.
    arguments
        New values by name; dots lead into mappings: ``front_end.bands``.
    sample_rate
        The same as an argument ``sample_rate``.

    Raises
    ------
    UserError
        If a name leads into what is no mapping.
    """
    if not arguments and sample_rate is None:
        return named
    args = copy.deepcopy(dict(named.entry.args))
    for name, value in arguments.items():
        *path, last = name.split(".")
        place: Any = args
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise UserError(f"encoder {named.name}: it has no argument {'.'.join(path)} with parts, as {name} needs")
        place[last] = value
    if sample_rate is not None:
        args["sample_rate"] = sample_rate
    entry = named.entry.model_copy(update={"args": args})
    return Named(named.name + replaced_in_words(arguments, sample_rate), entry, named.file, named.line)


def replaced_in_words(arguments: Mapping[str, Any], sample_rate: int | None) -> str:
    """What an encoder's name is followed by, e.g. ``(width=0.5)``; empty if nothing is replaced."""
    changes = {**arguments, **({} if sample_rate is None else {"sample_rate": sample_rate})}
    return f"({changes_in_words(changes)})" if changes else ""


def changes_in_words(changes: Mapping[str, Any]) -> str:
    """E.g. ``batch=8, temperature=0.1``, in the order of keys; empty if nothing is changed."""
    return ", ".join(f"{key}={in_words(value)}" for key, value in sorted(changes.items()))


def in_words(value: Any) -> str:
    """A value of a recipe as short as `read_value` still reads the same from it."""
    if value is None:
        return "null"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and read_value(value, "") == value
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{in_words(inner)}" for key, inner in sorted(value.items())) + "}"
    return "[" + ",".join(map(in_words, value)) + "]" if isinstance(value, tuple | list) else str(value)


def _inside(place: Any, part: str) -> Any:
    """What a part of a key leads to; ``None`` if to nothing, or to more than one."""
    if isinstance(place, dict):
        return place.get(part)
    if not isinstance(place, tuple | list):
        return None
    if part.isdecimal():
        return place[int(part)] if int(part) < len(place) else None
    having = [item[part] for item in place if isinstance(item, dict) and part in item]
    return having[0] if len(having) == 1 else None


def _keys(document: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in document.items():
        items = value if isinstance(value, tuple | list) else ()
        mappings = [(number, item) for number, item in enumerate(items) if isinstance(item, dict)]
        if isinstance(value, dict):
            keys += _keys(value, f"{prefix}{key}.")
        elif mappings:
            for number, item in mappings:
                alone = sum(item.keys() == other.keys() for _, other in mappings) == 1
                keys += _keys(item, f"{prefix}{key}." if alone else f"{prefix}{key}.{number}.")
        else:
            keys.append(f"{prefix}{key}")
    return keys
