"""The steps: each module's `compute` makes one kind of artifact, and its `KIND` says what is to be known of these.

A further step is a further module here. None of them imports at its head what takes long to load.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from benchmark.store.step import StepKind


def _kinds() -> dict[str, StepKind]:
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    kinds: list[StepKind] = sorted((module.KIND for module in modules), key=lambda kind: (kind.stage, kind.name))
    return {kind.name: kind for kind in kinds}


#: Every kind of step by its name, in the order in which a plan computes them.
KINDS: Mapping[str, StepKind] = _kinds()
