"""Two encoders' stored scores of the same clips, tested against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from benchmark.errors import UserError, unknown_name
from benchmark.factors import UNTRAINED
from benchmark.plain_files import check_artifact
from benchmark.scores.records import PREDICTIONS, RECORD, SCORE, ScoreRecord, newest, read_record, run_name
from benchmark.scores.scoring import BOOTSTRAP_SEED, REPLICATES, in_folds, mean_of_folds, resampled
from benchmark.store.store import check_store
from probes.bootstrap import percentile_interval, replicate_counts
from probes.delong import AreaTest, compare_areas
from tasks.metrics import METRICS, split_name
from tasks.targets import targets_from

#: Between an encoder's name and a recipe, where a user names both.
SEPARATOR = ":"


@dataclass(frozen=True)
class Comparison:
    """Two encoders on one metric of one task.

    Attributes
    ----------
    task, protocol, metric, fingerprint, standin
        What was scored, how, and on which clips.
    setting
        Layer, fraction of labels and deformation, where they are not the usual ones.
    first, second
        What is compared: encoder and recipe.
    seeds
        Trainings averaged on each side: seeds, times the protocol's repeats.
    scores, difference
        Means over those, and first minus second.
    lower, upper, p
        Paired bootstrap over test clips: 95 % interval of the difference, and two-sided p-value.
    p_holm
        The p-value, adjusted for all comparisons of one call (Holm 1979).
    seed_deviation
        Standard deviation of the difference between trainings; ``None`` if a side has but one.
    delong
        DeLong's test, for ROC-AUC alone.
    n_clips, n_groups
        Test clips, and the groups that are drawn.
    """

    task: str
    protocol: str
    metric: str
    fingerprint: str
    standin: bool
    setting: str
    first: str
    second: str
    seeds: tuple[int, int]
    scores: tuple[float, float]
    difference: float
    lower: float
    upper: float
    p: float
    p_holm: float
    seed_deviation: float | None
    delong: AreaTest | None
    n_clips: int
    n_groups: int

    @property
    def text(self) -> str:
        """What the test clips can and cannot tell."""
        better, worse = (self.first, self.second) if self.difference > 0 else (self.second, self.first)
        sign = 1 if self.difference > 0 else -1
        low, high = sorted((sign * self.lower, sign * self.upper))
        drawn = f"{self.n_clips:,} test clips"
        if self.n_groups != self.n_clips:
            drawn += f" in {self.n_groups:,} groups"
        where = f"{self.task}, {self.protocol}" + (f", {self.setting}" if self.setting else "")
        head = f"{where}, {self.metric}: {better} scores {abs(self.difference):.4f} higher than {worse}"
        interval = f"95 % interval of the difference {low:.4f} to {high:.4f}, p = {_p(self.p)}"
        if self.p_holm != self.p:
            interval += f", {_p(self.p_holm)} adjusted for all comparisons here"
        if self.difference == 0:
            head = f"{where}, {self.metric}: {self.first} and {self.second} score the same"
        apart = self.lower > 0 or self.upper < 0
        verdict = (
            f"the {drawn} tell them apart"
            if apart
            else f"the {drawn} cannot tell them apart: neither a lead of {max(high, 0):.4f} for {better} "
            f"nor one of {max(-low, 0):.4f} for {worse} can be ruled out"
        )
        parts = [f"{head} ({interval}); {verdict}."]
        if self.delong is not None:
            parts.append(f"DeLong's test: z = {self.delong.z:.2f}, p = {_p(self.delong.p)}.")
        elif split_name(self.metric)[0] == "roc_auc":
            parts.append("DeLong's test needs two positive and two negative clips of every label, and some have fewer.")
        if self.seed_deviation is None:
            parts.append("Nothing is said of other seeds: one side has a single training.")
        else:
            parts.append(f"Between seeds the difference varies with standard deviation {self.seed_deviation:.4f}.")
        if self.standin:
            parts.append("This is the STAND-IN; it says nothing of real music.")
        return " ".join(parts)


def compare(
    store: Path,
    first: str,
    second: str,
    tasks: Sequence[str] = (),
    recipe: str | None = None,
    corpus: str | None = None,
) -> list[Comparison]:
    """Test two encoders on every task, protocol and setting for which the store has scores of both.

    Parameters
    ----------
    store
        The store's folder.
    first, second
        Names of encoders, or ``encoder:recipe``.
    tasks
        Restrict to these; all if empty.
    recipe, corpus
        Restrict trained encoders to these.

    Raises
    ------
    UserError
        If there is nothing to compare, one name means several trainings, or the test clips differ.
    """
    records = _records(store)
    cells = [_cells(records, name, tasks, recipe, corpus) for name in (first, second)]
    shared = [cell for cell in cells[0] if cell in cells[1]]
    if not shared:
        raise UserError(f"{store}: {first} and {second} have no task, protocol and setting in common")
    found = [comparison for cell in shared for comparison in _compare_cell(cells[0][cell], cells[1][cell])]
    return _adjusted(found)


def _records(store: Path) -> list[tuple[Path, ScoreRecord]]:
    records = []
    check_store(store)
    for file in sorted(store.glob(f"artifacts/{SCORE}/*/{RECORD}")):
        check_artifact(file.parent)
        try:
            records.append((file.parent, read_record(file.parent)))
        except (OSError, ValidationError) as error:
            raise UserError(f"{file}: not a score record of this version: {str(error).splitlines()[0]}") from None
    if not records:
        raise UserError(f"{store}: holds no scores yet; bench run makes them")
    return newest(records, lambda found: run_name(found[1]), lambda found: found[0])


def _cells(
    records: Sequence[tuple[Path, ScoreRecord]], name: str, tasks: Sequence[str], recipe: str | None, corpus: str | None
) -> dict[tuple[str, ...], list[tuple[Path, ScoreRecord]]]:
    """Records of one side by task, protocol and setting; its seeds lie together."""
    known = dict.fromkeys(record.encoder for _, record in records)
    encoder, _, own_recipe = (name, "", "") if name in known else name.partition(SEPARATOR)
    if encoder not in known:
        raise unknown_name("encoder with scores", encoder, list(known), "bench store ls --kind score")
    own = [(path, record) for path, record in records if record.encoder == encoder]
    for task in tasks:
        if task not in (scored := {record.task for _, record in own}):
            raise unknown_name(f"task with scores of {encoder}", task, scored, "bench store ls --kind score")
    if tasks:
        own = [(path, record) for path, record in own if record.task in tasks]
    wanted = own_recipe or recipe
    if wanted:
        trained = [(path, record) for path, record in own if record.recipe == wanted]
        # An encoder that no recipe trains has none to be chosen by.
        own = (
            trained if trained or own_recipe else [(p, r) for p, r in own if r.corpus is None and r.recipe != UNTRAINED]
        )
    else:
        own = [(p, r) for p, r in own if r.recipe != UNTRAINED] or own
    if corpus:
        own = [(path, record) for path, record in own if record.corpus in (corpus, None)]
    if not own:
        recipes = sorted({record.recipe for _, record in records if record.encoder == encoder})
        raise UserError(
            f"{name}: the store has no scores of it{' for these tasks' if tasks else ''} with that recipe or corpus; "
            f"it was scored by: {', '.join(recipes)}"
        )
    cells: dict[tuple[str, ...], list[tuple[Path, ScoreRecord]]] = {}
    for path, record in own:
        key = (record.task, record.protocol, *record.departures_in_words(), record.data)
        cells.setdefault(key, []).append((path, record))
    for cell in cells.values():
        ways = sorted({(record.recipe, record.corpus or "") for _, record in cell})
        if len(ways) > 1:
            listed = "; ".join(f"{made} on {on}" if on else made for made, on in ways)
            raise UserError(f"{name} was trained in several ways: {listed}; choose with --recipe or --corpus")
    return cells


@dataclass(frozen=True)
class _Side:
    """Predictions [trainings, clips, L] of one side, and what they are of; `fold` [clips] is where each was tested."""

    name: str
    predictions: NDArray[np.float32]
    labels: Any
    groups: NDArray[np.str_]
    names: tuple[str, ...]
    fold: NDArray[np.intp]


def _side(cell: Sequence[tuple[Path, ScoreRecord]]) -> _Side:
    stacks = []
    for path, _ in cell:
        with np.load(path / PREDICTIONS, allow_pickle=False) as arrays:
            stacks.append(arrays["repeats"] if "repeats" in arrays else arrays["predictions"][None])
            labels = targets_from(arrays).values if "kind" in arrays else arrays["labels"]
            groups, names = arrays["groups"], arrays["label_names"]
            fold = arrays["folds"] if "folds" in arrays else np.zeros(len(groups), dtype=np.intp)
    record = cell[0][1]
    trained = f" ({record.recipe})" if record.corpus or record.recipe == UNTRAINED else ""
    return _Side(record.encoder + trained, np.concatenate(stacks), labels, groups, tuple(names.tolist()), fold)


def _compare_cell(
    first: Sequence[tuple[Path, ScoreRecord]], second: Sequence[tuple[Path, ScoreRecord]]
) -> list[Comparison]:
    lead = first[0][1]
    prints = {record.fingerprint for _, record in (*first, *second)}
    if len(prints) > 1:
        sizes = sorted({record.n_scored["test"] for _, record in (*first, *second)})
        raise UserError(
            f"{lead.task}: the scores are of different test clips or labels ({len(prints)} fingerprints, "
            f"{' and '.join(map(str, sizes))} clips) and cannot be compared; score both on the same data"
        )
    sides = (_side(first), _side(second))
    groups = sides[0].groups
    numbers = {metric: _paired(metric, sides) for metric in lead.metrics if metric in second[0][1].metrics}
    setting = ", ".join(lead.departures_in_words())
    return [
        Comparison(
            task=lead.task,
            protocol=lead.protocol,
            metric=metric,
            fingerprint=lead.fingerprint,
            standin=lead.data == "stand-in",
            setting=setting,
            first=sides[0].name,
            second=sides[1].name,
            seeds=(len(sides[0].predictions), len(sides[1].predictions)),
            **own,
            p_holm=own["p"],
            n_clips=len(groups),
            n_groups=len(np.unique(groups)),
        )
        for metric, own in numbers.items()
    ]


def _paired(name: str, sides: tuple[_Side, _Side]) -> dict[str, Any]:
    """Scores, paired bootstrap and, for ROC-AUC, DeLong's test."""
    base, part = split_name(name)
    metric = METRICS[base]
    labels, groups, fold = sides[0].labels, sides[0].groups, sides[0].fold
    values = [[in_folds(metric, labels, one, fold) for one in side.predictions] for side in sides]
    chosen = np.array([part in ("", other) for other in metric.parts(sides[0].names)])
    chosen &= ~np.isnan([own for of_side in values for own in of_side]).all(axis=1).any(axis=0)
    scores = [np.array([mean_of_folds(own[:, chosen]) for own in of_side]) for of_side in values]
    blocks = []
    drawn = resampled(metric, groups, labels.shape[1])
    for counts in replicate_counts(drawn, REPLICATES, BOOTSTRAP_SEED):
        means = [
            np.mean(
                [mean_of_folds(in_folds(metric, labels, one, fold, counts)[..., chosen]) for one in side.predictions],
                axis=0,
            )
            for side in sides
        ]
        blocks.append(means[0] - means[1])
    differences = np.concatenate(blocks)
    differences = differences[~np.isnan(differences)]
    interval = percentile_interval(differences)
    tail = min((differences <= 0).sum(), (differences >= 0).sum())
    delong = None
    if base == "roc_auc" and (labels >= 0).all():
        columns = [sides[0].names.index(other) for other in np.array(metric.parts(sides[0].names))[chosen]]
        own = [labels[fold == number][:, columns] for number in np.unique(fold)]
        if all(np.minimum(one.sum(axis=0), (1 - one).sum(axis=0)).min() >= 2 for one in own):
            first, second = (side.predictions[:, :, columns] for side in sides)
            delong = compare_areas(labels[:, columns], first, second, groups, fold)
    spread = [float(own.var(ddof=1)) if len(own) > 1 else None for own in scores]
    deviation = None if spread[0] is None or spread[1] is None else float(np.sqrt(spread[0] + spread[1]))
    return {
        "scores": (float(scores[0].mean()), float(scores[1].mean())),
        "difference": float(scores[0].mean() - scores[1].mean()),
        "lower": interval.lower,
        "upper": interval.upper,
        "p": float(min(1.0, 2 * (tail + 1) / (len(differences) + 1))),
        "seed_deviation": deviation,
        "delong": delong,
    }


def _adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's adjustment over all of them."""
    order = np.argsort([one.p for one in comparisons], kind="stable")
    adjusted: dict[int, float] = {}
    highest = 0.0
    for rank, index in enumerate(order.tolist()):
        highest = max(highest, min(1.0, (len(order) - rank) * comparisons[index].p))
        adjusted[index] = highest
    return [Comparison(**{**vars(one), "p_holm": adjusted[index]}) for index, one in enumerate(comparisons)]


def documents(comparisons: Sequence[Comparison]) -> list[Mapping[str, Any]]:
    """Comparisons for a JSON document, each with its words."""
    return [{**asdict(one), "text": one.text} for one in comparisons]


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"
