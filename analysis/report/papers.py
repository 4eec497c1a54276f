"""Leaderboards, transfer tables and findings for papers and programs: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from analysis.report.curves import Transfer, transfer_tables
from analysis.report.document import Document
from analysis.report.groups import Group, form_groups
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
    leaderboard,
)
from analysis.report.over_tasks import over_tasks
from analysis.tables.writing import csv_text as table_text

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}", "·": r"\textperiodcentered{}", "−": r"$-$",
    "†": r"$\dagger$", "‡": r"$\ddagger$", "¶": r"$\P$", "≈": r"$\approx$",
}  # fmt: skip
#: What marks say, and how LaTeX has them.
_MARKED = {
    OVERLAP_MARK: "pretrained on test clips",
    LABELLED_MARK: "trained on labels of test clips",
    PUBLISHED_MARK: "trained by its publishers on this dataset",
}
_RAISED = {OVERLAP_MARK: r"\dagger", LABELLED_MARK: r"\ddagger", PUBLISHED_MARK: r"\P", ONCE: r"\S"}
_STANDIN = "stand-in: synthetic audio, not comparable with published scores"
_ONCE_IN_LATEX = "$^\\S$ trained once, so the luck of training is in no interval or test"


def _boards(groups: Sequence[Group]) -> list[Leaderboard]:
    return [board for group in groups if (board := leaderboard(group)) is not None]


def csv_text(document: Document) -> str:
    """Leaderboards as a long table: a line a task, representation, protocol and metric.

    A name that a spreadsheet would take for a formula, as names of a stranger's store may, begins with an apostrophe.
    """
    records = as_records(_boards(form_groups(document["runs"])))
    return table_text(list(records[0]) if records else ["task"], records)


def json_text(document: Document) -> str:
    """The document with its leaderboards and analyses added."""
    groups = form_groups(document["runs"])
    analyses = {
        "stand-in" if standin else "real": {"analysis": found.analysis, "reason": found.reason, "shares": found.shares}
        for standin in (False, True)
        if (found := over_tasks(groups, standin)) is not None
    }
    whole = {**document, "leaderboards": as_records(_boards(groups)), "over_tasks": analyses}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def markdown(document: Document) -> str:
    """Findings, leaderboards and transfer tables as Markdown."""
    groups = form_groups(document["runs"])
    titles = document["metrics"]
    study = document["study"]
    name = study["name"] if study else "Music representations compared"
    parts = [f"# {_plain(name)}", ""]
    for standin in (False, True):
        found = over_tasks(groups, standin)
        if found is not None and found.analysis is not None:
            parts += [f"## Findings ({'stand-in' if standin else 'real data'})", ""]
            parts += [f"- {_plain(sentence['text'])}" for sentence in found.analysis["summary"]] + [""]
    for board in _boards(groups):
        data = _data(board.group)
        parts += [f"## {_plain(board.group.label)} ({data})", ""]
        head = ["encoder", "pretraining", "protocol", *(titles[m] for m in board.group.metrics), "seeds"]
        rows = [
            [
                " ".join(filter(None, [row.named, row.mark, ONCE if row.trained_once else ""])),
                row.pretraining,
                row.protocol,
                *(_marked(row, metric, "**{}**", "{} ≈") for metric in board.group.metrics),
                str(row.seeds),
            ]
            for row in board.rows
        ]
        floors = ["constant", "", "", *(_number(board.floors[metric]) for metric in board.group.metrics), ""]
        parts += [*_markdown_table(head, [*rows, floors]), ""]
        parts += [f"{line}\n" for line in _rough(board, titles)]
    for transfer in transfer_tables(groups):
        data = _data(transfer.group)
        parts += [f"## Transfer to {_plain(transfer.group.label)} ({data}), protocol {_plain(transfer.protocol)}", ""]
        head, rows = _transfer(transfer, titles)
        parts += [*_markdown_table(head, rows), ""]
    legend = f"Bold: the best. ≈: {TIED} {OVERLAP_MARK}: {_MARKED[OVERLAP_MARK]}."
    for mark in (LABELLED_MARK, PUBLISHED_MARK):
        if any(_any_marked(board, mark) for board in _boards(groups)):
            legend += f" {mark}: {_MARKED[mark]}."
    parts += [f"{legend} {ONCE}: {TRAINED_ONCE}"]
    return "\n".join(parts) + "\n"


def latex(document: Document) -> str:
    """Leaderboards and transfer tables for the packages booktabs and inputenc; bold: the best, star: tied with it."""
    groups = form_groups(document["runs"])
    titles = document["metrics"]
    parts = ["% \\usepackage{booktabs}", f"% $^*$ {_one_line(TIED)}", f"% $^\\S$ {TRAINED_ONCE}", ""]
    for board in _boards(groups):
        data = _data(board.group)
        head = ["Encoder", "Pretraining", "Protocol", *(titles[m] for m in board.group.metrics)]
        rows = [
            [
                _escape(row.named) + _raised(row),
                _escape(row.pretraining),
                _escape(row.protocol),
                *(_marked(row, metric, r"\textbf{{{}}}", "{}$^*$", interval=False) for metric in board.group.metrics),
            ]
            for row in board.rows
        ]
        floors = ["Constant", "", "", *(_minus(_number(board.floors[metric])) for metric in board.group.metrics)]
        caption = (
            f"{_escape(board.group.label)} ({_escape(data)}), means over seeds. Best in bold; $^*$ tied with the best"
            f" at 5\\,\\%, corrected for all pairs of rows"
            + "".join(f"; $^{_RAISED[mark]}$ {words}" for mark, words in _MARKED.items() if _any_marked(board, mark))
            + (f"; {_ONCE_IN_LATEX}." if any(row.trained_once for row in board.rows) else ".")
        )
        parts += _latex_table(head, rows, caption, floors)
    for transfer in transfer_tables(groups):
        head, rows = _transfer(transfer, titles)
        caption = (
            f"Transfer to {_escape(transfer.group.label)} ({_data(transfer.group)}), protocol"
            f" {_escape(transfer.protocol)}, means over seeds" + (f"; {_ONCE_IN_LATEX}." if transfer.once else ".")
        )
        cells = [[_escape(row[0]), *(_minus(cell).replace(f" {ONCE}", r"$^\S$") for cell in row[1:])] for row in rows]
        parts += _latex_table(head, cells, caption)
    return "\n".join(parts)


def _rough(board: Leaderboard, titles: Mapping[str, str]) -> list[str]:
    return [f"Intervals of {titles[metric]} are rough: {why}." for metric, why in board.rough.items()]


def _data(group: Group) -> str:
    return _STANDIN if group.standin else "real data"


def _number(value: float) -> str:
    """Three decimals, and no minus before a zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def _minus(text: str) -> str:
    """A number for LaTeX, where a minus is no hyphen."""
    return text.replace("-", "$-$")


