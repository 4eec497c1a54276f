"""The registry: overlays, provenance, and errors that name file, line, key and the nearest valid name."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UserError
from benchmark.registry.overrides import override
from benchmark.registry.registry import built_in_registry, load_registry
from benchmark.registry.yaml_dialect import read_value

ENTRY = "encoders:\n  mine:\n    class: my_package.my_module:MyEncoder\n    args: {width: 3}\n"


def overlay(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "over.yaml"
    file.write_text(text)
    return file


def complaint(tmp_path: Path, text: str) -> str:
    """What is wrong with a file, or with its only entry."""
    try:
        (message,) = load_registry([overlay(tmp_path, text)]).untold()
    except UserError as error:
        message = str(error)
    return message.replace(str(tmp_path), "")


def test_four_lines_add_an_encoder(tmp_path):
    named = load_registry([overlay(tmp_path, ENTRY)]).encoder("mine")
    assert named.entry.class_path == "my_package.my_module:MyEncoder"
    assert named.entry.args == {"width": 3}
    assert named.entry.learns
    assert (named.file.name, named.line) == ("over.yaml", 2)


def test_weights_need_no_recipe(tmp_path):
    entry = load_registry([overlay(tmp_path, ENTRY + "    weights: w.safetensors\n")]).encoder("mine").entry
    assert not entry.learns


def test_later_files_win(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.yaml").write_text(ENTRY.replace("width: 3", "width: 4"))
    assert load_registry().encoder("mine").entry.args == {"width": 4}
    assert load_registry([overlay(tmp_path, ENTRY)]).encoder("mine").entry.args == {"width": 3}
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "registry.yaml").write_text(ENTRY.replace("width: 3", "width: 5"))
    assert load_registry([folder]).encoder("mine").entry.args == {"width": 5}


def test_installed_packages_add_entries_without_being_run(tmp_path, monkeypatch):
    package = tmp_path / "stranger"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('was run')")
    (package / "registry.yaml").write_text(ENTRY)
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [EntryPoint("stranger", "stranger", "bench.registry")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == "bench.registry" else [])
    assert load_registry().encoder("mine").file == package / "registry.yaml"


def test_numbers_may_be_written_as_everyone_does(tmp_path):
    text = (
        "protocols:\n  p: {source: x, examples: windows, standardise: true, hidden: [], batch: 8, learning_rate: 3e-4,"
        " weight_decay: 1e-6, max_epochs: 5, patience: 2}\n"
    )
    assert load_registry([overlay(tmp_path, text)]).protocol("p").entry.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "encoders:\n  a:\n    clas: x:Y\n",
            "/over.yaml:3: encoders.a.clas: unknown key 'clas'. Did you mean 'class'?",
        ),
        ("encoders:\n  a:\n    args: {}\n", "/over.yaml:2: encoders.a.class: Field required"),
        (
            "encoders:\n  a:\n    class: nonsense\n",
            "/over.yaml:3: encoders.a.class: must look like package.module:Name",
        ),
        (
            "encoders:\n  a: {class: 'x:Y', weights: w.pt, seeded: true}\n",
            "/over.yaml:2: encoders.a: seeded is for encoders that no recipe trains and that have no weights",
        ),
        ("encodrs: {}\n", "/over.yaml:1: unknown section 'encodrs'. Did you mean 'encoders'?"),
        (
            "encoders:\n  a: {class: 'x:Y'}\n  a: {class: 'x:Z'}\n",
            "/over.yaml:3: encoders: 'a' stands here a second time; first on line 2",
        ),
        ("encoders:\n  - a\n", "/over.yaml:1: encoders: must map names to entries"),
        ("- a\n", "/over.yaml:1: a registry is a mapping"),
        ("encoders: {a: [}\n", "/over.yaml:1: not valid YAML"),
        ("encoders:\n\ta: 1\n", "/over.yaml:2: not valid YAML"),
        (
            "encoders:\n  a: !!python/object/apply:os.system ['true']\n",
            "not valid YAML: could not determine a constructor",
        ),
        ("encoders:\n  1: {class: 'x:Y'}\n", "/over.yaml:2: encoders: the key 1 must be text; put it in quotes"),
        (
            "tasks:\n  t: {dataset: magnatagtune, metrics: [roc_auc], corpus: magnatagatune, protocol: linear}\n",
            "/over.yaml:2: t: unknown dataset 'magnatagtune'. Did you mean 'magnatagatune'?",
        ),
        (
            "corpora:\n  c: {dataset: magnatagatune, splits: [trian]}\n",
            "/over.yaml:2: corpora.c.splits.0: Input should be 'train'",
        ),
    ],
)
def test_errors_name_file_line_key_and_remedy(tmp_path, text, expected):
    message = complaint(tmp_path, text)
    assert expected in message
    assert "\n" not in message


def test_wrong_numbers_in_a_recipe_are_found_where_they_stand(tmp_path):
    lines = built_in_registry().read_text().split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("  demo:"))
    end = next(i for i, line in enumerate(lines) if i > start and re.match(r"  \S", line))
    text = "recipes:\n" + "\n".join(lines[start:end]) + "\n"
    at = text.split("\n").index(next(line for line in text.split("\n") if "pitch:" in line)) + 1
    message = complaint(tmp_path, re.sub(r"pitch: {probability: [\d.]+", "pitch: {probability: 1.6", text))
    assert f"/over.yaml:{at}: recipes.demo.augmentation.5.pitch.probability:" in message
    message = complaint(tmp_path, text.replace("pairs: ", "epochs: 3\n    pairs: "))
    assert "recipes.demo: give either epochs or pairs" in message


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nope.yaml: cannot read this file: No such file"):
        load_registry([tmp_path / "nope.yaml"])
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        load_registry([tmp_path / "binary.yaml"])


@pytest.mark.parametrize(
    ("section", "wrong", "near"),
    [
        ("encoder", "tune_pluss", "tune_plus"),
        ("task", "mt", "mtt"),
        ("recipe", "clmr", "clmr-v2"),
        ("protocol", "clmr-liner", "clmr-linear"),
    ],
)
def test_unknown_names_bring_up_the_nearest(section, wrong, near):
    with pytest.raises(UserError, match=f"unknown {section} '{wrong}'. Did you mean '{near}'"):
        getattr(load_registry(), section)(wrong)


def test_overrides_replace_numbers_and_are_checked():
    recipe = load_registry().recipe("tune").entry
    assert override(recipe, {"pairs": 10}).epochs is None
    assert override(recipe, {"batch": 7}).batch == 7
    with pytest.raises(UserError, match="temperature"):
        override(recipe, {"temperature": -1.0})
    with pytest.raises(UserError, match="learning_rate: Input should be a finite number, not inf"):
        override(recipe, {"learning_rate": float("inf")})
    for changes in ({"pairs": 64, "epochs": 2}, {"epochs": 2, "pairs": 64}):
        with pytest.raises(UserError, match="epochs and pairs are both the length of a training: give one"):
            override(recipe, changes)


ENTRY_OF = "encoders:\n  e:\n    class: 'encoders.features:MFCC'\n    {}\n"
UNUSABLE = {
    "args: {x: 2020-01-01}": "encoders.e.args.x: 2020-01-01 is a date in YAML; put it in quotes",
    "description: 2020-13-45": "encoders.e.description: 2020-13-45 is a date in YAML; put it in quotes",
    "args: {x: !!set {a, b}}": "encoders.e.args.x: !!set is not read here; write text, a number, a list or a mapping",
    "args: {x: !!binary aGVsbG8=}": "encoders.e.args.x: !!binary is not read here",
    "args: {x: [1, .nan]}": "encoders.e.args.x: must be a finite number, not .nan",
    "args: {x: -.inf}": "encoders.e.args.x: must be a finite number, not -.inf",
    "args: {x: 1e400}": "encoders.e.args.x: must be a finite number, not 1e400",
    "args: {x: {1: 2, b: 3}}": "encoders.e.args.x: the key 1 must be text; put it in quotes",
    "args: {x: {[a, b]: 3}}": "encoders.e.args.x: the key [...] must be text; put it in quotes",
    "args: {x: !!int abc}": "encoders.e.args.x: abc is no whole number that can be read",
    "args: {x: !!bool maybe}": "encoders.e.args.x: maybe is no true or false that can be read",
    f"args: {{x: {'9' * 5_000}}}": f"encoders.e.args.x: {'9' * 40}… is no whole number that can be read",
    "args: &a {x: *a}": "encoders.e.args.x: is a part of itself; write it out",
}


@pytest.mark.parametrize("text", UNUSABLE)
def test_values_that_no_key_can_hold_are_refused_where_they_stand(tmp_path, text):
    assert complaint(tmp_path, ENTRY_OF.format(text)).startswith(f"/over.yaml:4: {UNUSABLE[text]}")
    with pytest.raises(UserError, match="^--set x: "):
        read_value(text.partition(": ")[2], "--set x")


def test_a_file_nested_beyond_reading_is_one_line(tmp_path):
    assert "is nested too deeply" in complaint(tmp_path, f"encoders: {'[' * 3_000}{']' * 3_000}\n")


@settings(max_examples=40)
@given(text=st.text(alphabet="encodrs:{}[]'\"&*!|>-?@%\n\t #ab1", max_size=60))
def test_no_text_whatever_crashes_the_reader(text, tmp_path_factory):
    file = tmp_path_factory.mktemp("any") / "r.yaml"
    file.write_text(text)
    try:
        load_registry([file])
    except UserError as error:
        assert str(file) in str(error)


def test_listing_imports_neither_torch_nor_what_is_listed(tmp_path):
    file = overlay(tmp_path, "encoders:\n  evil: {class: 'evil:Evil'}\n")
    (tmp_path / "evil.py").write_text("raise RuntimeError('was run')")
    code = (
        "import sys, cli\n"
        f"sys.argv = ['bench', 'list', '--registry', {str(file)!r}]\n"
        "try: cli.main()\n"
        "finally: print('torch' in sys.modules, 'numpy' in sys.modules, 'evil' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "evil" in result.stdout
    assert result.stdout.strip().endswith("False False False")
