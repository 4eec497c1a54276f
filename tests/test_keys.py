"""Keys of artifacts: those of what was released stay as they are, whatever bench learns to do beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import soundfile
from conftest import bench, bench_json
from pydantic import Field, create_model

from benchmark.cell import Cell
from benchmark.console import Silent
from benchmark.engine.engine import Engine
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request, grid
from benchmark.plan.studies import SHIPPED, load_study
from benchmark.registry import entries as entry_models
from benchmark.registry import methods
from benchmark.registry import registry as registry_module
from benchmark.registry.methods import MultiSourceRecipe
from benchmark.registry.registry import load_registry
from benchmark.store.store import Store, digest_of

GOLDEN = Path(__file__).parent / "golden" / "keys.json"
TASKS = ("mtt", "gtzan", "key", "emotion", "lastfm")


def released(folder: Path) -> dict[str, str]:
    """A key for every recipe, protocol, task and encoder that ships, and one over all steps of each study."""
    registry = load_registry()
    planner = Planner(registry, Store(folder / "store"), Silent(), None)
    found: dict[str, str] = {}

    for recipe, named in registry.sections["recipes"].items():
        corpus = {"corpus": "multisource"} if isinstance(named.entry, MultiSourceRecipe) else {}
        run = planner.runs(Request(grid(encoder="tune_plus", task="mtt", recipe=recipe, **corpus)))[0]
        found[f"recipe {recipe}"] = run.score.needs["weights"].key
    for protocol in registry.sections["protocols"]:
        # Some are for classes, some for keys alone.
        plans = [planner.plan([Request(grid(encoder="mfcc", task=task, protocol=protocol))]) for task in TASKS]
        found[f"protocol {protocol}"] = next(plan.runs[0].probe.key for plan in plans if plan.runs)
    for task in registry.sections["tasks"]:
        run = planner.runs(Request(grid(encoder="mfcc", task=task)))[0]
        found[f"task {task}"] = run.labels.key
    for name, named in registry.sections["encoders"].items():
        if None not in named.entry.files.values() and named.entry.published is None:
            run = planner.runs(Request(grid(encoder=name, task="mtt", recipe="untrained")))[0]
            found[f"encoder {name}"] = run.score.needs["weights"].key
    for file in sorted(SHIPPED.glob("*.yaml")):
        plan = load_study(file.stem).planned(planner, False)
        found[f"study {file.stem}"] = digest_of([run.score.key for run in plan.runs])[:40]
    return found


def test_what_was_released_keeps_its_keys(tmp_path):
    """To be renewed only with a version of a step, class or format that is raised on purpose.

    Then: ``PYTHONPATH=tests python -m tests.test_keys`` in the project's folder writes the file anew.
    """
    golden = json.loads(GOLDEN.read_text())
    found = released(tmp_path)
    moved = {name: (key, found.get(name)) for name, key in golden.items() if found.get(name) != key}
    assert moved == {}
    assert found.keys() == golden.keys()


def test_a_number_that_is_added_to_entries_moves_no_key(tmp_path, monkeypatch):
    """With a default, which means what was done before."""
    added = {}

    def widen(own):
        if own not in added:
            added[own] = create_model(own.__name__, __base__=own, added=(float | None, Field(default=None)))
        return added[own]

    for section, own in registry_module.SECTIONS.items():
        monkeypatch.setitem(registry_module.SECTIONS, section, widen(own))
    for name, (own, method) in methods.METHODS.items():
        monkeypatch.setitem(methods.METHODS, name, (widen(own), method))
    monkeypatch.setattr(entry_models, "ProtocolEntry", added[entry_models.ProtocolEntry])
    base = added[registry_module.RecipeEntry]  # of the recipes of methods from outside
    held = {type(named.entry) for section in load_registry().sections.values() for named in section.values()}
    assert held | {base} == set(added.values())
    assert released(tmp_path) == json.loads(GOLDEN.read_text())


def test_names_of_a_run_are_in_the_key_of_its_score_by_what_departs_from_the_defaults():
    plain = {"encoders": ("a",), "corpus": "c", "recipe_name": "tune", "protocol": "p", "task": "t", "seed": 0}
    assert Cell(**plain).determining() == plain | {"encoders": ["a"]}
    given = {name: field.default for name, field in Cell.model_fields.items() if not field.is_required()}
    given["settings"] = {}
    assert Cell(**plain | given).determining() == Cell(**plain).determining()
    assert Cell(**plain, labels=0.1).determining() == Cell(**plain).determining() | {"labels": 0.1}


def music(folder: Path, labels: list[int]) -> None:
    """48 clips of three seconds in four classes, and their table."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds = np.arange(22_050) / 22_050
    rows = ["path,split,sort"]
    for number in range(24):
        file = folder / f"{number:02}.wav"
        if not file.exists():
            tone = 0.3 * np.sin(2 * np.pi * (110 + 40 * number) * seconds)
            soundfile.write(file, tone.astype("float32"), 22_050)
        rows.append(f"{number:02}.wav,{('train', 'valid', 'test')[number // 8]},c{labels[number]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


REGISTRY = """
datasets:
  sounds: {class: "tasks.folder:LabelledFolder", root: sounds}
  other: {class: "tasks.folder:LabelledFolder", root: other}
tasks:
  sort: {dataset: sounds, metrics: [accuracy], corpus: sounds, protocol: quick}
  other: {dataset: other, metrics: [accuracy], corpus: sounds, protocol: quick}
corpora:
  sounds: {dataset: sounds, splits: [train]}
encoders:
  renamed: {class: "encoders.features:Mfcc", pretrain: false}
protocols:
  quick: {source: tests, examples: clip_mean, standardise: true, estimator: {kind: knn, parameters: {n_neighbors: 1}}}
"""


def test_a_label_costs_a_probe_and_a_second_table_costs_what_is_new(tmp_path):
    """And another name of an encoder costs nothing but the names in a record."""
    classes = [number % 4 for number in range(24)]
    music(tmp_path / "sounds", classes)
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    run = ["run", "--encoder", "mfcc", "--task", "sort", "--store", "store", "--registry", "registry.yaml"]

    def plan(*more: str) -> dict[str, list[str]]:
        states: dict[str, list[str]] = {}
        for step in bench_json(*run, *more, "--dry-run", cwd=tmp_path):
            states.setdefault(step["state"], []).append(step["kind"])
        return states

    (first,) = bench_json(*run, cwd=tmp_path)
    music(tmp_path / "sounds", [*classes[:-1], (classes[-1] + 1) % 4])
    assert plan() == {"cached": ["initialise", "prepare", "embed"], "to do": ["label", "probe", "score"]}
    assert plan("--encoder", "tune_plus", "--recipe", "untrained")["cached"] == ["initialise", "prepare", "embed"]
    (second,) = bench_json(*run, cwd=tmp_path)
    assert second["fingerprint"] != first["fingerprint"]

    # Another name of the encoder is the same probe.
    assert plan("--encoder", "renamed")["to do"] == ["score"]
    # Half of the files in another folder and order, one file more: only that one is decoded and embedded.
    shutil.copytree(tmp_path / "sounds", tmp_path / "other")
    for number in range(0, 24, 2):
        (tmp_path / "other" / f"{number:02}.wav").rename(tmp_path / "other" / f"a{number:02}.wav")
    soundfile.write(tmp_path / "other" / "new.wav", np.zeros(22_050, "float32") + 0.1, 22_050)
    rows = [f"a{n:02}.wav,{s},c{n % 4}" for n, s in zip(range(0, 24, 2), ["train", "valid", "test"] * 4, strict=True)]
    (tmp_path / "other" / "labels.csv").write_text("path,split,sort\n" + "\n".join([*rows, "new.wav,train,c0"]) + "\n")
    run[run.index("sort")] = "other"
    result = bench(*run, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "12 clips were decoded before, for the same files, and copied" in result.stderr
    own = {folder.name: json.loads((folder / "manifest.json").read_text()) for folder in
           (tmp_path / "store/artifacts/embed").iterdir()}  # fmt: skip
    assert len(own) == 2
    assert f"embed other with mfcc (as-given): done, {own_windows(own, 'other') // 13} windows" in result.stderr


def test_what_changed_since_the_plan_is_not_kept_under_its_key(tmp_path, monkeypatch):
    """A file that was replaced, one that vanished, a table that names another split: each fails the step by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    sounds = tmp_path / "sounds"
    changes = [
        lambda: (sounds / "03.wav").write_bytes((sounds / "04.wav").read_bytes()),
        lambda: (sounds / "05.wav").unlink(),
        lambda: (sounds / "labels.csv").write_text((sounds / "labels.csv").read_text().replace("train", "valid", 1)),
    ]
    for change in changes:
        music(sounds, [number % 4 for number in range(24)])
        store = Store(tmp_path / "store")
        step = Planner(load_registry([tmp_path / "registry.yaml"]), store, Silent(), None).prepare_step("sounds", 8_000)
        change()
        (failure,) = Engine(store, Silent()).compute([step])
        assert failure.cause == f"{sounds}: its tables or files were changed while this command ran; run it again"
        assert store.find("prepare", step.key) is None


def own_windows(manifests: dict[str, dict], dataset: str) -> int:
    return next(one["facts"]["windows"] for one in manifests.values() if dataset in one["title"])


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        GOLDEN.write_text(json.dumps(released(Path(place)), indent=1, sort_keys=True) + "\n")
