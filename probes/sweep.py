"""Train every probe of a sweep at once: equal to training each alone, at a fraction of the time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.kinds import Kind
from probes.protocol import Member, Protocol
from probes.readouts.base import Advance, unseen
from probes.side_by_side import side_by_side
from probes.stack import Stack

#: Rows predicted at once.
CHUNK = 65_536
#: Weights of one stack; a sweep of more is trained in several, one after another.
STACKED = 1 << 26
#: Weights of a sweep for which another thread of a CPU pays.
PER_THREAD = 1 << 17
#: Of the plateau schedule, as PyTorch's `ReduceLROnPlateau` in CLMR's released code (version 2).
PLATEAU_FACTOR, PLATEAU_PATIENCE, PLATEAU_THRESHOLD = 0.1, 5, 1e-4

#: Outputs before the link function [members, n, C] -> a value for each member [members]; higher is better.
Judge = Callable[[Tensor], NDArray[np.float64]]
#: A seed, and the index of a member.
Row = tuple[int, int]


@dataclass(frozen=True)
class Network:
    """A trained probe.

    Attributes
    ----------
    member
        Its configuration.
    layers
        Weights [out, in] and biases [out], those of the evaluation that was kept.
    scaling
        Mean and reciprocal standard deviation [D] of the training features; ``None`` if not standardised.
    values
        What the judge said at each evaluation, higher being better; empty without validation.
    best
        Index of the first highest of them; -1 without validation.
    steps
        Steps taken.
    """

    member: Member
    layers: tuple[tuple[Tensor, Tensor], ...]
    scaling: tuple[Tensor, Tensor] | None
    values: tuple[float, ...]
    best: int
    steps: int

    @property
    def kept(self) -> float:
        """Value of the best evaluation."""
        return self.values[self.best] if self.values else math.nan

    @property
    def last(self) -> float:
        """Value of the last evaluation."""
        return self.values[-1] if self.values else math.nan

    def outputs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs before the link function for features [n, D]; shape [n, C]."""
        parts = []
        where = self.layers[0][0].device
        with torch.inference_mode():
            for first in range(0, len(features), CHUNK):
                x = torch.from_numpy(np.ascontiguousarray(features[first : first + CHUNK])).to(where)
                if self.scaling is not None:
                    x = (x - self.scaling[0]) * self.scaling[1]
                for i, (weight, bias) in enumerate(self.layers):
                    x = torch.addmm(bias, x.relu() if i else x, weight.T)
                parts.append(x.cpu())
        return torch.cat(parts).numpy()


def train_sweep(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    valid: NDArray[np.float32] | None,
    judge: Judge | None,
    kind: Kind,
    members: Sequence[Member],
    course: Protocol,
    seed: int,
    device: str = "cpu",
) -> list[Network]:
    """Train all `members` on the same examples.

    Parameters
    ----------
    features, targets : ndarray of float32, shapes [n, D] and [n, C]
        Training examples; targets as `probes.objectives` makes them.
    valid : ndarray of float32, shape [m, D], optional
        Validation features; without them every probe runs its length.
    judge
        Says how good outputs for `valid` are.
    kind
        Decides the loss.
    members, course
        What is trained, and how: of the protocol, what is the same for all.
    seed
        Of initialisation, order of examples and dropout, shared by all members: differences between them are theirs.
    device
        Where to train.

    Returns
    -------
    list of Network
        In the order of `members`, each what it would be if it were trained alone.

    Raises
    ------
    ValueError
        If there is no example to train on or to select by.
    """
    return train_seeds(features, targets, valid, judge, kind, members, course, (seed,), device)[0]


