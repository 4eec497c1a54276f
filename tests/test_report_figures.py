"""Figures for papers: their widths, fonts, colours and names, and what they show against the records."""

from __future__ import annotations

import base64
import gzip
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from report_store import everything, fill, grid

from analysis.pages.for_paper import BOTH, COLUMN, SMALLEST, TALLEST, paper_style
from analysis.report import paper_drawings
from analysis.report.groups import form_groups
from analysis.report.leaderboard import leaderboard
from analysis.report.over_tasks import over_tasks
from analysis.report.page import context, paper_figures
from analysis.report.page_figures import find_figures
from analysis.report.score_table import score_table
from analysis.report.tracks import track
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return collect(fill(tmp_path_factory.mktemp("figures") / "store", everything()), load_registry())


@pytest.fixture(scope="module")
def figures(document):
    shown = context(document)
    return list(find_figures([shown["figures"], shown["maps"]]))


@pytest.fixture(scope="module")
def table(document):
    groups = form_groups(document["runs"])
    return score_table([leaderboard(group) for group in groups], over_tasks(groups, False), False)


def test_every_figure_fits_a_column_or_both_and_carries_its_fonts(figures):
    assert len(figures) >= 10
    for figure in figures:
        paper = figure.paper
        assert paper.width in (COLUMN, BOTH)
        assert paper.height <= TALLEST
        box = re.search(rb"/MediaBox \[ ?0 0 ([0-9.]+) ([0-9.]+) ?\]", paper.pdf)
        assert float(box[1]) == pytest.approx(72 * paper.width, abs=0.1)
        assert b"/FontFile2" in paper.pdf
        assert b"/Type3" not in paper.pdf
        assert paper.svg.startswith(b"<?xml")
        assert b"<text" not in paper.svg  # letters are paths, so that no font has to be there
        assert gzip.decompress(base64.b64decode(figure.packed_svg)) == paper.svg
        assert base64.b64decode(figure.pdf_address.partition(",")[2]) == paper.pdf


def test_no_two_files_have_one_name_and_none_leaves_the_folder(document, tmp_path):
    records = [*grid(["../a", "b"], ["../x/Y", "..x y"], [0, 1]), *grid(["c", "b"], ["gtzan"], [0, 1], data="stand-in")]
    files = paper_figures(collect(fill(tmp_path / "store", records), load_registry()))
    assert all(re.fullmatch(r"[a-z0-9-]+\.(pdf|svg)", name) for name in files)
    assert {name.rpartition(".")[0] for name in files} >= {"heat-map-real-data", "heat-map-stand-ins"}
    assert len({bytes(content) for content in files.values()}) == len(files)


def test_the_heat_map_darkens_with_the_score_in_grey_too(table):
    with paper_style():
        figure = paper_drawings.heat_map(table, {})
    mesh = figure.axes[0].collections[0]
    values = np.asarray(mesh.get_array()).reshape(len(table.representations), len(table.boards))
    for i, name in enumerate(table.representations):
        expected = [table.deviations.get((name, board.group.label), np.nan) for board in table.boards]
        np.testing.assert_array_equal(values[i], expected)
    known = np.isfinite(values)
    shown = [table.value(name, board) is not None for name in table.representations for board in table.boards]
    order = np.flatnonzero(known)[np.argsort(values[known])]
    grey = mesh.to_rgba(values.ravel()[order])[:, :3] @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(grey) <= 1e-9).all()
    texts = list(figure.axes[0].texts)
    assert [text.get_text() for text in texts[: len(table.boards)]] == [
        f"{table.value(table.representations[0], board).mean:.3f}" for board in table.boards
    ]
    shades = mesh.to_rgba(values.ravel())[:, :3] @ np.array([0.299, 0.587, 0.114])
    shades[~known.ravel()] = 1.0
    for text, shade in zip(texts, shades[shown], strict=True):
        assert abs(np.dot(to_rgb(text.get_color()), [0.299, 0.587, 0.114]) - shade) > 0.4
        assert text.get_fontsize() >= SMALLEST


def test_small_multiples_have_one_order_and_the_intervals_of_the_records(table):
    with paper_style():
        figure = paper_drawings.small_multiples(table, {})
    for panel, board in zip(figure.axes, table.boards, strict=False):
        low, high = panel.get_xlim()
        bars = [line for line in panel.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
        for y, name in enumerate(table.representations):
            value = table.value(name, board)
            if value is None:
                assert not [line for line in bars if line.get_ydata()[0] == y]
                continue
            (bar,) = (line for line in bars if line.get_ydata()[0] == y)
            assert list(bar.get_xdata()) == [value.lower, value.upper]
            assert low <= value.lower <= value.upper <= high


def test_the_line_beside_a_score_holds_every_interval_and_a_floor_that_is_near(table):
    for board in table.boards:
        line = track(board)
        for row in board.rows:
            left, width, place = line.span(row.values[board.group.lead])
            assert 0 <= left <= place <= left + width <= 100
        floor = board.floors[board.group.lead]
        scores = [row.values[board.group.lead] for row in board.rows]
        low, high = min(value.lower for value in scores), max(value.upper for value in scores)
        assert (line.floor is None) == (floor < low - (high - low))
        if line.floor_place is not None:
            assert 0 <= line.floor_place <= 100
