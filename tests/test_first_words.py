"""What a newcomer meets: examples in every help, names that the shell completes, and mistakes told in one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import typer
from conftest import bench

import cli
from benchmark import text
from benchmark.commands import listing
from benchmark.registry.registry import SECTIONS
from cli import app

COMPLETED = """
import atexit, sys
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
from cli import app
app(prog_name="bench")
"""


#: Words of groups, which do nothing by themselves.
GROUPS = [(), ("data",), ("new",), ("speed",), ("store",)]


def commands(command, *words) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command that does something, with its words."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *words, name)
    if not hasattr(command, "commands"):
        yield words, command


COMMANDS = dict(commands(typer.main.get_command(app)))
EVERY = [*GROUPS, *COMMANDS]
RUN = ["run", "--encoder", "tune_plus", "--task", "mtt"]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """`bench` in this process: exit code, standard output and standard error."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("GOMP_SPINCOUNT", "2000")
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return SimpleNamespace(code=end.value.code, out=out, err=err)

    return called


def assert_one_line(result, message):
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"bench: {message}")
    assert result.err.count("\n") == 1 and result.err.endswith("\n")
    assert "Usage:" not in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("words", EVERY, ids=lambda words: " ".join(words) or "bench")
def test_every_word_has_a_help_by_one_letter_that_names_its_levels(call, words):
    result = call(*words, "-h")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(" ".join(["Usage: bench", *words]))
    for option in ("-q, --quiet ", "-v, --verbose ", "-h, --help "):
        assert option in result.out


@pytest.mark.parametrize("words", EVERY, ids=lambda words: " ".join(words) or "bench")
def test_an_option_that_is_not_there_is_one_line(call, words):
    path = " ".join(["bench", *words])
    assert_one_line(call(*words, "--verbos"), f"no option --verbos for {path}. Did you mean --verbose? `{path} --help`")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_takes_the_levels(words):
    [example] = re.findall(r"Example: (bench .*)", COMMANDS[words].help)
    for option in ("-q", "--quiet", "-v", "--verbose"):
        given = [*shlex.split(example)[1 + len(words) :], option]
        params = COMMANDS[words].make_context(" ".join(words), given).params
        assert (params["quiet"], params["verbose"]) == ("q" in option, "v" in option)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["run", "--encodr", "x"],
            "no option --encodr for bench run. Did you mean --encoder? `bench run --help` lists",
        ),
        (["run", "-j"], "no option -j for bench run. There are: --allow-missing, --allow-overlap, --arg, --batch, "),
        (["rnu"], "no command 'rnu' for bench. Did you mean 'run'? `bench --help` lists all"),
        (["xyzzy"], "no command 'xyzzy' for bench. There are: analyze, check, "),
        (["data", "statu"], "no command 'statu' for bench data. Did you mean 'status'? `bench data --help` lists all"),
        (
            ["data"],
            "bench data needs a command: download, prepare, sources, standin, status, verify; `bench ",
        ),
        (
            ["store"],
            "bench store needs a command: export, gc, ls, migrate, pull, push, show, verify; ",
        ),
        (["speed"], "bench speed needs a command: analysis, decode, "),
        (["new"], "bench new needs a command: encoder, task; `bench new --help`"),
        (["-q", "data", "-q"], "bench data needs a command: download, "),
        (["check"], "bench check needs ENCODER; `bench check --help` explains it"),
        (["encode"], "bench encode needs FILE...; `bench encode --help` explains it"),
        (["store", "gc"], "bench store gc needs --keep STUDY; `bench store gc --help` explains it"),
        (["run", "--encoder"], "--encoder of bench run needs a value; `bench run --help` explains it"),
        (["list", "--json=yes"], "--json of bench list takes no value; `bench list --help` explains it"),
        (["run", "--seed", "x"], "--seed of bench run: "),
        (["run", "--batch", "1"], "--batch of bench run: "),
        (["run", "--epochs", "0"], "--epochs of bench run: "),
        (["report", "--format", "pdf"], "--format of bench report: 'pdf' is not one of 'html', 'md'"),
        (["list", "tasks", "b"], "'b' is one word too many for bench list; `bench list --help` says what it takes"),
        (["run", "--\udcffx"], "no option --\\udcffx for bench run. There are: "),
        (["\udcff\x1b[31m"], "no command '\\udcff\\x1b[31m' for bench. "),
        (["check", "\udcff"], "unknown encoder '\\udcff'. "),
        (["list", "--two\nlines"], "no option --two\\nlines for bench list. There are: "),
        (["-q", "list", "-v"], "give either --quiet or --verbose"),
        (["list", "-qv"], "give either --quiet or --verbose"),
        (["-v", "-q", "list"], "give either --quiet or --verbose"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(call, words, message):
    assert_one_line(call(*words), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "tune_pluss"], "unknown encoder 'tune_pluss'. Did you mean 'tune_plus'? `bench list encoders`"),
        (["look", "mfcc", "--task", "zzz"], "unknown task 'zzz'. There are: "),
        (["data", "prepare", "gtzn"], "unknown dataset 'gtzn'. Did you mean 'gtzan'? `bench list datasets` lists"),
        ([*RUN, "--recipe", "dem"], "unknown recipe 'dem'. Did you mean 'demo'? `bench list recipes` lists all"),
        ([*RUN, "--protocol", "liner"], "unknown protocol 'liner'. Did you mean 'linear'? `bench list protocols`"),
        ([*RUN, "--corpus", "gtzn"], "unknown corpus 'gtzn'. Did you mean 'gtzan'? `bench list corpora` lists all"),
        ([*RUN, "--corpus", "a/b"], "--corpus a/b: there is no such folder; `bench list corpora`"),
        ([*RUN, "--deform", "zz=1"], "unknown deformation 'zz'. There are: gain, low_pass, "),
        (["run", "--study", "tune-tabel-1"], "unknown study 'tune-tabel-1'. Did you mean 'tune-table-1'? `bench list"),
        (["run", "--study", "my.yaml"], "my.yaml: there is no such study file; `bench list studies` lists"),
        (["list", "taks"], "unknown kind of things to list 'taks'. Did you mean 'tasks'? `bench list --help`"),
        (["store", "ls", "--kind", "prob"], "unknown kind of artifact 'prob'. Did you mean 'probe'? `bench store ls`"),
        (["store", "pull", "nowhere"], "nowhere: there is no such store; name the folder"),
        (["analyze", "no.csv"], "no.csv: no such file; name a CSV file"),
        (["import", "no.ckpt", "--encoder", "mfcc", "--as", "x"], "no.ckpt: there is no such file; name a file"),
    ],
)
def test_what_is_not_there_is_told_with_what_is_and_the_next_command(call, words, message):
    assert_one_line(call(*words), message)


