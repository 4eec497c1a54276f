"""What a person sees while work is under way."""

from __future__ import annotations

from benchmark.console import Reporter


def test_names_with_brackets_are_shown_as_they_are(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    reporter = Reporter()
    reporter.live = True
    with reporter.progress("decode x[/y] at 22,050 Hz", 2, "clips") as advance:
        advance(2)
    assert "decode x[/y] at 22,050 Hz" in capsys.readouterr().err
