"""Augmentations of a recipe that are not bench's own: found, checked before anything is computed, hashed, imported.

Each function takes a recipe with its file and line, and with the numbers that a command has replaced. A recipe without
plug-ins is checked without importing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError

from benchmark.augmentation.config import Augmentations, AugmentationStep, StepConfig
from benchmark.errors import UserError
from benchmark.registry.methods import UnreadRecipe
from benchmark.registry.plugins import code_identity, load_class, modules_from_outside
from benchmark.registry.recipes import RecipeEntry
from benchmark.registry.registry import Named, first_fault
from benchmark.registry.yaml_dialect import read_document

Recipe = Named[RecipeEntry]


def check_augmentation(recipe: Recipe, sample_rate: int) -> None:
    """Ask of every step whether its numbers mean something at the sample rate [Hz] of what is trained.

    Raises
    ------
    UserError
        If they do not, or a plug-in cannot be imported, is no `Augmentation`, or does not take its arguments: file,
        line, key and reason.
    """
    for place, step in enumerate(_steps(recipe)):
        keys = ("augmentation", place, step.name if step.class_path is None else "args")
        try:
            numbers = step.numbers or _numbers_of(_named(recipe, place, step), step)
            numbers.check(sample_rate)
        except ValidationError as error:
            location, reason = first_fault(error, load_class(_named(recipe, place, step)).Config)
            raise UserError(f"{_where(recipe, *keys, *location)}: {reason}") from None
        except ValueError as error:
            raise UserError(f"{_where(recipe, *keys)}: {error}") from None


def augmentation_code(recipe: Recipe) -> dict[str, str]:
    """What stands in the key of a training for the code of each plug-in, by class; empty if there is none.

    Raises
    ------
    UserError
        If a module cannot be found, or another one of its name hides it.
    """
    return {str(named.entry.class_path): code_identity(named) for named in _plugins(recipe)}


def augmentation_modules(recipe: Recipe) -> dict[str, str]:
    """File of each module that is imported for a recipe and is not bench's own; imports nothing."""
    return {module: file for named in _plugins(recipe) for module, file in modules_from_outside(named).items()}


def load_augmentations(recipe: Recipe) -> None:
    """Import the plug-ins of a recipe into this process, so that `AugmentationChain` finds them.

    Raises
    ------
    UserError
        If one cannot be imported.
    """
    for named in _plugins(recipe):
        load_class(named)


def _numbers_of(named: Named[AugmentationStep], step: AugmentationStep) -> StepConfig:
    from benchmark.augmentation.base import Augmentation
    from benchmark.augmentation.features import FeatureAugmentation

    found = load_class(named)
    where = f"{named.file}:{named.line}: {named.name}"
    if not (isinstance(found, type) and issubclass(found, Augmentation | FeatureAugmentation)):
        raise UserError(
            f"{where}: {step.class_path} is no subclass of benchmark.augmentation.base.Augmentation, nor of "
            "benchmark.augmentation.features.FeatureAugmentation"
        )
    if missing := sorted(found.__abstractmethods__):
        raise UserError(f"{where}: {step.class_path} does not define {' and '.join(missing)}")
    return found.Config.model_validate(step.args)


def _steps(recipe: Recipe) -> Sequence[AugmentationStep]:
    """Steps of a recipe, also of one whose method has not been imported yet; what is wrong in that is told later."""
    found: Sequence[AugmentationStep] = getattr(recipe.entry, "augmentation", None) or ()
    if isinstance(recipe.entry, UnreadRecipe):
        try:
            found = TypeAdapter(Augmentations).validate_python(found)
        except ValidationError:
            return ()
    return found


def _plugins(recipe: Recipe) -> list[Named[AugmentationStep]]:
    steps = enumerate(_steps(recipe))
    return [_named(recipe, place, step) for place, step in steps if step.class_path is not None]


def _named(recipe: Recipe, place: int, step: AugmentationStep) -> Named[AugmentationStep]:
    keys = ("augmentation", place)
    return Named(f"recipes.{recipe.name}.augmentation.{place}", step, recipe.file, _line(recipe, *keys))


def _where(recipe: Recipe, *keys: Any) -> str:
    path = ".".join(map(str, ("recipes", recipe.name, *keys)))
    return f"{recipe.file}:{_line(recipe, *keys)}: {path}"


def _line(recipe: Recipe, *keys: Any) -> int:
    """Line of a key of the recipe, or of the deepest part that stands in the file; that of the recipe otherwise."""
    with suppress(UserError):
        return read_document(recipe.file).line(("recipes", recipe.name, *keys))
    return recipe.line
