"""How an entry names a class: `package.module:Name`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def check_class_path(path: str) -> str:
    """`path`, if it looks like `package.module:Name`; raises `ValueError` otherwise."""
    module, colon, name = path.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError("must look like package.module:Name")
    return path


ClassPath = Annotated[str, AfterValidator(check_class_path)]
