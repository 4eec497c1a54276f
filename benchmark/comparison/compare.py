"""Two encoders' stored scores of the same clips, tested against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.statistics.equivalence import Answer, answer, equivalence, equivalence_of_alike
from analysis.statistics.inference import holm
from benchmark.comparison.mcnemar import Discordance, exact_mcnemar
from benchmark.comparison.stored_predictions import Side, side_of
from benchmark.console import Reporter, Silent
from benchmark.errors import UserError, unknown_name
from benchmark.factors import UNTRAINED
from benchmark.plain_files import check_artifact
from benchmark.scores.records import (
    NO_RECORD,
    SCORE,
    ScoreRecord,
    newest,
    no_record,
    read_record,
    run_name,
    trained_network,
)
from benchmark.scores.scoring import in_folds, left_out, mean_of_folds
from benchmark.store.store import check_store
from probes.delong import AreaTest, compare_areas
from probes.intervals import compare_paired
from tasks.metrics import METRICS, split_name

#: Between an encoder's name and a recipe, where a user names both.
SEPARATOR = ":"
#: Adjusted p value below which two encoders are told apart, or called equivalent.
ALPHA = 0.05


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
    trained_once
        Sides whose scores are those of one trained network, by name: what another training would give is in no figure.
    scores, difference
        Means over those, and first minus second.
    standard_error, lower, upper, p
        Over test clips, paired (`probes.intervals.compare_paired`): standard error of the difference (0 where all clips
        differ alike, null where there is one unit), its 95 % interval, and two-sided p-value.
    p_holm
        The p-value, adjusted for all comparisons of one call (Holm 1979), of which there are `comparisons`.
    margin, p_equivalence, p_equivalence_holm
        Difference that is too small to matter, the p-value of two one-sided tests against it, and that adjusted too.
    comparisons
        Of one call.
    answer
        ``better`` if `p_holm` is below 0.05, else ``equivalent`` if `p_equivalence_holm` is, else ``cannot tell``.
    seed_deviation
        Standard deviation of the difference between trainings; ``None`` if a side has but one.
    delong
        DeLong's test, for ROC-AUC alone.
    mcnemar
        McNemar's exact test, for accuracy of single trainings on clips that are in no groups.
    n_clips, n_groups
        Test clips, and their groups.
    n_units
        Clips, groups or users that are left out together; p-values and intervals count these.
    heard
        Test clips that the encoder of each side was pretrained on, with labels or without.
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
    trained_once: list[str]
    scores: tuple[float, float]
    difference: float
    standard_error: float | None
    lower: float
    upper: float
    p: float
    p_holm: float
    comparisons: int
    margin: float
    p_equivalence: float
    p_equivalence_holm: float
    answer: Answer
    seed_deviation: float | None
    delong: AreaTest | None
    mcnemar: Discordance | None
    n_clips: int
    n_groups: int
    n_units: int
    heard: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        """What the test clips can and cannot tell."""
        less = METRICS[split_name(self.metric)[0]].lower_is_better
        first_leads = (self.difference > 0) != less
        better, worse = (self.first, self.second) if first_leads else (self.second, self.first)
        sign = 1 if self.difference > 0 else -1
        low, high = sorted((sign * self.lower, sign * self.upper))
        drawn = f"{self.n_clips:,} test clips"
        if self.n_groups != self.n_clips:
            drawn += f" in {self.n_groups:,} groups"
        where = f"{self.task}, {self.protocol}" + (f", {self.setting}" if self.setting else "")
        head = f"{where}, {self.metric}: {better} scores {abs(self.difference):.4f} "
        head += f"{'lower' if less else 'higher'} than {worse}"
        interval = f"95 % interval of the difference {low:.4f} to {high:.4f}, p = {_p(self.p)}"
        if self.comparisons > 1:
            interval += f", {_p(self.p_holm)} adjusted for the {self.comparisons} comparisons here"
        if self.difference == 0:
            head = f"{where}, {self.metric}: {self.first} and {self.second} score the same"
        equivalence = f"p = {_p(self.p_equivalence_holm)}" + (" adjusted" if self.comparisons > 1 else "")
        if self.answer == "better":
            verdict = f"the {drawn} tell them apart"
            if self.p_equivalence_holm < ALPHA:
                verdict += f", by less than the margin of {self.margin:g} ({equivalence})"
        elif self.answer == "equivalent":
            verdict = f"the {drawn} show them equivalent within {self.margin:g} ({equivalence})"
        else:
            verdict = (
                f"the {drawn} cannot tell them apart, nor show them equivalent within {self.margin:g} ({equivalence}): "
            )
            if low <= 0 <= high:
                verdict += (
                    f"neither a lead of {max(high, 0):.4f} for {better} nor one of {max(-low, 0):.4f} for {worse} can "
                    "be ruled out"
                )
            elif self.p < ALPHA:
                verdict += "they would do so were this the only comparison"
            else:
                verdict += "they are too few"
        told = [
            f"{name} was pretrained on {clips:,} of the {self.n_clips:,} test clips"
            for name, clips in zip((self.first, self.second), self.heard, strict=True)
            if clips
        ]
        if told:
            verdict += f", but {' and '.join(told)}, so this says nothing of music that it has not heard"
        parts = [f"{head} ({interval}); {verdict}."]
        if self.delong is not None:
            parts.append(f"DeLong's test: z = {self.delong.z:.2f}, p = {_p(self.delong.p)}.")
        elif split_name(self.metric)[0] == "roc_auc":
            parts.append("DeLong's test needs two positive and two negative clips of every label, and some have fewer.")
        if self.mcnemar is not None:
            parts.append(self.mcnemar.text)
        if self.trained_once:
            who = " and ".join(self.trained_once)
            parts.append(f"Nothing is said of another training of {who}, trained once.")
        elif self.seed_deviation is None:
            parts.append("Nothing is said of other seeds: one side has a single training.")
        if self.seed_deviation is not None:
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
    margin: float | None = None,
    reporter: Reporter | None = None,
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
    margin
        Difference that is too small to matter, in the unit of every metric; each metric's own if none is given.
    reporter
        Told which records cannot be read and are left out; without one, such a record is an error.

    Raises
    ------
    UserError
        If the margin is no positive number, there is nothing to compare, one name means several trainings, or the
        test clips differ.
    """
    if margin is not None and not (np.isfinite(margin) and margin > 0):
        raise UserError(f"--margin {margin:g}: give a difference above 0, in the unit of the metric")
    reporter = reporter or Silent()
    records = _records(store, reporter)
    cells = [_cells(records, name, tasks, recipe, corpus) for name in (first, second)]
    shared = [cell for cell in cells[0] if cell in cells[1]]
    if not shared:
        raise UserError(f"{store}: {first} and {second} have no task, protocol and setting in common")
    found = [
        comparison for cell in shared for comparison in _compare_cell(cells[0][cell], cells[1][cell], margin, reporter)
    ]
    if not found:
        raise UserError(f"{store}: the predictions of {first} or {second} cannot be read; bench run makes them anew")
    return _adjusted(found)


