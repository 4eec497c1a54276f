"""A proposed task, for the terminal and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TypedDict

from benchmark.console import printable
from benchmark.data.new_task import ClassRow, NewTask
from benchmark.text import readable_time, table
from tasks.base import SPLITS

#: Columns of a terminal that sentences fit in.
WIDTH = 80
#: Classes that the table has a row each for.
SHOWN = 40
#: Letters of a class's name.
NAME = 28


class ProposedTask(TypedDict):
    """A task of one's own music, proposed and written.

    Attributes
    ----------
    task
        Name of the task, its corpus and its dataset.
    folder, table
        Where the music and the table of labels lie.
    files, hours
        Audio files that can be read, and their duration [h].
    labels_from
        Where the labels are from, in words.
    kept
        What the division keeps together, and why no more.
    rows
        Clips, artists and hours of each class in each split.
    doubts
        What may be worth a look.
    written
        Files written; none if all was there already, or nothing was to be written.
    """

    task: str
    folder: str
    table: str
    files: int
    hours: float
    labels_from: str
    kept: Sequence[str]
    rows: Sequence[ClassRow]
    doubts: Sequence[str]
    written: list[str]


def as_document(task: NewTask, written: Sequence[Path]) -> ProposedTask:
    """All of it for `--json`."""
    return {
        "task": task.name,
        "folder": str(task.folder),
        "table": str(task.table),
        "files": task.files,
        "hours": task.hours,
        "labels_from": task.labels_from,
        "kept": task.kept,
        "rows": task.rows,
        "doubts": task.doubts,
        "written": [str(file) for file in written],
    }


def as_text(task: NewTask) -> str:
    """What was found, the table of classes and splits, and doubts."""
    lines = [
        f"{task.folder}: {task.files:,} audio files, {readable_time(3600 * task.hours)}",
        f"labels: {task.labels_from}",
        f"split: {'; '.join(task.kept)}",
        "",
        "clips / artists / hours",
        _table(task.rows),
    ]
    if task.doubts:
        lines += ["", "doubts:", *(f"- {doubt}" for doubt in task.doubts)]
    return "\n".join(part for line in lines for part in _wrapped(line))


def _wrapped(line: str) -> list[str]:
    """Lines of a sentence; tables stay as they are."""
    if "\n" in line or len(line) <= WIDTH:
        return line.split("\n")
    return wrap(printable(line), WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _table(rows: Sequence[ClassRow]) -> str:
    splits = [split for split in (*SPLITS, "") if any(row.split == split for row in rows)]
    titles = {"": "no split"} if len(splits) > 1 else {"test": "all, in folds"}
    found = {(row.label, row.split): row for row in rows}
    labels = [label for label in dict.fromkeys(row.label for row in rows) if label]
    lines = [["class", *(titles.get(split, split) for split in splits)]]
    lines += [[_short(label), *(_cell(found.get((label, split))) for split in splits)] for label in labels[:SHOWN]]
    if len(labels) > SHOWN:
        lines.append([f"and {len(labels) - SHOWN} more", *("" for _ in splits)])
    lines.append(["all", *(_cell(found.get(("", split))) for split in splits)])
    return table(lines)


def _cell(row: ClassRow | None) -> str:
    return "0" if row is None or not row.clips else f"{row.clips:,} / {row.artists:,} / {row.hours:.2f}"


def _short(label: str) -> str:
    return label if len(label) <= NAME else label[: NAME - 1] + "…"
