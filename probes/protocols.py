"""Run a protocol: fit its readout to the training clips, choose on the validation clips, predict the test clips.

Test labels are no argument of anything here: nothing can be fitted or chosen by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from probes.catalogue import places
from probes.kinds import check_decision
from probes.protocol import Factorisation, Nearest, OwnReadout, Protocol, Unit
from probes.readouts.base import Advance, Examples, Fitted, ProbeTask, Readout, Repeating, Seeing, unseen
from probes.readouts.estimators import EstimatorReadout
from probes.readouts.factors import FactorisationReadout
from probes.readouts.nearest import NearestReadout
from probes.readouts.sweep import SweepReadout
from probes.sweep import standardisation
from probes.windows import Windows, make_examples

#: Between the seeds of a protocol's repeats: far from the seeds that people count by.
REPEAT_STRIDE = 1_000_003


@dataclass(frozen=True)
class LabelledClips:
    """Clips of a split: their windows by each encoder, and labels [clips, L], `values` of `tasks.targets`."""

    encoders: tuple[Windows, ...]
    labels: Any


@dataclass(frozen=True)
class Probed:
    """What came of a protocol.

    Attributes
    ----------
    predictions : ndarray of float32, shape [repeats, test clips, outputs]
        Probabilities, values or, of interactions, `probes.catalogue.places`.
    selection
        What was chosen on validation and by how much, for the score record.
    """

    predictions: NDArray[np.float32]
    selection: dict[str, Any]


def run_protocol(
    protocol: Protocol,
    train: LabelledClips,
    valid: LabelledClips,
    test: Sequence[Windows],
    task: ProbeTask,
    seed: int,
    device: str = "cpu",
    advance: Advance = unseen,
    own: Readout | None = None,
) -> Probed:
    """Train, choose and predict.

    Parameters
    ----------
    protocol
        What is done.
    train, valid
        Labelled clips.
    test
        Windows of the test clips by the same encoders; without labels.
    task
        Kind, number of outputs, leading metric.
    seed
        Of everything random.
    device
        Where to train.
    advance
        Told how many probes have been trained, of `Protocol.probes`.
    own
        The readout that a protocol names by its class.

    Raises
    ------
    ValueError
        If the protocol does not fit the task or the encoders.
    """
    check_decision(protocol.decision, task.kind)
    readout = readout_of(protocol, own)
    seeds = [seed + number * REPEAT_STRIDE for number in range(protocol.repeats)]
    # Trainings on the same examples go together; examples that are drawn are other ones for every seed.
    shared = [[one] for one in seeds] if protocol.examples == "random_window" else [seeds]
    found: list[tuple[NDArray[np.float32], dict[str, Any]]] = []
    for together in shared:
        parts = _cut(protocol, train, valid, test, together[0])
        fitted = _fitted(readout, parts, task, together, device, advance)
        found += [(_predicted(one, parts, task), dict(one.selection)) for one in fitted]
    selection = found[0][1]
    if len(found) > 1:
        selection = {**selection, "repeats": [chosen.get("value") for _, chosen in found]}
    return Probed(np.stack([predictions for predictions, _ in found]), selection)


def readout_of(protocol: Protocol, own: Readout | None = None) -> Readout:
    """The readout that a protocol's numbers name; one's `own` must be handed in."""
    if protocol.estimator is not None:
        return EstimatorReadout(protocol, protocol.estimator)
    if isinstance(protocol.readout, Nearest):
        return NearestReadout(protocol.readout)
    if isinstance(protocol.readout, Factorisation):
        return FactorisationReadout(protocol, protocol.readout)
    if isinstance(protocol.readout, OwnReadout):
        if own is None:
            raise ValueError(f"the readout {protocol.readout.class_path} was not loaded")
        return own
    return SweepReadout(protocol)


def cut(clips: Sequence[Windows], labels: Any, unit: Unit, segment_seconds: float | None, seed: int) -> Examples:
    """Examples of clips with these labels; see `probes.windows.make_examples`."""
    features, first = make_examples(clips, unit, segment_seconds, seed)
    return Examples(features, first, labels, tuple(clips))


def _cut(
    protocol: Protocol, train: LabelledClips, valid: LabelledClips, test: Sequence[Windows], seed: int
) -> tuple[Examples, Examples, Examples]:
    """Training, validation and test examples, scaled if that is the same for all that is trained."""
    unit, seconds = protocol.examples, protocol.segment_seconds
    parts = (
        cut(train.encoders, train.labels, unit, seconds, seed),
        cut(valid.encoders, valid.labels, unit, seconds, seed + 1),
        # Whatever is drawn for training, a test clip is judged by all that there is of it.
        cut(test, None, "windows" if unit == "random_window" else unit, seconds, seed),
    )
    if protocol.trains_networks or isinstance(protocol.readout, Factorisation) or not protocol.standardise:
        return parts
    mean, factor = (part.numpy() for part in standardisation(parts[0].features))
    scaled = [part.scaled(mean, factor) for part in parts]
    return scaled[0], scaled[1], scaled[2]


def _fitted(
    readout: Readout,
    parts: tuple[Examples, Examples, Examples],
    task: ProbeTask,
    seeds: Sequence[int],
    device: str,
    advance: Advance,
) -> Sequence[Fitted]:
    train, valid, test = parts
    if hasattr(readout, "fit_seeds"):
        return cast("Repeating", readout).fit_seeds(train, valid, task, seeds, device, advance)
    if hasattr(readout, "fit_seeing"):
        seeing = cast("Seeing", readout)
        return [seeing.fit_seeing(train, valid, test, task, seed, device, advance) for seed in seeds]
    return [readout.fit(train, valid, task, seed, device, advance) for seed in seeds]


def _predicted(fitted: Fitted, parts: tuple[Examples, Examples, Examples], task: ProbeTask) -> NDArray[np.float32]:
    """Predictions for the test clips; of interactions, the place of each in the catalogue that a user does not know."""
    train, valid, test = parts
    predictions = fitted.predict(test)
    if task.kind != "interactions":
        return predictions
    from scipy.sparse import vstack

    known = np.concatenate([fitted.predict(train), fitted.predict(valid)])
    return places(predictions, known, vstack([train.labels, valid.labels]))