def _records(store: Path, reporter: Reporter) -> list[tuple[Path, ScoreRecord]]:
    records = []
    check_store(store)
    folder = store / "artifacts" / SCORE
    for one in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            check_artifact(one)
            record = read_record(one)
            if record.limit is None:  # others try whether all works
                records.append((one, record))
        except NO_RECORD as error:
            reporter.leave_out(no_record(one, error))
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


def _compare_cell(
    first: Sequence[tuple[Path, ScoreRecord]],
    second: Sequence[tuple[Path, ScoreRecord]],
    margin: float | None,
    reporter: Reporter,
) -> list[Comparison]:
    lead = first[0][1]
    prints = {record.fingerprint for _, record in (*first, *second)}
    if len(prints) > 1:
        sizes = sorted({record.n_scored["test"] for _, record in (*first, *second)})
        raise UserError(
            f"{lead.task}: the scores are of different test clips or labels ({len(prints)} fingerprints, "
            f"{' and '.join(map(str, sizes))} clips) and cannot be compared; score both on the same data"
        )
    one, other = side_of(first, reporter), side_of(second, reporter)
    if one is None or other is None:
        return []
    sides = (one, other)
    groups = one.groups
    numbers = {}
    for metric in (name for name in lead.metrics if name in second[0][1].metrics):
        try:
            numbers[metric] = _paired(metric, sides, margin)
        except (*NO_RECORD, IndexError, ZeroDivisionError, FloatingPointError):
            reporter.leave_out(
                f"{lead.task}, {metric}: is no metric of what {one.name} and {other.name} have predicted"
            )
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
            trained_once=[side.name for side, cell in zip(sides, (first, second), strict=True) if _trained_once(cell)],
            **own,
            p_holm=own["p"],
            p_equivalence_holm=own["p_equivalence"],
            comparisons=1,
            answer=answer(own["p"], own["p_equivalence"], ALPHA),
            n_clips=len(groups),
            n_groups=len(np.unique(groups)),
            heard=(_heard(first), _heard(second)),
        )
        for metric, own in numbers.items()
    ]


