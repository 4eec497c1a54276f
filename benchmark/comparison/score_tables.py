"""Tables of scores for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmark.console import printable
from benchmark.factors import AS_GIVEN, END_TO_END, PLAIN, UNTRAINED
from benchmark.scores.records import LabelCoverage, Overlap, Score, ScoreRecord
from benchmark.text import table
from tasks.learnable import Coverage, uncovered

#: Part of the way from a floor to the best score by which a score that lies below it is said to lie far below.
FAR = 0.25
_TRAINING = frozenset({"corpus", "recipe_name", "settings"})

#: What published weights were trained on, before the name of a task.
_TRAINED_ON = {"audio": "on audio of the dataset of", "labels": "with labels of the dataset of"}


def score_tables(records: Sequence[ScoreRecord]) -> str:
    """One table for each task, and never one for two sets of test clips, or of metrics."""
    groups: dict[tuple[str, ...], list[ScoreRecord]] = {}
    for record in records:
        groups.setdefault((record.task, record.data, record.fingerprint, *sorted(record.metrics)), []).append(record)
    return "\n\n".join(_score_table(group) for group in groups.values())


def _score_table(records: Sequence[ScoreRecord]) -> str:
    first = records[0]
    metrics = list(first.metrics)
    lead = first.metrics[metrics[0]]
    data = "the STAND-IN: synthetic audio, not comparable with published scores"
    title = (
        f"{printable(first.task)} on {data if first.data == 'stand-in' else 'real data'}\n"
        f"{first.n_scored['test']:,} of {first.n_expected['test']:,} test clips, "
        + _labels(first, lead, users := _of_users(metrics[0]))
        + f"{lead.level:.0%} intervals over {'users' if users else 'test clips'}"
    )
    extras = [name for name in PLAIN if any(_extra(record, name) for record in records)]  # shown where a run departs
    lacking = ["clips used"] if any(record.lacking_in_words() for record in records) else []
    rows = [["encoder", "pretraining", "protocol", "seed", *extras, *map(_title, metrics), *lacking]]
    # What was pretrained on test clips leads no table.
    for record in sorted(records, key=lambda record: bool(_overlapping(record))):
        pretraining = f"{record.recipe} on {record.corpus}" if record.corpus else record.recipe
        rows.append(
            [
                record.encoder + (" †" if _overlapping(record) else ""),
                pretraining,
                record.protocol,
                str(record.seed),
                *(_extra(record, name) for name in extras),
                *(_with_interval(record.metrics[metric]) for metric in metrics),
                *(record.lacking_in_words() or "all" for _ in lacking),
            ]
        )
    rows.append(
        [
            *("constant", "", "", ""),
            *("" for _ in extras),
            *(f"{first.metrics[metric].floor:.3f}" for metric in metrics),
            *("" for _ in lacking),
        ]
    )
    rough = {metric: first.metrics[metric].rough for metric in metrics if first.metrics[metric].rough}
    notes = [f"intervals of {_title(metric)} are rough: {why}" for metric, why in rough.items()]
    if any(record.limit is not None for record in records):
        notes.append(
            "scores on a few clips alone (--limit) say whether all works, and nothing else; no report has them"
        )
    notes += [
        printable(f"† {record.encoder} ({record.recipe}) {_heard(record.overlap)}")
        for record in records
        if _overlapping(record)
    ]
    notes += [
        printable(f"{weights.encoder}: its publishers trained it {_TRAINED_ON[weights.trained_on]} {first.task}")
        for record in records
        for weights in record.published
        if weights.trained_on
    ]
    notes = list(dict.fromkeys(notes))
    if first.coverage is not None:
        notes += map(printable, uncovered(_covered(first.coverage), first.coverage.kind, first.coverage.folds))
    for count, what in ((first.copies, "are the same audio as training clips"), (first.silent, "are silent")):
        if count:
            notes.append(f"{count:,} of {first.n_scored['test']:,} test clips {what}")
    if less := [_title(metric) for metric in metrics if first.metrics[metric].lower_is_better]:
        notes.insert(0, f"of {' and '.join(less)} less is better")
    notes += [
        printable(f"{record.encoder} ({record.recipe}, {record.protocol}, seed {record.seed}) {why}")
        for record in records
        for why in (_beside_floor(metrics[0], record.metrics[metrics[0]]), _beside_untrained(record, records))
        if why
    ]
    return "\n".join([title, "", table(rows), *notes])


def _labels(record: ScoreRecord, lead: Score, users: bool) -> str:
    """How many labels, or users, the leading score speaks of, of how many; empty for a single one."""
    unscored = len(record.unscored_labels)
    if users and lead.units is not None:
        return f"{lead.units:,} of {lead.units + unscored:,} users, who play one of them, "
    covered = record.coverage
    label_by_label = lead.n_labels > 1
    averaged = ", macro average" if label_by_label else ""
    if covered is not None and covered.kind == "multiclass" and (covered.untested or label_by_label):
        return f"{covered.labels - len(covered.untested)} of {covered.labels} classes{averaged}, "
    # What other metrics cannot score is no part of one that is not taken label by label.
    labels = lead.n_labels + unscored
    return f"{lead.n_labels} of {labels} labels{averaged}, " if label_by_label else ""


def _of_users(metric: str) -> bool:
    """Whether a metric is a mean over users."""
    from tasks.metrics import METRICS, split_name

    name, _ = split_name(metric)
    return name in METRICS and METRICS[name].unit == "user"


def _overlapping(record: ScoreRecord) -> int:
    """Test clips that the encoder was trained on, with labels or without."""
    return max(record.overlap.clips, record.overlap.labelled)


def _heard(overlap: Overlap) -> str:
    """What is to be said of test clips that an encoder was trained on."""
    said = f"was pretrained on {max(overlap.clips, overlap.labelled)} of the test clips"
    return f"{said}, on {overlap.labelled} of them with their labels" if overlap.labelled else said


def _covered(found: LabelCoverage) -> Coverage:
    return Coverage(found.labels, tuple(found.untested), tuple(found.untrained))


def _beside_floor(metric: str, score: Score) -> str:
    """What is to be said of a score that a constant prediction reaches too, or surpasses; empty of any other."""
    sign = -1 if score.lower_is_better else 1
    best = score.upper if sign > 0 else score.lower
    if sign * best < sign * score.floor or _far_below(metric, score):
        return f"scores {score.value:.3f}, below the {score.floor:.3f} of a constant prediction: the probe failed"
    if score.lower == score.upper == score.floor:
        return f"scores {score.value:.3f}, as a constant prediction does: the probe learnt nothing"
    return ""


def _far_below(metric: str, score: Score) -> bool:
    """Whether a score lies below its floor by more than `FAR` of the way from there to the best that there is."""
    from tasks.metrics import METRICS, split_name

    known = METRICS.get(split_name(metric)[0])
    if known is None:
        return False
    best = known.lowest if score.lower_is_better else known.highest
    return math.isfinite(best) and (score.floor - score.value) * (best - score.floor) > FAR * (best - score.floor) ** 2


def _beside_untrained(record: ScoreRecord, records: Sequence[ScoreRecord]) -> str:
    """What is to be said of a training that is hardly above its untrained twin; empty of any other.

    That is one whose score is higher by less than a standard error of the difference of two scores on as many clips.
    """
    lead = next(iter(record.metrics))
    if record.recipe_name in (UNTRAINED, AS_GIVEN) or record.protocol == END_TO_END:
        return ""
    for twin in records:
        if twin.recipe_name != UNTRAINED or _but_trained(twin) != _but_trained(record):
            continue
        own, other = record.metrics[lead], twin.metrics[lead]
        gain = (own.value - other.value) * (-1 if own.lower_is_better else 1)
        if own.standard_error is None or other.standard_error is None:
            return ""
        if gain < math.hypot(own.standard_error, other.standard_error):
            return f"scores {own.value:.3f}, and untrained {other.value:.3f}: what it learnt hardly shows here"
    return ""


def _but_trained(record: ScoreRecord) -> dict[str, Any]:
    """Factors of a run but those that say what was trained."""
    return {key: value for key, value in record.determining().items() if key not in _TRAINING}


def _title(metric: str) -> str:
    """How people call a metric, and its part if it is one."""
    from tasks.metrics import METRICS, split_name

    name, part = split_name(metric)
    title = METRICS[name].title if name in METRICS else name
    return f"{title}, {part}" if part else title


def _extra(record: ScoreRecord, name: str) -> str:
    """How a run departs from the plain one in `name`; empty if it does not."""
    value = getattr(record, name)
    return "" if value == PLAIN[name] else f"{value:g}" if isinstance(value, float) else str(value)


def _with_interval(score: Score) -> str:
    return f"{score.value:.3f} [{score.lower:.3f}, {score.upper:.3f}]"
