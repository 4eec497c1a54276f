"""`bench new encoder`, and adding entries to registry files that people wrote by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import bench, bench_json
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark.console import Reporter
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request, grid
from benchmark.plan.runs import unique_steps
from benchmark.registry.added_entries import add_entry, with_entry
from benchmark.registry.registry import Registry, built_in_registry, load_registry
from benchmark.registry.scaffold import write_encoder
from benchmark.store.store import Store

ENTRY = {"class": "a.b:C", "args": {"n": [1, 2]}, "weights": "w.safetensors", "description": "what: it, is"}
ADDED = "  new:\n    class: a.b:C\n    args: {n: [1, 2]}\n    weights: w.safetensors\n    description: 'what: it, is'\n"

FILES = {
    "absent": (None, "encoders:\n" + ADDED),
    "empty": ("", "encoders:\n" + ADDED),
    "only a comment": ("# mine\n", "# mine\n\nencoders:\n" + ADDED),
    "a section of nothing, remarked": ("encoders: {}  # none\n", "encoders:  # none\n" + ADDED),
    "a section of nothing": ("encoders: {}\n", "encoders:\n" + ADDED),
    "no line end": ("encoders:\n  old: {class: 'x:Y'}", "encoders:\n  old: {class: 'x:Y'}\n" + ADDED),
    "a section after it": (
        "encoders:\n  old:\n    class: x:Y\n\n# recipes below\ncorpora:\n  c: {dataset: d}\n",
        "encoders:\n  old:\n    class: x:Y\n" + ADDED + "\n# recipes below\ncorpora:\n  c: {dataset: d}\n",
    ),
    "comments at the end of the section": (
        "encoders:\n  old: {class: 'x:Y'}\n  # still about old\n# the end\n",
        "encoders:\n  old: {class: 'x:Y'}\n  # still about old\n" + ADDED + "# the end\n",
    ),
    "another section only": ("corpora:\n  c: {dataset: d}\n", "corpora:\n  c: {dataset: d}\n\nencoders:\n" + ADDED),
    "a folded text last": (
        "encoders:\n  old:\n    class: x:Y\n    description: >-\n      some\n      # text\n",
        "encoders:\n  old:\n    class: x:Y\n    description: >-\n      some\n      # text\n" + ADDED,
    ),
    "other indentation": (
        "encoders:\n    old: {class: 'x:Y'}\n",
        "encoders:\n    old: {class: 'x:Y'}\n" + "".join(f"  {line}\n" for line in ADDED.splitlines()),
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_an_entry_is_added_and_all_else_stays(tmp_path, case):
    before, after = FILES[case]
    file = tmp_path / "registry.yaml"
    if before is not None:
        file.write_text(before)
    add_entry(file, "encoders", "new", ENTRY)
    assert file.read_text() == after
    assert yaml.safe_load(file.read_text())["encoders"]["new"] == ENTRY
    with pytest.raises(UserError, match="encoders already has an entry 'new'"):
        add_entry(file, "encoders", "new", ENTRY)


def test_line_ends_are_kept(tmp_path):
    file = tmp_path / "registry.yaml"
    file.write_bytes(b"encoders:\r\n  old: {class: 'x:Y'}\r\n")
    add_entry(file, "encoders", "new", ENTRY)
    assert file.read_bytes() == b"encoders:\r\n  old: {class: 'x:Y'}\r\n" + ADDED.replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    "text",
    ["encoders: {old: {class: 'x:Y'}}\n", "{encoders: {old: {class: 'x:Y'}}}\n", "corpora:\n  c: {dataset: d}\n...\n"],
)
def test_a_file_that_would_have_to_be_rewritten_is_refused(tmp_path, text):
    file = tmp_path / "registry.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match="cannot add to this file without rewriting it"):
        add_entry(file, "encoders", "new", ENTRY)
    assert file.read_text() == text


def test_a_broken_file_and_the_built_in_one_are_refused(tmp_path):
    file = tmp_path / "registry.yaml"
    file.write_text("encoders: [\n")
    with pytest.raises(UserError, match="registry.yaml:2: not valid YAML"):
        with_entry(file, "encoders", "new", ENTRY)
    with pytest.raises(UserError, match="is the registry of bench itself"):
        with_entry(built_in_registry(), "encoders", "new", ENTRY)


def test_a_broken_entry_stays_as_it_is(tmp_path):
    file = tmp_path / "registry.yaml"
    file.write_text("encoders:\n  old: {clas: 'x:Y'}\n")
    add_entry(file, "encoders", "new", ENTRY)
    assert file.read_text().startswith("encoders:\n  old: {clas: 'x:Y'}\n  new:\n")
    with pytest.raises(UserError, match="already has an entry 'old'"):
        add_entry(file, "encoders", "old", ENTRY)
    with pytest.raises(UserError, match="without rewriting it"):
        add_entry(file, "encoders", "wrong", {"clas": "x:Y"})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=80)
@example(name="0", args={"a": "0E0", "b": 1e-5, "c": "1e5"})
@given(name=st.text(min_size=1, max_size=12), args=st.dictionaries(st.text("abc", min_size=1), values, max_size=3))
def test_any_name_and_arguments_come_back(tmp_path_factory, name, args):
    file = tmp_path_factory.mktemp("any") / "registry.yaml"
    file.write_text("encoders:\n  the old one: {class: 'x:Y'}\n")
    try:
        add_entry(file, "encoders", name, {"class": "a:B", "args": args})
    except UserError:
        assert file.read_text() == "encoders:\n  the old one: {class: 'x:Y'}\n"
        return
    registry = Registry()
    registry.add_file(file)
    added = registry.encoder(name).entry
    assert (added.class_path, added.args) == ("a:B", args)


def test_a_new_encoder_passes_its_test_and_is_scored(tmp_path, tiny_registry, mtt):
    """Three commands, as `bench new encoder` prints them."""
    data, _ = mtt
    result = bench("new", "encoder", "wave_net", "--into", tmp_path / "mine")
    assert result.returncode == 0, result.stderr
    mine = tmp_path / "mine"
    assert {file.name for file in mine.iterdir()} == {"wave_net.py", "test_wave_net.py", "registry.yaml"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_wave_net.py"]
    tested = subprocess.run(command, cwd=mine, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    assert "6 passed" in tested.stdout
    for arguments in (["check"], ["format", "--check", "--line-length", "120"]):
        linted = subprocess.run(
            [Path(sys.executable).with_name("ruff"), *arguments, "--isolated", "."],
            cwd=mine,
            capture_output=True,
            text=True,
            check=False,
        )
        assert linted.returncode == 0, linted.stdout
    where = ("--data", data, "--store", tmp_path / "store", "--registry", tiny_registry, "--recipe", "short")
    records = bench_json("run", "--encoder", "wave_net", "--task", "mtt", *where, cwd=mine)
    assert [(record["encoder"], record["recipe"], record["dim"]) for record in records] == [
        ("wave_net", "short", 128),
        ("wave_net", "untrained", 128),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Wave", "cannot name a module"),
        ("wave-net", "cannot name a module"),
        ("class", "cannot name a module"),
        ("random", "there is an encoder|that Python already has"),
        ("json", "that Python already has"),
        ("torch", "that Python already has"),
        ("tune_plus", "there is an encoder 'tune_plus'"),
        ("taken", "taken.py: already there"),
        ("listed", "there is an encoder 'listed'"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_written(tmp_path, name, message):
    (tmp_path / "taken.py").write_text("x = 1\n")
    (tmp_path / "registry.yaml").write_text("encoders:\n  listed: {class: 'x:Y'}\n")
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}
    with pytest.raises(UserError, match=message):
        write_encoder(name, tmp_path, tmp_path / "registry.yaml")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before


def test_chance_has_a_seed(tmp_path):
    """Encoder `random` is never trained, yet another one for every seed; features are computed once for all seeds."""
    planner = Planner(load_registry(), Store(tmp_path), Reporter(), None)
    runs = planner.runs(Request(grid(encoder=["random", "mfcc"], task="mtt", recipe="demo", seed=(0, 1))))
    assert [(run.cell.encoder, run.cell.recipe, run.cell.corpus, run.cell.seed) for run in runs] == [
        *(("random", "untrained", None, 0), ("mfcc", "as-given", None, 0)),
        *(("random", "untrained", None, 1), ("mfcc", "as-given", None, 1)),
    ]
    keys = [run.score.needs["weights"].key for run in runs]
    assert keys[0] != keys[2]
    assert keys[1] == keys[3]
    assert not {"pretrain", "supervise"} & {step.kind for step in unique_steps(runs)}
    named = planner.registry.encoder("random")
    one, same, other = (build_encoder(named, seed).bottleneck.conv.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = bench("new", "encoder", "wave_net", "--into", tmp_path / "file")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert f"{tmp_path}/file: cannot write an encoder into it: " in result.stderr
    made = bench("new", "encoder", "wave_net", "--into", tmp_path / "my own")
    assert f"next: cd '{tmp_path}/my own' && python -m pytest" in made.stdout
