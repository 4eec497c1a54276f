"""Tables of scores for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.console import printable
from benchmark.factors import PLAIN
from benchmark.scores.records import Overlap, Score, ScoreRecord
from benchmark.text import table


def score_tables(records: Sequence[ScoreRecord]) -> str:
    """One table for each task, and never one for two sets of test clips."""
    groups: dict[tuple[str, str, str], list[ScoreRecord]] = {}
    for record in records:
        groups.setdefault((record.task, record.data, record.fingerprint), []).append(record)
    return "\n\n".join(_score_table(group) for group in groups.values())


def _score_table(records: Sequence[ScoreRecord]) -> str:
    first = records[0]
    metrics = list(first.metrics)
    lead = first.metrics[metrics[0]]
    data = "the STAND-IN: synthetic audio, not comparable with published scores"
    title = (
        f"{printable(first.task)} on {data if first.data == 'stand-in' else 'real data'}\n"
        f"{first.n_scored['test']:,} of {first.n_expected['test']:,} test clips, "
        + _labels(lead, len(first.unscored_labels), users := _of_users(metrics[0]))
        + f"{lead.level:.0%} intervals over {'users' if users else 'test clips'}"
    )
    extras = [name for name in PLAIN if any(_extra(record, name) for record in records)]  # shown where a run departs
    lacking = ["clips used"] if any(record.lacking_in_words() for record in records) else []
    rows = [["encoder", "pretraining", "protocol", "seed", *extras, *map(_title, metrics), *lacking]]
    for record in records:
        pretraining = f"{record.recipe} on {record.corpus}" if record.corpus else record.recipe
        rows.append(
            [
                record.encoder,
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
    notes += [
        printable(f"{record.encoder} ({record.recipe}) {_heard(record.overlap)}")
        for record in records
        if record.overlap.clips or record.overlap.labelled
    ]
    if less := [_title(metric) for metric in metrics if first.metrics[metric].lower_is_better]:
        notes.insert(0, f"of {' and '.join(less)} less is better")
    notes += [
        printable(f"{record.encoder} ({record.recipe}, {record.protocol}, seed {record.seed}) {why}")
        for record in records
        if (why := _beside_floor(record.metrics[metrics[0]]))
    ]
    return "\n".join([title, "", table(rows), *notes])


def _labels(lead: Score, unscored: int, users: bool) -> str:
    """How many labels, or users, the leading score is a mean over, of how many; empty for a single one."""
    if users and lead.units is not None:
        return f"{lead.units:,} of {lead.units + unscored:,} users, who play one of them, "
    labels = lead.n_labels + unscored
    return f"{lead.n_labels} of {labels} labels, macro average, " if labels > 1 else ""


def _of_users(metric: str) -> bool:
    """Whether a metric is a mean over users."""
    from tasks.metrics import METRICS, split_name

    name, _ = split_name(metric)
    return name in METRICS and METRICS[name].unit == "user"


def _heard(overlap: Overlap) -> str:
    """What is to be said of test clips that an encoder was trained on."""
    said = f"was pretrained on {max(overlap.clips, overlap.labelled)} of the test clips"
    return f"{said}, on {overlap.labelled} of them with their labels" if overlap.labelled else said


def _beside_floor(score: Score) -> str:
    """What is to be said of a score that a constant prediction reaches too, or surpasses; empty of any other."""
    sign = -1 if score.lower_is_better else 1
    best = score.upper if sign > 0 else score.lower
    if sign * best < sign * score.floor:
        return f"scores {score.value:.3f}, below the {score.floor:.3f} of a constant prediction: the probe failed"
    if score.lower == score.upper == score.floor:
        return f"scores {score.value:.3f}, as a constant prediction does: the probe learnt nothing"
    return ""


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