def _heard(cell: Sequence[tuple[Path, ScoreRecord]]) -> int:
    """Test clips that the encoder of one side was pretrained on, at most over its trainings."""
    return max(max(record.overlap.clips, record.overlap.labelled) for _, record in cell)


def _trained_once(cell: Sequence[tuple[Path, ScoreRecord]]) -> bool:
    return len({trained_network(record.recipe_name, record.weights_sha256) for _, record in cell} - {""}) == 1


def _paired(name: str, sides: tuple[Side, Side], margin: float | None = None) -> dict[str, Any]:
    """Scores, the tests of their difference, and DeLong's or McNemar's where they apply."""
    base, part = split_name(name)
    metric = METRICS[base]
    labels, groups, fold = sides[0].labels, sides[0].groups, sides[0].fold
    values = [[in_folds(metric, labels, one, fold) for one in side.predictions] for side in sides]
    chosen = np.array([part in ("", other) for other in metric.parts(sides[0].names)])
    chosen &= ~np.isnan([own for of_side in values for own in of_side]).all(axis=1).any(axis=0)
    scores = [np.array([mean_of_folds(own[:, chosen]) for own in of_side]) for of_side in values]
    parts = left_out(metric, groups, labels)
    blocks = []
    for counts in parts.kept():
        means = [
            np.mean(
                [mean_of_folds(in_folds(metric, labels, one, fold, counts)[..., chosen]) for one in side.predictions],
                axis=0,
            )
            for side in sides
        ]
        blocks.append(means[0] - means[1])
    difference = float(scores[0].mean() - scores[1].mean())
    lowest = metric.lowest if np.isfinite(metric.lowest) else float(min(own.min() for own in scores))
    highest = metric.highest if np.isfinite(metric.highest) else float(max(own.max() for own in scores))
    span = float(highest - lowest) or 1.0
    test = compare_paired(difference, np.concatenate(blocks), parts, span)
    within = metric.margin if margin is None else margin
    equal = (
        equivalence_of_alike(difference, parts.units, span, within)
        if test.standard_error == 0
        else equivalence(difference, test.standard_error, test.freedom, within)
    )
    mcnemar = None
    if base == "accuracy" and len(np.unique(groups)) == len(groups) and all(len(s.predictions) == 1 for s in sides):
        right = [side.predictions[0].argmax(axis=1) == labels[:, 0] for side in sides]
        mcnemar = exact_mcnemar(*right)
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
        "difference": difference,
        "standard_error": None if np.isnan(test.standard_error) else test.standard_error,
        "lower": test.lower,
        "upper": test.upper,
        "p": test.p,
        "margin": within,
        "p_equivalence": equal.p,
        "seed_deviation": deviation,
        "delong": delong,
        "mcnemar": mcnemar,
        "n_units": parts.units,
    }


def _adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's adjustment over all of them, and the answer that follows."""
    apart = holm([one.p for one in comparisons])
    equal = holm([one.p_equivalence for one in comparisons])
    return [
        replace(
            one,
            p_holm=apart[i],
            p_equivalence_holm=equal[i],
            comparisons=len(comparisons),
            answer=answer(apart[i], equal[i], ALPHA),
        )
        for i, one in enumerate(comparisons)
    ]


def documents(comparisons: Sequence[Comparison]) -> list[Mapping[str, Any]]:
    """Comparisons for a JSON document, each with its words."""
    return [{**asdict(one), "text": one.text} for one in comparisons]


def _p(value: float) -> str:
    """Three decimals, and a further one where rounding would change the side of 0.05."""
    text = f"{value:.3f}"
    if (float(text) < ALPHA) != (value < ALPHA):
        text = f"{value:.6f}" if (float(f"{value:.6f}") < ALPHA) == (value < ALPHA) else "just below 0.05"
    return text if value >= 0.001 else "below 0.001"