def _any_marked(board: Leaderboard, mark: str) -> bool:
    return any(row.mark == mark for row in board.rows)


def _raised(row: Row) -> str:
    """Marks of a row, for LaTeX."""
    marks = "".join(_RAISED[mark] for mark in (row.mark, ONCE if row.trained_once else "") if mark)
    return f"$^{{{marks}}}$" if marks else ""


def _marked(row: Row, metric: str, best: str, tied: str, interval: bool = True) -> str:
    value = row.values.get(metric)
    if value is None:
        return ""
    text = _number(value.mean) if interval else _minus(_number(value.mean))
    text = best.format(text) if metric in row.best else tied.format(text) if metric in row.tied else text
    return f"{text} [{_number(value.lower)}, {_number(value.upper)}]" if interval else text


def _transfer(transfer: Transfer, titles: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    columns = [(encoder, metric) for encoder in transfer.encoders for metric in transfer.metrics]
    rows = []
    for corpus in transfer.corpora:
        values = [transfer.cells.get((corpus, encoder), {}).get(metric) for encoder, metric in columns]
        marks = [f" {ONCE}" if (corpus, encoder) in transfer.once else "" for encoder, _ in columns]
        numbers = ["" if value is None else _number(value.mean) for value in values]
        rows.append([corpus, *(f"{text}{mark}" if text else "" for text, mark in zip(numbers, marks, strict=True))])
    return ["Pretrained on", *(f"{encoder}, {titles[metric]}" for encoder, metric in columns)], rows


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_plain(cell) if i != 1 else cell for cell in line) + " |" for i, line in enumerate(lines)]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is but for our own emphasis."""
    return re.sub(r"([\\`_<>|\[\]#])", r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _latex_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, last: Sequence[str] = ()
) -> list[str]:
    """A table whose cells, but for the head, are LaTeX already."""
    words = sum(1 for name in head if name in ("Encoder", "Pretraining", "Protocol", "Pretrained on"))
    lines = [
        r"\begin{table}", r"  \centering", f"  \\caption{{{caption}}}",
        f"  \\begin{{tabular}}{{{'l' * words}{'r' * (len(head) - words)}}}", r"    \toprule",
        "    " + " & ".join(_escape(name) for name in head) + r" \\", r"    \midrule",
        *("    " + " & ".join(row) + r" \\" for row in rows),
    ]  # fmt: skip
    if last:
        lines += [r"    \midrule", "    " + " & ".join(last) + r" \\"]
    return [*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _one_line(text))
