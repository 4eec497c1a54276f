"""What commands print with `--json` has the keys and the types that the documentation lists."""

import json

import pytest
from conftest import bench
from json_types import DOCUMENTS, complaints
from report_store import fill, grid


def printed(*words):
    done = bench(*words)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("list", ("list", "--json")),
        ("list", ("list", "studies", "--json")),
        ("check", ("check", "chroma", "--json")),
        ("resources", ("resources", "--encoder", "chroma", "--json")),
        ("doctor", ("doctor", "--json")),
        ("run --dry-run", ("run", "--encoder", "mfcc", "--task", "gtzan", "--dry-run", "--json")),
        ("speed engine", ("speed", "engine", "--records", 20, "--json")),
        ("speed analysis", ("speed", "analysis", "--bootstrap", 2, "--json")),
        ("design", ("design", "--factor", "encoder=a,b", "--factor", "seed=0,1", "--runs", 2, "--json")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_commands_print_what_is_documented(command, words, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    assert complaints(printed(*words), DOCUMENTS[command]) == []


def test_a_store_is_told_as_is_documented(tmp_path):
    fill(tmp_path, grid(["mfcc", "tune_plus"], ["mtt", "gtzan"], [0, 1]))
    for command, words in (
        ("status", ("status",)),
        ("store ls", ("store", "ls")),
        ("store verify", ("store", "verify")),
        ("data status", ("data", "status", "gtzan")),
    ):
        assert complaints(printed(*words, "--store", tmp_path, "--json"), DOCUMENTS[command]) == []
    document = printed("report", "--store", tmp_path, "--format", "json", "-o", "-")
    assert {"leaderboards", "over_tasks"} < document.keys()
    own = {key: value for key, value in document.items() if key not in ("leaderboards", "over_tasks")}
    assert complaints(own, DOCUMENTS["report --format json"]) == []


def test_complaints_are_made():
    rows = [{"section": "tasks", "name": "mtt", "description": "", "file": "x", "line": True, "lacks": []}]
    rows[0]["more"] = 1
    assert complaints(rows, DOCUMENTS["list"]) == [
        "$[0].more: is not in ListedEntry",
        "$[0].line: True is no <class 'int'>",
    ]
    assert complaints([{"section": "tasks"}], DOCUMENTS["list"])[0] == "$[0].description: is missing"
