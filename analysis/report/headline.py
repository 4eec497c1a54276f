"""The sentence that a report opens with: who leads, and whether anything can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.pages import minus_sign, score_text
from analysis.report.leaderboard import Leaderboard, Row
from analysis.report.over_tasks import OverTasks
from analysis.summary import joined
from analysis.tables import direction

NAMED = 4
"""Names in a sentence at most; of more, the others are counted."""
_STANDIN = "On stand-ins, which say nothing about music: "


@dataclass(frozen=True)
class Lead:
    """The best of the representations with all tasks, and how every other stands to it.

    Attributes
    ----------
    name
        Of the leader.
    estimate, lower, upper
        Its expected score and the 95 % interval [SD].
    beaten, equal, undecided
        The others that have all tasks: what it is better than, what it is equivalent to, and what it cannot be told
        from, the best first.
    pairs, differ
        How many pairs of all representations there are, and how many of them differ.
    among
        Representations that have all tasks where some lack one, else 0.
    """

    name: str
    estimate: float
    lower: float
    upper: float
    beaten: list[str]
    equal: list[str]
    undecided: list[str]
    pairs: int
    differ: int
    among: int


def lead(part: OverTasks) -> Lead | None:
    """Read the leader from an analysis; ``None`` where there is none, or nothing to compare."""
    analysis: Mapping[str, Any] = part.analysis or {}
    pairs = [entry for entry in analysis.get("contrasts", ()) if entry["kind"] == "level"]
    effects = {entry["level"]: entry for entry in analysis.get("fixed", {}).values() if entry["level"]}
    if not pairs or not effects:
        return None
    counts = dict(zip(part.heat.representations, part.heat.counts, strict=True)) if part.heat else {}
    most = max(counts.values(), default=0)
    whole = [name for name in effects if counts.get(name, 0) == most] or list(effects)
    name = max(whole, key=lambda level: effects[level]["estimate"])
    own = [entry for entry in pairs if name in (entry["a"], entry["b"])]
    answers = {entry["b"] if entry["a"] == name else entry["a"]: entry["equivalence"]["answer"] for entry in own}
    # What lacks tasks may be better on those that it has, and is no other that is led.
    answers = {level: answer for level, answer in answers.items() if level in whole}
    by_height = sorted(answers, key=lambda level: -effects[level]["estimate"])
    equal = [level for level in by_height if answers[level] == "equivalent"]
    undecided = [level for level in by_height if answers[level] == "cannot tell"]
    return Lead(
        name,
        effects[name]["estimate"],
        effects[name]["lower"],
        effects[name]["upper"],
        [level for level in by_height if level not in equal and level not in undecided],
        equal,
        undecided,
        len(pairs),
        sum(entry["different"] for entry in pairs),
        0 if len(whole) == len(effects) else len(whole),
    )


def headline(part: OverTasks | None, boards: Sequence[Leaderboard]) -> str:
    """One sentence or two on the data of one kind.

    Parameters
    ----------
    part : OverTasks or None
        What holds over the tasks.
    boards : sequence of Leaderboard
        Of the same kind of data.

    Returns
    -------
    str
        Empty where nothing was probed but single layers, or with fewer labels.
    """
    if not boards:
        return ""
    found = lead(part) if part is not None else None
    if part is None or found is None:
        told = _task_by_task(boards)
    else:
        told = _over_tasks(found, part)
        told += _trained_on_tests(found.name, [row for board in boards for row in board.rows])
    return _STANDIN + told if boards[0].group.standin else told


def some(names: Sequence[str], word: str = "or") -> str:
    """Names in words, those beyond `NAMED` counted."""
    if len(names) <= NAMED + 1:
        return joined(list(names), word)
    return joined([*names[:NAMED], f"{len(names) - NAMED} more"], word)


def _over_tasks(found: Lead, part: OverTasks) -> str:
    assert part.analysis is not None
    table, scales = part.analysis["table"], part.analysis["standardisation"]
    over = f"over {table['tasks']} tasks" if table["tasks"] > 1 else f"on {next(iter(scales))}"
    over += f", among the {found.among} that have them all" if found.among else ""
    height = minus_sign(f"{found.estimate:+.2f}")
    interval = f"[{minus_sign(f'{found.lower:+.2f}')}, {minus_sign(f'{found.upper:+.2f}')}]"
    summit = f"{found.name} has the {direction.summit(scales)}"
    if not found.differ and not found.equal:
        count = len(table["levels"])
        which = f"{found.name} and {found.undecided[0]}" if count == 2 else f"no pair of the {count} representations"
        told = f"{which} {'cannot' if count == 2 else 'can'} be told apart {over}; {summit}, {height} SD {interval}."
        return told if count == 2 else told[0].upper() + told[1:]
    clauses = []
    if found.beaten:
        others = len(found.beaten) + len(found.equal) + len(found.undecided)
        every = f"all {others} others" if others > 1 else found.beaten[0]
        whom = every if len(found.beaten) == others else f"{len(found.beaten)} of the {others} others"
        clauses.append(f"is better than {whom}")
    if found.equal:
        clauses.append(f"is equivalent to {some(found.equal, 'and')}")
    if found.undecided:
        clauses.append(f"cannot be told from {some(found.undecided)}")
    if not found.equal and not found.undecided:
        return f"{found.name} leads {over}: it {clauses[0]} ({height} SD {interval})."
    return f"{summit} {over}, {height} SD {interval}: it {joined(clauses)}."


def _task_by_task(boards: Sequence[Leaderboard]) -> str:
    if len(boards) > 1:
        leaders = [f"{_named(board.rows[0])} on {board.group.label}" for board in boards]
        return f"Task by task the highest scores are of {some(leaders, 'and')}; over all tasks nothing can be said."
    board, metric = boards[0], boards[0].group.lead
    best, task = board.rows[0], board.group.label
    value = best.values[metric]
    score = f"{score_text(value.mean)} [{score_text(value.lower)}, {score_text(value.upper)}]"
    floor = f"a constant prediction reaches {score_text(board.floors[metric])}"
    if len(board.rows) == 1:
        return f"{_named(best)} reaches {score} on {task}; {floor}."
    tied = [_named(row) for row in board.rows if metric in row.tied]
    if len(tied) == len(board.rows) - 1 and len(tied) > 1:
        return f"No row can be told from the best on {task}: {_named(best)} reaches {score}, {floor}."
    told = f", and cannot be told from {some(tied)}" if tied else ""
    return f"{_named(best)} is best on {task}, {score}{told}; {floor}."


def _named(row: Row) -> str:
    return f"{row.representation} {row.mark}".rstrip()


def _trained_on_tests(name: str, rows: Sequence[Row]) -> str:
    """A further sentence if the leader has heard test clips."""
    marked = [row for row in rows if row.representation == name and row.overlap]
    worst = max(marked, key=lambda row: (row.labelled, row.overlap), default=None)
    return f" But it was {worst.remark} ({worst.mark})." if worst is not None else ""
