"""What a person sees while work is under way."""

from __future__ import annotations

import pytest

from benchmark.console import Level, LogReporter, Reporter, Silent, choose_level


@pytest.fixture
def level():
    """Sets the level until the test ends."""
    yield choose_level
    choose_level(Level.NORMAL)


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        (Level.QUIET, ["warning"]),
        (Level.NORMAL, ["remark", "warning", "work: 2 clips", "work: done"]),
        (Level.VERBOSE, ["remark", "warning", "detail", "work: 2 clips", "work: done"]),
    ],
)
def test_a_reporter_says_as_much_as_was_chosen(level, chosen, shown, tmp_path, capsys):
    def report(reporter):
        reporter.say("remark")
        reporter.warn("warning")
        reporter.detail("detail")
        with reporter.progress("work", 2, "clips") as advance:
            advance(2)

    level(chosen)
    report(Reporter())
    assert [line.split(", ")[0] for line in capsys.readouterr().err.splitlines()] == shown
    # A log holds all remarks, whoever reads the terminal.
    report(Reporter().logged(tmp_path / "log"))
    assert [line.split(", ")[0] for line in capsys.readouterr().err.splitlines()] == shown
    logged = (tmp_path / "log").read_text()
    assert "remark" in logged and "warning" in logged and "work: 2 clips" in logged
    report(Silent())
    report(LogReporter(tmp_path / "other"))
    assert capsys.readouterr().err == ""
    assert "detail" not in (tmp_path / "other").read_text()


def test_names_with_brackets_are_shown_as_they_are(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    reporter = Reporter()
    reporter.live = True
    with reporter.progress("decode x[/y] at 22,050 Hz", 2, "clips") as advance:
        advance(2)
    assert "decode x[/y] at 22,050 Hz" in capsys.readouterr().err
