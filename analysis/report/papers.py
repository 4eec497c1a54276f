"""Leaderboards, transfer tables and findings for papers and programs: Markdown, CSV and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from analysis.report.curves import transfer_tables
from analysis.report.document import Document
from analysis.report.groups import form_groups
from analysis.report.headline import headline
from analysis.report.leaderboard import (
    LABELLED_MARK,
    ONCE,
    OVERLAP_MARK,
    PUBLISHED_MARK,
    TIED,
    TRAINED_ONCE,
    Leaderboard,
    Row,
    as_records,
)
from analysis.report.over_tasks import over_tasks
from analysis.report.paper_cells import MARKED, any_marked, boards_of, data_words, number, one_line, transfer_rows
from analysis.tables.writing import csv_text as table_text


def csv_text(document: Document) -> str:
    """Leaderboards as a long table: a line a task, representation, protocol and metric.

    A name that a spreadsheet would take for a formula, as names of a stranger's store may, begins with an apostrophe.
    """
    records = as_records(boards_of(form_groups(document["runs"])))
    return table_text(list(records[0]) if records else ["task"], records)


def json_text(document: Document) -> str:
    """The document with its leaderboards and analyses added."""
    groups = form_groups(document["runs"])
    analyses = {
        "stand-in" if standin else "real": {"analysis": found.analysis, "reason": found.reason, "shares": found.shares}
        for standin in (False, True)
        if (found := over_tasks(groups, standin)) is not None
    }
    whole = {**document, "leaderboards": as_records(boards_of(groups)), "over_tasks": analyses}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def markdown(document: Document) -> str:
    """Findings, leaderboards and transfer tables as Markdown."""
    groups = form_groups(document["runs"])
    titles = document["metrics"]
    study = document["study"]
    name = study["name"] if study else "Music representations compared"
    parts = [f"# {_plain(name)}", ""]
    boards = boards_of(groups)
    for standin in (False, True):
        found = over_tasks(groups, standin)
        told = headline(found, [board for board in boards if board.group.standin == standin])
        parts += [_plain(told), ""] if told else []
        if found is not None and found.analysis is not None:
            parts += [f"## Findings ({'stand-in' if standin else 'real data'})", ""]
            parts += [f"- {_plain(sentence['text'])}" for sentence in found.analysis["summary"]] + [""]
    for board in boards:
        data = data_words(board.group.standin)
        parts += [f"## {_plain(board.group.label)} ({data})", ""]
        head = ["encoder", "pretraining", "protocol", *(titles[m] for m in board.group.metrics), "seeds"]
        rows = [
            [
                " ".join(filter(None, [row.named, row.mark, ONCE if row.trained_once else ""])),
                row.pretraining,
                row.protocol,
                *(_marked(row, metric) for metric in board.group.metrics),
                str(row.seeds),
            ]
            for row in board.rows
        ]
        floors = ["constant", "", "", *(number(board.floors[metric]) for metric in board.group.metrics), ""]
        parts += [*_markdown_table(head, [*rows, floors]), ""]
        parts += [f"{line}\n" for line in _rough(board, titles)]
    for transfer in transfer_tables(groups):
        data = data_words(transfer.group.standin)
        parts += [f"## Transfer to {_plain(transfer.group.label)} ({data}), protocol {_plain(transfer.protocol)}", ""]
        head, rows = transfer_rows(transfer, titles)
        parts += [*_markdown_table(head, rows), ""]
    legend = f"Bold: the best. ≈: {TIED} {OVERLAP_MARK}: {MARKED[OVERLAP_MARK]}."
    for mark in (LABELLED_MARK, PUBLISHED_MARK):
        if any(any_marked(board, mark) for board in boards):
            legend += f" {mark}: {MARKED[mark]}."
    parts += [f"{legend} {ONCE}: {TRAINED_ONCE}"]
    return "\n".join(parts) + "\n"


def _rough(board: Leaderboard, titles: Mapping[str, str]) -> list[str]:
    return [f"Intervals of {titles[metric]} are rough: {why}." for metric, why in board.rough.items()]


def _marked(row: Row, metric: str) -> str:
    value = row.values.get(metric)
    if value is None:
        return ""
    text = number(value.mean)
    text = f"**{text}**" if metric in row.best else f"{text} ≈" if metric in row.tied else text
    return f"{text} [{number(value.lower)}, {number(value.upper)}]"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_plain(cell) if i != 1 else cell for cell in line) + " |" for i, line in enumerate(lines)]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is but for our own emphasis."""
    return re.sub(r"([\\`_<>|\[\]#])", r"\\\1", one_line(text))
