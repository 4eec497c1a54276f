"""What the plans of single cells ask of a planner: the steps that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from benchmark.registry.augmentation_plugins import Recipe
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.plugins import PlugIn
from benchmark.registry.registry import Named, Registry
from benchmark.store.step import Step
from benchmark.store.store import Artifact


class Steps(Protocol):
    """What a planner knows of the steps that cells share."""

    @property
    def registry(self) -> Registry:
        """What names mean."""

    def earlier(self, kind: str) -> Callable[[], list[Artifact]]:
        """Yields the artifacts of a kind in the store, for a step to take from them what it need not do again."""

    def prepare_step(self, dataset: str, sample_rate: int, limit: Mapping[str, Any] | None = None) -> Step:
        """Decode `dataset`, or what of it a limit leaves, at a rate [Hz]."""

    def limit_of(self, task: str, clips: int | None) -> Mapping[str, Any] | None:
        """What leaves so many clips of a task; see `tasks.limited.limited_clips`."""

    def label_step(self, task: str, pcm: Step, allow_missing: bool) -> Step:
        """Labels and split of `task` for the clips of `pcm`."""

    def source_step(self, corpus: str, source: str, factors: int, pcm: Step) -> Step:
        """What a source says of the clips of `pcm`, reduced to factors; fitted to those that `corpus` trains on."""

    def initialise_step(self, named: Named[EncoderEntry], seed: int) -> Step:
        """Random weights of a seed, or the weights that the entry names."""

    def sample_rate(self, named: Named[EncoderEntry]) -> int:
        """Rate of the audio that an encoder takes [Hz]."""

    def layers(self, named: Named[EncoderEntry]) -> Sequence[str]:
        """Layers of an encoder that can be probed."""

    def check_windows(self, named: Named[EncoderEntry], seconds: float) -> None:
        """Raise `UserError` if an encoder cannot take windows of so many seconds."""

    def recipe(self, name: str, overrides: Mapping[str, Any]) -> tuple[Recipe, Mapping[str, Any]]:
        """A recipe with numbers of it replaced, and those of its numbers that determine a training."""

    def protocol_numbers(self, name: str) -> Mapping[str, Any]:
        """Numbers of a protocol that determine a probe."""

    def code(self, named: PlugIn) -> str:
        """What stands in a key for the code of an entry's class."""

    def augmentation_code(self, recipe: Recipe, sample_rate: int) -> dict[str, str]:
        """Code of what augments by a recipe and is not bench's own."""

    def check_apart(self, compared: Step) -> None:
        """Raise `UserError` if clips that are tested are known to be trained on with labels, which is not allowed."""

    def check_fit(self, task: str, protocol: str | None, labels: Step) -> None:
        """Raise `UserError` if labels, metrics and protocol are known not to go together."""
