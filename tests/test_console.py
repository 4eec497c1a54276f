"""What a person sees: names as they are, and nothing that a terminal would obey."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from conftest import bench
from report_store import fill, make_record

from benchmark.console import Level, LogReporter, Reporter, Silent, choose_level, printable, show, show_json
from benchmark.text import aligned

#: A title for the window, colours, a line gone back to, DEL, a C1 control sequence, text turned round, a join.
HOSTILE = "\x1b]0;t\x07\x1b[31m\r\x7f\x9b2J\u202ex\u200d\U000e0041"
#: The same as a command line has it, and as it is shown.
SHOWN = r"\x1b]0;t\x07\x1b[31m\r\x7f\x9b2J\u202ex\u200d\U000e0041"
WRITERS = re.compile(
    r"print|pprint|(rich\.)?(print|Console)|(typer|click)\.s?echo|warnings\.warn|sys\.(std\w+|__std\w+)\.(write\w*|buffer.*)"
    r"|\w*log(ger|ging)\w*\.(debug|info|warning|error|exception)"
)
ROOT = Path(__file__).parent.parent


def only_text(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


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
    with reporter.progress("decode x[/y] at 22,050 Hz\x1b[99m", 2, "clips") as advance:
        advance(2)
    told = capsys.readouterr().err
    assert r"decode x[/y] at 22,050 Hz\x1b[99m" in told
    assert "\x1b[99m" not in told


def test_the_table_of_workers_shows_titles_as_they_are(monkeypatch, capsys, tmp_path):
    from benchmark.engine.progress import Progress, Watcher
    from benchmark.store.store import Store

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    watcher = Watcher(Store(tmp_path / "s"), "bench run", Reporter())
    watcher.progress = Progress(2, 0, running={"worker [1]": "embed [/x] with [red]\x1b[99m"})
    watcher._reporter.live = True
    with watcher.watching():
        pass
    told = capsys.readouterr().err
    assert "worker [1]" in told
    assert r"embed [/x] with [red]\x1b[99m" in told
    assert "\x1b[99m" not in told


def test_what_a_terminal_would_obey_is_written_as_escapes(capsys):
    Reporter().say(f"a{HOSTILE}\nb")
    show(f"a{HOSTILE}\nb\udc80")
    told = capsys.readouterr()
    assert told.err == f"a{SHOWN}\\nb\n"
    assert told.out == f"a{SHOWN}\nb\\udc80\n"
    assert printable("ü 音 e\u0301") == "ü 音 e\u0301"
    assert aligned([["a\x1b", "b"], ["cc", "d"]]) == "a\\x1b  b\ncc     d"


def test_json_says_the_same_and_holds_nothing_that_a_terminal_would_obey(capsys):
    document = {f"k{HOSTILE}": [HOSTILE, "ü 音 \U0001f3b5", "\udc80", 1.5, None]}
    show_json(document)
    told = capsys.readouterr().out
    assert only_text(told)
    assert "ü 音 \U0001f3b5" in told
    assert json.loads(told) == document


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory):
    """A store whose records, notes and manifests quote what nobody should print, in a folder of such a name."""
    store = tmp_path_factory.mktemp("s") / f"store {HOSTILE}"
    records = [make_record(f"{name}{HOSTILE}", "gtzan", seed) for name in "ab" for seed in (0, 1)]
    fill(store, records)
    (store / "format").write_text("2\n")
    (store / "running").mkdir()
    note = {
        "command": f"bench\nrm {HOSTILE}",
        "host": HOSTILE,
        "pid": 1,
        "words": HOSTILE,
        "running": {HOSTILE: HOSTILE},
    }
    (store / "running" / "x.json").write_text(json.dumps(note))
    artifact = store / "artifacts" / "label" / ("0" * 40)
    artifact.mkdir(parents=True)
    step = {"kind": "label", "resources": {"seconds": 1.0}}
    files = {f"a\nb{HOSTILE}": {"bytes": 1, "sha256": "", "modified": 0}}
    manifest = {"key": artifact.name, "kind": "label", "title": HOSTILE, "finished": HOSTILE, "files": files}
    manifest |= {"lineage": {artifact.name: step}, "digest": ""}
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    return store


COMMANDS = {
    "status": ["status"],
    "ls": ["store", "ls"],
    "verify": ["store", "verify"],
    "verify as JSON": ["store", "verify", "--json"],
    "export": ["store", "export", "-"],
    "compare with nothing": ["compare", HOSTILE, "b"],
    "report as Markdown": ["report", "--format", "md", "-o", "-"],
    "report as JSON": ["report", "--format", "json", "-o", "-"],
    "push": ["store", "push", f"other {HOSTILE}"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_from_elsewhere_writes_nothing_to_the_terminal(hostile_store, tmp_path, command):
    result = bench(*COMMANDS[command], "--store", hostile_store, cwd=tmp_path)
    assert result.returncode in (0, 1, 2)
    assert "Traceback" not in result.stderr
    assert only_text(result.stdout + result.stderr)
    if "JSON" in command:
        assert json.loads(result.stdout)
    if command == "status":
        assert rf"bench\nrm {SHOWN}" in result.stdout


REGISTRY = {
    "encoders": {
        "odd": {"class": "odd_code:Odd", "description": f"an encoder{HOSTILE}"},
        f"name{HOSTILE}": {"class": "encoders.features:MFCC"},
        "gone": {"class": "odd_code:Gone"},
    },
    "datasets": {f"data{HOSTILE}": {"class": "odd_code:Gone", "description": HOSTILE}},
}
CODE = (
    f"from encoders.base import Encoder\n\nclass Odd(Encoder):\n    def layers(self):\n"
    f"        raise RuntimeError({HOSTILE!r})\n"
    "    def represent(self, waveform, layers=()):\n        return waveform, {}\n"
    "    def __init__(self):\n        super().__init__()\n"
    "        self.sample_rate, self.window, self.max_window, self.dim = 22_050, 4_096, 4_096, 8\n\n"
    f"def __getattr__(name):\n    raise AttributeError({HOSTILE!r})\n"
)
WORDS = {
    "list": ["list"],
    "list as JSON": ["list", "--json"],
    "an unknown encoder": ["run", "--encoder", HOSTILE, "--task", "mtt"],
    "an unknown option": ["run", f"--x{HOSTILE}"],
    "too many words": ["doctor", HOSTILE],
    "a setting": ["run", "--encoder", "tune_plus", "--task", "mtt", "--set", f"{HOSTILE}=1", "--store", "s"],
    "a store": ["report", "--store", HOSTILE],
    "what a module says": ["check", "gone"],
    "what an encoder raises": [
        "run",
        "--encoder",
        "odd",
        "--task",
        "gtzan",
        "--layer",
        "all",
        "--dry-run",
        "--store",
        "s",
    ],
    "a dataset": ["data", "status", f"data{HOSTILE}"],
    "audio": ["encode", HOSTILE, "--encoder", "mfcc", "-o", "x.npz"],
    "a table": ["analyze", HOSTILE],
}
CODES = {"list": 0, "list as JSON": 0, "a dataset": 0}


@pytest.mark.parametrize("words", WORDS)
def test_neither_a_registry_nor_the_command_line_is_printed_raw(tmp_path, words):
    folder = tmp_path / f"of {HOSTILE}"
    folder.mkdir()
    (folder / "registry.yaml").write_text(yaml.safe_dump(REGISTRY))
    (folder / "odd_code.py").write_text(CODE)
    result = bench(*WORDS[words], cwd=folder)
    assert result.returncode == CODES.get(words, 2), result.stderr
    assert only_text(result.stdout + result.stderr)
    if words == "list":
        assert f"an encoder{SHOWN}" in result.stdout
    if words == "what an encoder raises":
        assert r"RuntimeError('\x1b]0;t\x07" in result.stderr
    if words == "list as JSON":
        assert f"an encoder{HOSTILE}" in [row["description"] for row in json.loads(result.stdout)]


def test_logs_hold_nothing_that_a_terminal_would_obey(tmp_path):
    from benchmark.console import LogReporter

    LogReporter(tmp_path / "logs" / "x.log").say(f"failed: {HOSTILE}\nTraceback")
    first, second = (tmp_path / "logs" / "x.log").read_text().splitlines()
    assert first.endswith(f" failed: {SHOWN}")
    assert second == "Traceback"


def test_nothing_is_written_to_a_terminal_but_by_the_console():
    """The writers of `benchmark.console` are the only ones, so that no caller can forget what they see to."""
    rooms = ("analysis", "benchmark", "encoders", "probes", "tasks")
    found = set()
    for file in [ROOT / "cli.py", *(file for room in rooms for file in (ROOT / room).rglob("*.py"))]:
        calls = [
            ast.unparse(node.func) for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.Call)
        ]
        found |= {(file.relative_to(ROOT).as_posix(), call) for call in calls if WRITERS.fullmatch(call)}
    assert found == {
        ("benchmark/console.py", "print"),
        *((f"benchmark/{n}.py", "Console") for n in ("console", "engine/progress")),
    }
