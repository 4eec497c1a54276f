"""From what a recipe says of a step to the step: the ones that come with bench by name, anybody's by class."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from benchmark.augmentation.base import Augmentation
from benchmark.augmentation.config import AugmentationStep
from benchmark.augmentation.delay import Delay
from benchmark.augmentation.features import FeatureAugmentation
from benchmark.augmentation.filters import Filter
from benchmark.augmentation.gain import Gain
from benchmark.augmentation.mixup import Mixup
from benchmark.augmentation.noise import Noise
from benchmark.augmentation.pitch import Pitch
from benchmark.augmentation.polarity import Polarity
from benchmark.augmentation.reverb import Reverb

#: In the published order of contrastive learning of musical representations; then what acts on features.
BUILT_IN: Mapping[str, type[Augmentation] | type[FeatureAugmentation]] = {
    "polarity": Polarity,
    "noise": Noise,
    "gain": Gain,
    "filter": Filter,
    "delay": Delay,
    "pitch": Pitch,
    "reverb": Reverb,
    "mixup": Mixup,
}


def augmentation_class(step: AugmentationStep) -> Any:
    """Class of a step; that of a plug-in is imported, from where Python finds it, and may turn out to be anything."""
    if step.class_path is None:
        return BUILT_IN[step.name]
    module, _, name = step.class_path.partition(":")
    return getattr(importlib.import_module(module), name)


def build(step: AugmentationStep) -> Augmentation | FeatureAugmentation:
    """The step, with its numbers.

    Raises
    ------
    pydantic.ValidationError
        If the arguments of a plug-in are not those that its `Config` describes.
    """
    found: type[Augmentation] | type[FeatureAugmentation] = augmentation_class(step)
    return found(found.Config.model_validate(step.args) if step.numbers is None else step.numbers)
