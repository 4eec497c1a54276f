"""What a readout is: something that is fitted to labelled examples and then predicts clips.

A class of one's own needs no base class. Named by `readout: {class: "my.module:Name", args: {...}}` in a protocol, it
is built with those arguments, and its `fit` and the `predict` of what that returns are called as said below. Test
labels are no argument of anything: nothing can be fitted or chosen by them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from probes.kinds import Kind
from probes.windows import Windows, per_window

#: labels [n, L], predictions [n, C] -> a number, higher being better
Metric = Callable[[NDArray[np.generic], NDArray[np.float32]], float]
#: Told how many probes have just been trained.
Advance = Callable[[int], None]


def unseen(count: int) -> None:
    """An `Advance` that nobody looks at."""
    del count


@dataclass(frozen=True)
class Examples:
    """What the clips of a split are cut into, as the protocol's `examples` says.

    Attributes
    ----------
    features : ndarray of float32, shape [examples, D]
        Those of several encoders stand side by side; those of a clip are neighbours, in order of time.
    first : ndarray of int64, shape [clips + 1]
        Clip `c` has the examples ``first[c]`` to ``first[c + 1]``.
    labels
        Of the clips [clips, L], as `values` of `tasks.targets` has them; ``None`` for test clips.
    windows
        What they were cut from, one an encoder, with times.
    """

    features: NDArray[np.float32]
    first: NDArray[np.int64]
    labels: Any
    windows: tuple[Windows, ...]

    @property
    def example_labels(self) -> NDArray[np.generic]:
        """Each clip's labels once for each of its examples [examples, L]."""
        return per_window(self.labels, self.first)

    def scaled(self, mean: NDArray[np.float32], factor: NDArray[np.float32]) -> Examples:
        """The same with features less `mean`, times `factor`."""
        return replace(self, features=(self.features - mean) * factor)


@dataclass(frozen=True)
class ProbeTask:
    """What a probe must know of its task.

    Attributes
    ----------
    kind
        What the labels are.
    outputs
        Number of labels, classes, columns or users.
    metric_name, metric
        The leading metric, by which protocols that ask for it stop and choose; higher is better. One of which less is
        better comes with a minus, before its name too.
    """

    kind: Kind
    outputs: int
    metric_name: str
    metric: Metric


class Fitted(Protocol):
    """What has been fitted."""

    @property
    def selection(self) -> Mapping[str, Any]:
        """What was chosen on validation and by how much, for the score record: what JSON can hold."""

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Predictions [clips, outputs]: probabilities, values, or scores of users."""


class Readout(Protocol):
    """From representations to predictions."""

    def fit(
        self, train: Examples, valid: Examples, task: ProbeTask, seed: int, device: str, advance: Advance
    ) -> Fitted:
        """Fit to the training clips, choose on the validation clips.

        Parameters
        ----------
        train, valid
            Labelled examples; features are scaled already where the protocol says `standardise: true`.
        task
            Kind of labels, number of outputs, leading metric.
        seed
            Of everything random.
        device
            Where to compute, as PyTorch names it.
        advance
            To be told how many probes have been fitted, of `probes.protocol.Protocol.probes`.

        Raises
        ------
        ValueError
            If the task cannot be served; in words that the user can act on.
        """


class Repeating(Readout, Protocol):
    """One that fits several seeds together faster than one after another."""

    def fit_seeds(
        self, train: Examples, valid: Examples, task: ProbeTask, seeds: Sequence[int], device: str, advance: Advance
    ) -> Sequence[Fitted]:
        """What `fit` returns for each seed."""


class Seeing(Readout, Protocol):
    """One that may look at the test clips' features too, if its numbers say so; their labels are never there."""

    def fit_seeing(
        self,
        train: Examples,
        valid: Examples,
        test: Examples,
        task: ProbeTask,
        seed: int,
        device: str,
        advance: Advance,
    ) -> Fitted:
        """What `fit` returns."""
