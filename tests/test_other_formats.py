"""A store of another version of bench is refused in a line by every command that reads one, and left as it is."""

from __future__ import annotations

import re

import pytest
from conftest import bench
from report_store import fill, make_record
from test_first_words import COMMANDS

from benchmark.examination.installation import _store

#: What each command that takes a store is given beside it; a new one is to be added here.
TAKING_A_STORE = {
    ("run",): "--encoder mfcc --task mtt",
    ("status",): "",
    ("doctor",): "",
    ("compare",): "a b",
    ("analyze",): "--factor encoder",
    ("report",): "-o -",
    ("look",): "mfcc --task mtt -o out.html",
    ("encode",): "a.wav --encoder tune_plus -o a.npz",
    ("export-encoder",): "tune_plus -o folder",
    ("data", "prepare"): "gtzan",
    ("data", "status"): "gtzan",
    ("data", "sources"): "gtzan",
    ("store", "ls"): "",
    ("store", "show"): "0123456",
    ("store", "verify"): "",
    ("store", "gc"): "--keep study.yaml",
    ("store", "export"): "-",
    ("store", "push"): "other",
    ("store", "pull"): "other",
    ("store", "migrate"): "",
}


def test_every_command_that_takes_a_store_is_here():
    found = {words for words, command in COMMANDS.items() if any("--store" in each.opts for each in command.params)}
    assert found == TAKING_A_STORE.keys()


def test_doctor_says_so(tmp_path):
    assert _store(tmp_path).ok
    (tmp_path / "format").write_text("3\n")
    assert (_store(tmp_path).ok, "is a store of format 3" in _store(tmp_path).found) == (False, True)


@pytest.mark.parametrize("words", sorted(TAKING_A_STORE.keys() - {("doctor",)}), ids=" ".join)
def test_a_store_of_another_format_is_refused(tmp_path, words):
    store = fill(tmp_path / "s", [make_record(encoder, "gtzan", 0) for encoder in ("a", "b")])
    (store / "format").write_text("3\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "study.yaml").write_text("name: s\nencoders: [mfcc]\ntasks: [mtt]\n")
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    result = bench(*words, *TAKING_A_STORE[words].split(), "--store", store, cwd=tmp_path)
    said = [line for line in (result.stdout + result.stderr).splitlines() if "format 3" in line]
    assert len(said) == 1, result.stderr
    assert re.search(
        rf"{store}: is a store of format 3; (this version of bench reads 2|only stores of format 1)", said[0]
    )
    assert result.returncode == 2
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
