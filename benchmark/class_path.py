"""How an entry names a class: `package.module:Name`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _check(path: str) -> str:
    module, colon, name = path.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError("must look like package.module:Name")
    return path


ClassPath = Annotated[str, AfterValidator(_check)]