def train_seeds(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    valid: NDArray[np.float32] | None,
    judge: Judge | None,
    kind: Kind,
    members: Sequence[Member],
    course: Protocol,
    seeds: Sequence[int],
    device: str = "cpu",
    advance: Advance = unseen,
) -> list[list[Network]]:
    """Train all `members` with each of several `seeds`, all together; otherwise as `train_sweep`.

    Parameters
    ----------
    advance
        Told how many probes have ended, whenever some have, by one thread at a time.

    Returns
    -------
    list of list of Network
        For each seed what `train_sweep` returns for it.
    """
    if not len(features) or (valid is not None and not len(valid)):
        raise ValueError("a probe needs training and validation examples")
    place = torch.device(device)
    scaling = standardisation(features) if any(member.standardise for member in members) else None
    needed = {member.standardise for member in members}
    inputs = {scaled: _scaled(features, scaling if scaled else None, place) for scaled in needed}
    tested = None
    if valid is not None:
        tested = {scaled: _scaled(valid, scaling if scaled else None, place) for scaled in needed}
    y = torch.from_numpy(np.ascontiguousarray(targets)).to(place)
    groups: dict[tuple[tuple[int, ...], int], list[Row]] = {}
    for seed, (index, member) in product(dict.fromkeys(seeds), enumerate(members)):
        groups.setdefault((member.hidden, min(member.batch, len(features))), []).append((seed, index))
    weights = {
        hidden: sum(a * b for a, b in pairwise([features.shape[1], *hidden, y.shape[1]])) for hidden, _ in groups
    }
    probes = [weights[hidden] for (hidden, _), rows in groups.items() for _ in rows]
    threads = max(1, min(torch.get_num_threads(), sum(probes) // PER_THREAD, len(probes)))
    if place.type != "cpu":
        threads = 1
    stacks = [
        (batch, part)
        for (hidden, batch), rows in groups.items()
        for part in _parts(rows, min(math.ceil(len(rows) / threads), max(1, STACKED // weights[hidden])))
    ]
    fitted: dict[Row, Network] = {}
    one_at_a_time = threading.Lock()

    def ended(count: int) -> None:
        with one_at_a_time:
            advance(count)

    def train(stack_of: tuple[int, Sequence[Row]], stop: threading.Event) -> None:
        batch, rows = stack_of
        generators = {seed: torch.Generator().manual_seed(seed) for seed, _ in rows}
        own_members, own_seeds = [members[index] for _, index in rows], [seed for seed, _ in rows]
        with torch.no_grad():
            stack = Stack(own_members, own_seeds, inputs, y, kind, course, generators)
            tracks = _train(stack, batch, generators, tested, judge, course, len(features), stop, ended)
        for row, member, track in zip(rows, own_members, tracks, strict=True):
            own = scaling if member.standardise else None
            moved = (own[0].to(place), own[1].to(place)) if own else None
            values = tuple(track.values)
            fitted[row] = Network(member, tuple(track.layers), moved, values, track.best, track.steps)

    if threads > 1:
        side_by_side(train, stacks, threads)
    else:
        for one in stacks:
            train(one, threading.Event())
    return [[fitted[seed, index] for index in range(len(members))] for seed in seeds]


def _parts(rows: Sequence[Row], size: int) -> Iterable[Sequence[Row]]:
    return (rows[at : at + size] for at in range(0, len(rows), size))


def standardisation(features: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Mean and reciprocal standard deviation [D] of features [n, D]; those that never vary are only centred."""
    deviation = features.std(axis=0, dtype=np.float64)
    mean = torch.from_numpy(features.mean(axis=0, dtype=np.float64)).float()
    return mean, torch.from_numpy(1 / np.where(deviation > 0, deviation, 1.0)).float()


def rate_factor(course: Protocol, step: int, total: int) -> float:
    """What the learning rate is multiplied by at `step` (from 0) of `total`."""
    if course.schedule != "cosine":
        return 1.0
    if step < course.warmup_steps:
        height = 1.0
        if course.warmup_to is not None:
            assert isinstance(course.learning_rate, float)
            height = course.warmup_to / course.learning_rate
        return height * step / course.warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - course.warmup_steps) / max(1, total - course.warmup_steps)))


def training_steps(course: Protocol, examples: int, batch: int) -> int:
    """Steps that training takes if nothing stops it."""
    if course.max_steps is not None:
        return course.max_steps
    assert course.max_epochs is not None
    return course.max_epochs * math.ceil(examples / batch)


@dataclass
class Track:
    """What is remembered of a probe in training: its evaluations, the weights to keep, its plateau."""

    layers: Sequence[tuple[Tensor, Tensor]] = ()
    best: int = -1
    steps: int = 0
    factor: float = 1.0
    lowest: float = math.inf
    idle: int = 0

    def __post_init__(self) -> None:
        self.values: list[float] = []

    def add(self, value: float, course: Protocol) -> bool:
        """Take an evaluation in; whether it is the best one so far."""
        self.values.append(value)
        if course.schedule == "plateau":
            self._fall(-value)
        best = self.values[self.best] if self.best >= 0 else math.nan
        better = self.best < 0 or value > best or (math.isnan(best) and not math.isnan(value))
        if better:
            self.best = len(self.values) - 1
        return better

    def bored(self, course: Protocol) -> bool:
        """Whether it has gone too long without a better evaluation."""
        return course.patience is not None and len(self.values) - 1 - self.best >= course.patience

    def _fall(self, loss: float) -> None:
        if loss < self.lowest * (1 - PLATEAU_THRESHOLD):
            self.lowest, self.idle = loss, 0
        else:
            self.idle += 1
        if self.idle > PLATEAU_PATIENCE:
            self.factor, self.idle = self.factor * PLATEAU_FACTOR, 0


def batches(examples: int, batch: int, generator: torch.Generator, total: int) -> Iterable[tuple[Tensor, bool]]:
    """Rows of each of `total` steps, and whether the step is the last of its pass over all examples."""
    step = 0
    while True:
        parts = torch.randperm(examples, generator=generator).split(batch)
        for i, rows in enumerate(parts):
            step += 1
            yield rows, i == len(parts) - 1
            if step == total:
                return


def _train(
    stack: Stack,
    batch: int,
    generators: Mapping[int, torch.Generator],
    valid: dict[bool, Tensor] | None,
    judge: Judge | None,
    course: Protocol,
    examples: int,
    stop: threading.Event,
    ended: Advance,
) -> list[Track]:
    """Train a stack to the end; tracks in the order in which its members were given."""
    alive = list(stack.order)
    tracks = [Track() for _ in alive]
    total = training_steps(course, examples, batch)
    orders = (batches(examples, batch, generator, total) for generator in generators.values())
    for of_seeds in zip(*orders, strict=True):
        if stop.is_set():
            raise InterruptedError("a training beside this one has ended all of them")
        pass_ends = of_seeds[0][1]
        rows = {seed: own.to(stack.device) for seed, (own, _) in zip(generators, of_seeds, strict=True)}
        stack.step(rows, rate_factor(course, stack.steps, total))
        every = course.evaluate_every
        if valid is None or judge is None or not (stack.steps % every == 0 if every else pass_ends):
            continue
        values = judge(stack.outputs(valid))
        for row, index in enumerate(alive):
            track = tracks[index]
            if track.add(float(values[row]), course) and course.keep == "best":
                track.layers = stack.layers_of(row)
        factors = [tracks[index].factor for index in alive]
        if factors != stack.factors:
            stack.factors = factors
            stack.rates_changed()
        bored = {row for row, index in enumerate(alive) if tracks[index].bored(course)}
        if bored:
            _end(stack, tracks, alive, bored, course, ended)
            alive = [index for row, index in enumerate(alive) if row not in bored]
            if not alive:
                return tracks
            stack.keep([row for row in range(len(alive) + len(bored)) if row not in bored])
    _end(stack, tracks, alive, range(len(alive)), course, ended)
    return tracks


def _end(
    stack: Stack, tracks: Sequence[Track], alive: Sequence[int], rows: Collection[int], course: Protocol, ended: Advance
) -> None:
    for row in rows:
        track = tracks[alive[row]]
        if not (course.keep == "best" and track.values):
            track.layers = stack.layers_of(row)
        track.steps = stack.steps
    ended(len(rows))


def _scaled(features: NDArray[np.float32], scaling: tuple[Tensor, Tensor] | None, place: torch.device) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(features)).to(place)
    return x if scaling is None else (x - scaling[0].to(place)) * scaling[1].to(place)
