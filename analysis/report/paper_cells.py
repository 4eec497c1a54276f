"""What tables for papers share, whatever they are written in: boards, numbers, marks and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.report.curves import Transfer
from analysis.report.groups import Group
from analysis.report.leaderboard import LABELLED_MARK, ONCE, OVERLAP_MARK, PUBLISHED_MARK, Leaderboard, leaderboard

#: What marks say.
MARKED = {
    OVERLAP_MARK: "pretrained on test clips",
    LABELLED_MARK: "trained on labels of test clips",
    PUBLISHED_MARK: "trained by its publishers on this dataset",
}
_STANDIN = "stand-in: synthetic audio, not comparable with published scores"


def boards_of(groups: Sequence[Group]) -> list[Leaderboard]:
    """The leaderboard of every group that has one."""
    return [board for group in groups if (board := leaderboard(group)) is not None]


def data_words(standin: bool) -> str:
    """Which data, for a caption."""
    return _STANDIN if standin else "real data"


def number(value: float) -> str:
    """Three decimals, and no minus before a zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def any_marked(board: Leaderboard, mark: str) -> bool:
    """Whether a row of a leaderboard bears a mark."""
    return any(row.mark == mark for row in board.rows)


def transfer_rows(transfer: Transfer, titles: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a transfer table."""
    columns = [(encoder, metric) for encoder in transfer.encoders for metric in transfer.metrics]
    rows = []
    for corpus in transfer.corpora:
        values = [transfer.cells.get((corpus, encoder), {}).get(metric) for encoder, metric in columns]
        marks = [f" {ONCE}" if (corpus, encoder) in transfer.once else "" for encoder, _ in columns]
        numbers = ["" if value is None else number(value.mean) for value in values]
        rows.append([corpus, *(f"{text}{mark}" if text else "" for text, mark in zip(numbers, marks, strict=True))])
    return ["Pretrained on", *(f"{encoder}, {titles[metric]}" for encoder, metric in columns)], rows


def one_line(text: str) -> str:
    """A text without line breaks."""
    return " ".join(text.split())