def test_long_lists_of_names_are_shortened(call):
    result = call("check", "xyzzy")
    names = re.search(r"There are: (.*) and (\d+) more; `bench list encoders` lists them\n", result.err)
    listed = json.loads(call("list", "encoders", "--json").out)
    assert len(names[1].split(", ")) == 20 == len(listed) - int(names[2])


@pytest.mark.parametrize("kind", listing.KINDS)
def test_one_kind_is_listed_alone_by_either_name(call, kind):
    many = call("list", listing.KINDS[kind])
    assert (many.code, many.err) == (0, "")
    assert many.out.splitlines()[0] == listing.KINDS[kind]
    assert many.out == call("list", kind).out
    rows = json.loads(call("list", kind, "--json").out)
    assert {row["section"] for row in rows} == {listing.KINDS[kind]}
    assert [line.split()[0] for line in many.out.splitlines()[1:] if line] == [row["name"] for row in rows]
    assert all(row["description"] or row["section"] == "corpora" for row in rows)


def test_kinds_are_the_sections_and_studies(call):
    assert {*listing.KINDS.values()} == {*SECTIONS, "studies"}
    assert {row["section"] for row in json.loads(call("list", "--json").out)} == {*SECTIONS}


@pytest.mark.parametrize("width", [80, 45])
def test_a_list_fits_the_terminal_and_loses_no_word(call, monkeypatch, width):
    wide = call("list", "recipes").out
    monkeypatch.setattr(text, "terminal_width", lambda: width)
    for kind in listing.KINDS:
        assert max(map(len, call("list", kind).out.splitlines())) <= width
    assert call("list", "recipes").out.split() == wide.split()


def test_verbose_says_what_was_read_and_where_a_mistake_was_found(call, tmp_path):
    (tmp_path / "mine.yaml").write_text("encoders: {}")
    told = call("list", "--registry", "mine.yaml", "--verbose")
    assert told.out == call("list", "--registry", "mine.yaml").out
    lines = told.err.splitlines()
    assert lines[0].startswith("python 3.") and ", torch " in lines[0]
    assert lines[1].startswith("registry: ") and lines[2] == f"registry: {tmp_path / 'mine.yaml'}"
    wrong = call("-v", "check", "nothing").err
    assert "Traceback" in wrong and wrong.splitlines()[-1].startswith("bench: unknown encoder 'nothing'.")
    assert call("list").err == ""  # the next call is not told so much


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["run", "--help"], ["--version"], []], ids=" ".join)
def test_output_that_cannot_be_written_ends_in_one_line_and_that_nobody_reads_in_none(call, monkeypatch, words):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert_one_line(call(*words), "cannot write to standard output: No space left on device")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        result = call(*words)
    assert (result.code, result.err) == (141, "")


