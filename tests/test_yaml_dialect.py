"""What a YAML file from anybody may ask for: bounded before anything is built of it, and refused in one line."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from conftest import bench

from benchmark.errors import UserError
from benchmark.registry.registry import load_registry
from benchmark.registry.yaml_dialect import DEEPEST, LARGEST, read_document, read_value

LISTS = ["&a0 [x,x,x,x,x,x,x,x,x]", *(f"&a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 8))]
MAPPINGS = ["&a0 x", *(f"&a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(9))}}}" for i in range(1, 8))]
MERGES = ["&a0 {k: v}", *(f"&a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 8))]
REPEATED = "says more than is read of a file, with all that its aliases repeat"
DEEP = "is nested too deeply to be read"
GRID = ["run", "--encoder", "mfcc", "--encoder", "chroma", "--task", "gtzan"]
#: Value of a key, and why it is not read.
BOMBS = {
    "lists of lists": (f"[{', '.join(LISTS)}]", REPEATED),
    "mappings of mappings": (f"[{', '.join(MAPPINGS)}]", REPEATED),
    "merges of merges": (f"[{', '.join(MERGES)}]", REPEATED),
    "one long text again and again": (f"[&a '{'x' * 100_000}', {', '.join(['*a'] * 500)}]", REPEATED),
    "many values": (f"[{'1,' * 300_000}]", REPEATED),
    "lists within lists": ("[" * 70 + "]" * 70, DEEP),
    "lists within lists, very deep": ("[" * 100_000, DEEP),
    "mappings within mappings": ("{a: " * 70 + "1" + "}" * 70, DEEP),
    "deep by aliases": (f"[&a0 x, {', '.join(f'&a{i} [*a{i - 1}]' for i in range(1, 70))}]", DEEP),
    "a number of many digits": ("9" * 1_000_000, "is no whole number that can be read"),
    "a hexadecimal number of many digits": (f"0x{'f' * 1_000_000}", "is no whole number that can be read"),
    "a number to the base of sixty": (f"1{':59' * 300_000}", "is no whole number that can be read"),
    "an explicit number": (f"!!int '{'1_' * 300_000}1'", "is no whole number that can be read"),
    "a fraction of many digits": (f"1.{'0' * 1_000_000}", "is no number that can be read"),
    "a part of itself": ("&a [*a]", "is a part of itself; write it out"),
    "a part of itself by merging": ("&a {<<: *a}", "is a part of itself; write it out"),
}  # fmt: skip


@pytest.fixture
def little_memory():
    """A bomb that goes off hits this bound instead of the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_take_all_memory_or_all_day_is_refused_by_file_and_line(tmp_path, little_memory, name):
    value, why = BOMBS[name]
    file = tmp_path / "r.yaml"
    file.write_text(f"encoders:\n  x:\n    class: 'a:B'\n    args: {{k: {value}}}\n")
    with pytest.raises(UserError) as caught:
        load_registry([file])
    message = str(caught.value)
    assert message.startswith(f"{file}:4: ")
    assert why in message
    assert len(message) < len(str(file)) + 200
    with pytest.raises(UserError, match="^--set k"):
        read_value(value, "--set k")


@pytest.mark.parametrize("name", ["lists of lists", "very deep", "twice", "date"])
@pytest.mark.parametrize("kind", ["registry", "in the working directory", "study", "slurm"])
def test_every_file_that_a_command_reads_is_read_so(tmp_path, kind, name):
    value, why = {
        "lists of lists": BOMBS["lists of lists"],
        "very deep": BOMBS["lists within lists, very deep"],
        "twice": ("{a: 1, a: 2}", "'a' stands here a second time; first on line 1"),
        "date": ("2020-01-01", "2020-01-01 is a date in YAML; put it in quotes"),
    }[name]
    file = tmp_path / ("registry.yaml" if kind == "in the working directory" else "r.yaml")
    file.write_text(f"x: {value}\n")
    command = {
        "registry": ["list", "--registry", file],
        "in the working directory": ["list"],
        "study": ["run", "--study", file, "--store", tmp_path / "s"],
        "slurm": [*GRID, "--store", tmp_path / "s", "--cluster", "slurm", "--config", file],
    }[kind]
    result = bench(*command, cwd=tmp_path, timeout=60)
    assert result.returncode == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith(f"bench: {file}:1: ")
    assert line.endswith(why)


def test_what_people_write_is_read(tmp_path):
    """A registry of two thousand entries, aliases, merges, and levels up to the deepest."""
    entry = "{class: 'encoders.tune:TUNe', args: {filters: 2, tail: 4, dim: 16}, description: a text of some words}"
    file = tmp_path / "r.yaml"
    file.write_text("encoders:\n" + "".join(f"  e{n}: {entry}\n" for n in range(2_000)))
    assert load_registry([file]).encoder("e1999").entry.args == {"filters": 2, "tail": 4, "dim": 16}
    levels = DEEPEST - 2
    file.write_text(
        f"a: &a {{b: 1}}\nc: {{<<: *a, d: [*a, *a]}}\ndeep: {'[' * levels}1{']' * levels}\nn: {'7' * 300}\n"
    )
    read = read_document(file)
    assert read.value["c"] == {"b": 1, "d": [{"b": 1}, {"b": 1}]}
    assert json.dumps(read.value["deep"]) == "[" * levels + "1" + "]" * levels
    assert read.value["n"] == int("7" * 300)
    assert read.line(("c", "d")) == 2


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    file = tmp_path / "r.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(64 * LARGEST)
    with pytest.raises(UserError, match=r"r.yaml: is larger than the 16 MiB that are read"):
        read_document(file)
