"""The method of a training that a plan holds."""

from __future__ import annotations

from typing import Any

from benchmark.pretraining.methods.base import Method
from benchmark.registry.entries import planned
from benchmark.registry.plugins import built_in_method, load_method
from benchmark.store.step import Step


def planned_method(step: Step) -> Method[Any]:
    """The method of a training step, with the recipe that its spec holds: the numbers alone.

    The context of `step` holds `method`, the entry as it stands in the registry, if the method is from outside.
    """
    numbers = step.spec["recipe"]
    found = load_method(step.context["method"]) if "method" in step.context else built_in_method(numbers)
    method: Method[Any] = found(planned(found.RECIPE, numbers))
    return method