def test_no_output_at_all_is_as_well(call, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert call("list").code == 0


def test_ctrl_c_ends_any_command_in_one_line(call, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.registry.registry.load_registry", interrupted)
    for words in (["list"], ["check", "mfcc"], ["data", "status"]):
        result = call(*words)
        assert (result.code, result.out, result.err) == (130, "", "bench: stopped\n")


BENCH = os.path.join(os.path.dirname(sys.executable), "bench")


@pytest.mark.parametrize(
    ("line", "codes", "err"),
    [
        # `head` may well have read all before it ends.
        ("{bench} list | head -1; exit ${{PIPESTATUS[0]}}", {0, 141}, ""),
        ("{bench} list > /dev/full", {2}, "bench: cannot write to standard output: No space left on device\n"),
        ("{bench} list >&-", {0}, ""),
        ("{bench} run --$'\\xff'", {2}, "bench: no option --\\udcff for bench run. "),
    ],
    ids=["head", "full", "closed", "bytes"],
)
def test_a_shell_sees_the_same(line, codes, err, tmp_path):
    command = ["bash", "-c", line.format(bench=shlex.quote(BENCH))]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode in codes, result.stderr
    assert result.stderr.startswith(err) and result.stderr.count("\n") == bool(err)


def test_a_run_is_as_talkative_as_it_is_told(mtt, tmp_path):
    arguments = ["run", "--encoder", "mfcc", "--task", "mtt", "--data", mtt[0], "--store", tmp_path / "store"]
    first = bench(*arguments, "-v")
    assert first.returncode == 0, first.stderr
    steps = re.findall(r"^(.*): computed, (\w+) (\w{12}), \d+\.\d s$", first.stderr, re.M)
    assert [kind for _, kind, _ in steps] == ["initialise", "prepare", "label", "embed", "probe", "score"]
    second = bench(*arguments, "-v")
    assert re.findall(r"^(.*): cached, (\w+) (\w{12}), \d+\.\d s$", second.stderr, re.M) == steps
    assert "cached" not in bench(*arguments).stderr
    quiet = bench(*arguments, "--seed", "1", "--protocol", "knn", "-q")
    assert quiet.returncode == 0
    # Which of the few clips' labels can be scored is a warning.
    assert [line.split(" without ")[0] for line in quiet.stderr.splitlines()] == ["mtt: 44 of 50 tags"] * 2
    assert quiet.stdout.startswith("mtt on real data")
    standin = bench("-q", "data", "prepare", "nothing", "--store", tmp_path / "store")
    assert standin.stderr.startswith("bench: unknown dataset 'nothing'.")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_that_it_understands(words):
    examples = re.findall(r"Example: (bench .*)", COMMANDS[words].help)
    assert examples
    for example in examples:
        given = shlex.split(example)
        assert tuple(given[1 : 1 + len(words)]) == words
        context = COMMANDS[words].make_context(" ".join(words), given[1 + len(words) :])
        assert context.params


def complete(shell, line, folder):
    """What a shell is offered for a line, and whether torch was imported for it."""
    words = line.split(" ")
    environment = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    result = subprocess.run(
        [sys.executable, "-c", COMPLETED],
        env={**os.environ, **environment, "_BENCH_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return result.stdout, result.stderr.strip()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_names_of_the_registry_without_torch(shell, tmp_path):
    found, torch = complete(shell, "bench rep", tmp_path)
    assert re.findall(r"\brep\w+", found)[0] == "report"
    assert torch == "False"
    found, torch = complete(shell, "bench run --encoder tune_tail_", tmp_path)
    names = re.findall(r'^(?:_arguments.*\(\(|)"?(tune_tail_\d)"?', found, re.M)
    assert names == [f"tune_tail_{number}" for number in range(1, 6)]
    assert torch == "False"


def test_a_broken_registry_completes_nothing_and_says_nothing(tmp_path):
    (tmp_path / "registry.yaml").write_text("encoders: [")
    found, torch = complete("bash", "bench run --task m", tmp_path)
    assert (found.strip(), torch) == ("", "False")
