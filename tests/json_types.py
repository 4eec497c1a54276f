"""Whether a JSON document is what a type says: every key that it must have, no other, and values of its types."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, ValidationError

sys.path.append(str(Path(__file__).parent.parent / "docs" / "hooks"))

from json_documents import DOCUMENTS, keys

__all__ = ["DOCUMENTS", "complaints"]


def complaints(value: Any, kind: Any, where: str = "$") -> list[str]:
    """What of `value` is not as `kind` says."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        each = [complaints(value, one, where) for one in arguments]
        return [] if [] in each else min(each, key=len)
    if is_typeddict(kind) or dataclasses.is_dataclass(kind):
        return _keys(value, kind, where)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        try:
            kind.model_validate(value)
        except ValidationError as error:
            return [f"{where}: {error}"]
        return []
    if origin is Literal:
        return [] if value in arguments else [f"{where}: {value!r} is none of {arguments}"]
    holder = dict if isinstance(origin, type) and issubclass(origin, Mapping) else list
    if isinstance(origin, type) and issubclass(origin, Mapping | Sequence) and not isinstance(value, holder):
        return [f"{where}: {value!r} is no {kind}"]
    if origin is tuple and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            return [f"{where}: {len(value)} of {len(arguments)}"]
        return [c for i, one in enumerate(arguments) for c in complaints(value[i], one, f"{where}[{i}]")]
    if origin is not None and issubclass(origin, Mapping):
        return [c for key, one in value.items() for c in complaints(one, arguments[1], f"{where}.{key}")]
    if origin is not None and issubclass(origin, Sequence):
        return [c for i, one in enumerate(value) for c in complaints(one, arguments[0], f"{where}[{i}]")]
    allowed: Any = {float: (int, float), Any: object}.get(kind, kind)
    is_flag = isinstance(value, bool) and kind not in (bool, Any)
    return [f"{where}: {value!r} is no {kind}"] if is_flag or not isinstance(value, allowed or NoneType) else []


def _keys(value: Any, kind: Any, where: str) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{where}: {value!r} is no {kind.__name__}"]
    known = keys(kind)
    hints = get_type_hints(kind, include_extras=True)
    needed = {name for name in known if get_origin(hints.get(name)) is not NotRequired}
    found = [f"{where}.{name}: is missing" for name in sorted(needed - value.keys())]
    found += [f"{where}.{name}: is not in {kind.__name__}" for name in sorted(value.keys() - known.keys())]
    for name in known.keys() & value.keys():
        inner = known[name]
        inner = get_args(inner)[0] if get_origin(inner) is NotRequired else inner
        found += complaints(value[name], inner, f"{where}.{name}")
    return found
