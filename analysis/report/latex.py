"""Tables of a report as LaTeX: representations by tasks, leaderboards and transfer, for booktabs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from analysis.report.curves import transfer_tables
from analysis.report.document import Document
from analysis.report.groups import form_groups
from analysis.report.leaderboard import LABELLED_MARK, ONCE, OVERLAP_MARK, PUBLISHED_MARK, TIED, TRAINED_ONCE, Row
from analysis.report.over_tasks import over_tasks
from analysis.report.paper_cells import MARKED, any_marked, boards_of, data_words, number, one_line, transfer_rows
from analysis.report.score_table import ScoreTable, score_table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}", "·": r"\textperiodcentered{}", "−": r"$-$",
    "†": r"$\dagger$", "‡": r"$\ddagger$", "¶": r"$\P$", "≈": r"$\approx$",
}  # fmt: skip
_RAISED = {OVERLAP_MARK: r"\dagger", LABELLED_MARK: r"\ddagger", PUBLISHED_MARK: r"\P", ONCE: r"\S"}
_OF_WORDS = ("Representation", "Encoder", "Pretraining", "Protocol", "Pretrained on")
"""Heads of columns that hold no numbers."""
_FEW = 3
"""Tasks whose table fits one column."""
_ONCE_IN_LATEX = "$^\\S$ trained once, so the luck of training is in no interval or test"


def latex(document: Document) -> str:
    """Tables for the package booktabs: representations by tasks first, then leaderboards and transfer.

    Parameters
    ----------
    document : Document
    """
    groups = form_groups(document["runs"])
    titles = document["metrics"]
    parts = ["% \\usepackage{booktabs}", f"% $^*$ {one_line(TIED)}", f"% $^\\S$ {TRAINED_ONCE}", ""]
    boards = boards_of(groups)
    for standin in (False, True):
        table = score_table(boards, over_tasks(groups, standin), standin)
        parts += _by_tasks(table, titles) if table is not None else []
    for board in boards:
        data = data_words(board.group.standin)
        head = ["Encoder", "Pretraining", "Protocol", *(titles[m] for m in board.group.metrics)]
        rows = [
            [
                _escape(row.named) + _raised(row),
                _escape(row.pretraining),
                _escape(row.protocol),
                *(_marked(row, metric) for metric in board.group.metrics),
            ]
            for row in board.rows
        ]
        floors = ["Constant", "", "", *(_minus(number(board.floors[metric])) for metric in board.group.metrics)]
        caption = (
            f"{_escape(board.group.label)} ({_escape(data)}), means over seeds. Best in bold; $^*$ tied with the best"
            f" at 5\\,\\%, corrected for all pairs of rows"
            + "".join(f"; $^{_RAISED[mark]}$ {words}" for mark, words in MARKED.items() if any_marked(board, mark))
            + (f"; {_ONCE_IN_LATEX}." if any(row.trained_once for row in board.rows) else ".")
        )
        parts += _latex_table(head, rows, caption, _label(board.group.label), floors)
    for transfer in transfer_tables(groups):
        head, rows = transfer_rows(transfer, titles)
        caption = (
            f"Transfer to {_escape(transfer.group.label)} ({data_words(transfer.group.standin)}), protocol"
            f" {_escape(transfer.protocol)}, means over seeds" + (f"; {_ONCE_IN_LATEX}." if transfer.once else ".")
        )
        cells = [[_escape(row[0]), *(_minus(cell).replace(f" {ONCE}", r"$^\S$") for cell in row[1:])] for row in rows]
        parts += _latex_table(head, cells, caption, _label("transfer", transfer.group.label, transfer.protocol))
    return "\n".join(parts)


def _minus(text: str) -> str:
    """A number for LaTeX, where a minus is no hyphen."""
    return text.replace("-", "$-$")


def _raised(row: Row) -> str:
    """Marks of a row, for LaTeX."""
    marks = "".join(_RAISED[mark] for mark in (row.mark, ONCE if row.trained_once else "") if mark)
    return f"$^{{{marks}}}$" if marks else ""


def _marked(row: Row, metric: str) -> str:
    value = row.values.get(metric)
    if value is None:
        return ""
    text = _minus(number(value.mean))
    return f"\\textbf{{{text}}}" if metric in row.best else f"{text}$^*$" if metric in row.tied else text


def _by_tasks(table: ScoreTable, titles: Mapping[str, str]) -> list[str]:
    """Two lines a representation: its mean score on each task with the SD of seeds, and below it the interval."""
    head = ["Representation", *(board.group.label for board in table.boards)]
    lines = [["", *(f"{{\\scriptsize {_escape(titles[board.group.lead])}}}" for board in table.boards)]]
    best = {board.group.label: table.best(board) for board in table.boards}
    for name in table.representations:
        means, intervals = [_escape(name) + (r"$^{\S}$" if name in table.once else "")], [""]
        for board in table.boards:
            value, row = table.value(name, board), table.rows.get((name, board.group.label))
            if value is None or row is None:
                means.append("--")
                intervals.append("")
                continue
            text = _minus(number(value.mean))
            text = f"\\textbf{{{text}}}" if name == best[board.group.label] else text
            text += f"$^{{{_RAISED[row.mark]}}}$" if row.mark else ""
            spread = "" if value.sd is None else f" {{\\scriptsize $\\pm$ {number(value.sd)}}}"
            means.append(text + spread)
            intervals.append(f"{{\\scriptsize [{_minus(number(value.lower))}, {_minus(number(value.upper))}]}}")
        lines += [means, intervals]
    floors = ["Constant", *(_minus(number(board.floors[board.group.lead])) for board in table.boards)]
    clips = ", ".join(f"{_escape(board.group.label)} {board.group.runs[0]['n_test']}" for board in table.boards)
    seeds = "/".join(map(str, table.seeds))
    level = f"{100 * table.boards[0].level:.0f}\\,\\%"
    marks = {row.mark for (name, _), row in table.rows.items() if name in table.representations}
    caption = (
        f"Representations by tasks ({data_words(table.standin)}): mean over seeds"
        + (r" $\pm$ SD of seeds" if table.seeds[-1:] > [1] else "")
        + f", and below it the {level} interval over test clips; $n$ = {clips} test clips, {seeds}"
        + f" {'seed' if seeds == '1' else 'seeds'}. Best in bold"
        + "".join(f"; $^{_RAISED[mark]}$ {words}" for mark, words in MARKED.items() if mark in marks)
        + (f"; {_ONCE_IN_LATEX}." if table.once else ".")
    )
    label = _label("representations", "stand-in" if table.standin else "real")
    return _latex_table(head, lines, caption, label, floors, wide=len(table.boards) > _FEW)


def _label(*words: str) -> str:
    return "tab:" + re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def _latex_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    label: str,
    last: Sequence[str] = (),
    *,
    wide: bool = False,
) -> list[str]:
    """A table whose cells, but for the head, are LaTeX already; a wide one goes over both columns of a page."""
    words = sum(1 for name in head if name in _OF_WORDS)
    kind = "table*" if wide else "table"
    lines = [
        f"\\begin{{{kind}}}", r"  \centering", f"  \\caption{{{caption}}}", f"  \\label{{{label}}}",
        f"  \\begin{{tabular}}{{{'l' * words}{'r' * (len(head) - words)}}}", r"    \toprule",
        "    " + " & ".join(_escape(name) for name in head) + r" \\", r"    \midrule",
        *("    " + " & ".join(row) + r" \\" for row in rows),
    ]  # fmt: skip
    if last:
        lines += [r"    \midrule", "    " + " & ".join(last) + r" \\"]
    return [*lines, r"    \bottomrule", r"  \end{tabular}", f"\\end{{{kind}}}", ""]


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in one_line(text))
