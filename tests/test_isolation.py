"""What cannot be had fails its own runs alone, before anything is decoded, and is named once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import TINY_REGISTRY, bench, make_mtt

from benchmark.console import LogReporter
from benchmark.engine.engine import Engine
from benchmark.engine.foreseen import foreseen
from benchmark.errors import UserError
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request
from benchmark.plan.requests import grid as levels
from benchmark.pretraining.processes import visible_to_each
from benchmark.registry.registry import load_registry
from benchmark.store.store import Store
from encoders.tune import TUNe
from encoders.weights import save_weights

ENCODERS = """
import torch
from encoders.base import Encoder


class Good(Encoder):
    def __init__(self, fault=""):
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = 22_050, 4_096, 4_096, 8
        if fault == "raises":
            raise ValueError("no such luck")
        if fault == "ends":
            raise SystemExit(3)
        if fault == "lacks":
            del self.dim
        self.fault = fault

    def layers(self):
        if self.fault == "layers":
            raise KeyError("lost")
        return ("only",)

    def represent(self, waveform, layers=()):
        found = waveform[:, 0].view(-1, 8, 512).std(dim=2)
        return found, {name: found for name in layers}


class Abstract(Encoder):
    pass


class Other:
    pass
"""
TASK = "corpus: magnatagatune, protocol: linear"
TUNE = "class: 'encoders.tune:TUNe', args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 6561}"


@dataclass(frozen=True)
class Fault:
    """An entry that cannot be used, and what is said of it."""

    entry: str
    said: str
    section: str = "encoders"
    schema: bool = False


FAULTS = {
    "module missing": Fault("{class: 'nowhere_at_all:X'}", "there is no module 'nowhere_at_all'"),
    "class missing": Fault("{class: 'kinds:X', pretrain: false}", "cannot import kinds:X: "),
    "module wrong": Fault("{class: 'unreadable:X'}", "cannot import unreadable:X: SyntaxError"),
    "module ends": Fault("{class: 'ending:X'}", "cannot import ending:X: SystemExit: 3"),
    "library missing": Fault("{class: 'needing:X'}", "cannot import needing:X: No module named 'nowhere_at_all'"),
    "constructor raises": Fault(
        "{class: 'kinds:Good', args: {fault: raises}}", "cannot build kinds:Good: no such luck"
    ),
    "constructor ends": Fault("{class: 'kinds:Good', args: {fault: ends}}", "cannot build kinds:Good: 3"),
    "argument unknown": Fault("{class: 'kinds:Good', args: {depth: 3}}", "keyword argument 'depth'"),
    "fact missing": Fault("{class: 'kinds:Good', args: {fault: lacks}}", "kinds:Good does not set dim"),
    "class abstract": Fault("{class: 'kinds:Abstract'}", "cannot build kinds:Abstract: "),
    "no encoder": Fault("{class: 'kinds:Other'}", "kinds:Other is no subclass of encoders.base.Encoder"),
    "sample rate wrong": Fault("{class: 'kinds:Good', sample_rate: 8000}", "say `sample_rate: 22050` in its entry"),
    "weights missing": Fault("{class: 'kinds:Good', weights: no.safetensors}", "weights: there is no file "),
    "weights of another": Fault(f"{{{TUNE}, weights: other.safetensors}}", "other.safetensors: "),
    "weights broken": Fault(f"{{{TUNE}, weights: broken.safetensors}}", "broken.safetensors: "),
    "file missing": Fault("{class: 'kinds:Good', files: {fault: no.txt}}", "files.fault: there is no "),
    "key unknown": Fault("{clas: 'kinds:Good'}", "unknown key 'clas'. Did you mean 'class'?", schema=True),
    "value wrong": Fault("{class: 'kinds:Good', sample_rate: fast}", "value_wrong.sample_rate: ", schema=True),
    "no mapping": Fault("3", "encoders.no_mapping: ", schema=True),
    "dataset not there": Fault(f"{{dataset: gone, metrics: [roc_auc], {TASK}}}", "/gone: no such folder", "tasks"),
    "dataset broken": Fault(f"{{dataset: torn, metrics: [roc_auc], {TASK}}}", "; there are 'clip_id'", "tasks"),
    "dataset's class missing": Fault(f"{{dataset: strange, metrics: [roc_auc], {TASK}}}", "kinds:Nothing: ", "tasks"),
    "dataset's class none": Fault(f"{{dataset: other, metrics: [roc_auc], {TASK}}}", "no subclass of tasks.", "tasks"),
    "dataset unusable": Fault(f"{{dataset: crooked, metrics: [roc_auc], {TASK}}}", "datasets.crooked.root: ", "tasks"),
    "metric unknown": Fault(f"{{dataset: magnatagatune, metrics: [roc], {TASK}}}", "unknown metric 'roc'.", "tasks"),
    "metric of others": Fault(f"{{dataset: magnatagatune, metrics: [r2], {TASK}}}", "'r2' is for regression ", "tasks"),
    "part unknown": Fault(
        f"{{dataset: magnatagatune, metrics: [roc_auc.gitar], {TASK}}}", "Did you mean 'guitar'?", "tasks"
    ),
    "option unknown": Fault(
        f"{{dataset: magnatagatune, metrics: [roc_auc], options: {{splt: pub}}, {TASK}}}", "no option 'splt'", "tasks"
    ),
    "reference dangling": Fault(
        f"{{dataset: magnatagtune, metrics: [roc_auc], {TASK}}}", "unknown dataset 'magnatagtune'", "tasks", schema=True
    ),
    "task's key unknown": Fault(
        f"{{dataset: magnatagatune, metric: [roc_auc], {TASK}}}", "unknown key 'metric'", "tasks", schema=True
    ),
    "decision of others": Fault(
        "{source: x, examples: windows, standardise: true, hidden: [], batch: 8, learning_rate: 1e-3, weight_decay: 0,"
        " max_epochs: 1, decision: vote}",
        "vote needs a task of classes, and mtt is multilabel",
        "protocols",
    ),
    "parameter unknown": Fault(
        "{source: x, examples: clip_mean, standardise: true, estimator: {kind: ridge, parameters: {alfa: 1}}}",
        "unexpected keyword argument 'alfa'",
        "protocols",
    ),
    "protocol's key missing": Fault(
        "{source: x, examples: clip_mean}",
        "protocols.protocols_key_missing.standardise: Field required",
        "protocols",
        schema=True,
    ),
}
#: The kinds that reading files does not show, for the ways that take longer.
FEW = ["module missing", "constructor raises", "weights of another", "key unknown", "dataset not there"]
OPTIONS = {"encoders": "--encoder", "tasks": "--task", "protocols": "--protocol"}
GOOD = {"encoders": "good", "tasks": "mtt", "protocols": "linear"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Folder with data, modules and weights for the entries above, and a store with the scores of what is good."""
    folder = tmp_path_factory.mktemp("isolation")
    make_mtt(folder / "data" / "magnatagatune", {"0": 7, "b": 7, "c": 4, "d": 4, "f": 4})
    make_mtt(folder / "torn", {"0": 1, "c": 1, "d": 1})
    (folder / "torn" / "annotations_final.csv").write_text("clip_id\n1\n")
    modules = {"kinds": ENCODERS, "unreadable": "class X(:\n", "ending": "import sys\nsys.exit(3)\n"}
    for name, text in {**modules, "needing": "import nowhere_at_all\n"}.items():
        (folder / f"{name}.py").write_text(text)
    save_weights(TUNe(filters=3, contractive=2, expansive=2, tail=4, dim=16, window=6561), folder / "other.safetensors")
    (folder / "broken.safetensors").write_bytes(b"not weights")
    (folder / "good.yaml").write_text(registry())
    result = bench("run", *grid(), *where(folder, folder / "good.yaml", folder / "store"), cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def registry(**faults: Fault) -> str:
    """A registry with good entries, and with faulty ones under the names given."""
    sections: dict[str, list[str]] = {
        "encoders": ["good: {class: 'kinds:Good', pretrain: false}"],
        "datasets": [
            "gone: {class: 'tasks.magnatagatune:MagnaTagATune', root: gone}",
            "torn: {class: 'tasks.magnatagatune:MagnaTagATune', root: torn}",
            "strange: {class: 'kinds:Nothing', root: gone}",
            "other: {class: 'kinds:Other', root: gone}",
        ],
        "tasks": [],
        "protocols": [],
    }
    if any("crooked" in fault.entry for fault in faults.values()):
        sections["datasets"].append("crooked: {class: 'tasks.folder:AudioFolder', root: 3}")
    for name, fault in faults.items():
        sections[fault.section].append(f"{name}: {fault.entry}")
    lines = []
    for section, entries in sections.items():
        lines += [f"{section}:", *(f"  {entry}" for entry in entries)] if entries else []
    return "\n".join(lines) + "\n"


def grid() -> list[str]:
    """Options that ask for what is good."""
    return [word for section, option in OPTIONS.items() for word in (option, GOOD[section])]


def where(place: Path, file: Path, store: Path) -> list[object]:
    return ["--data", place / "data", "--registry", file, "--store", store]


def slug(name: str) -> str:
    return name.replace(" ", "_").replace("'", "")


def faulty(place: Path, *names: str) -> Path:
    """A registry with faults, each under a name of its own."""
    file = place / f"{slug(names[0])}-{len(names)}.yaml"
    file.write_text(registry(**{slug(name): FAULTS[name] for name in names}))
    return file


def said(result, fault: Fault) -> str:
    """The line that names the fault; there is one."""
    lines = [line for line in (result.stderr + result.stdout).splitlines() if fault.said in line]
    assert len(lines) == 1, (lines, result.stderr)
    assert "Traceback" not in result.stderr
    return lines[0]


def decoded(store: Path) -> list[Path]:
    return [folder for kind in ("standin", "prepare") for folder in (store / "artifacts" / kind).glob("*")]


@pytest.mark.parametrize("name", FAULTS)
def test_alone_it_is_one_line_and_nothing_is_decoded(place, tmp_path, name):
    fault, file = FAULTS[name], faulty(place, name)
    words = [GOOD[section] if section != fault.section else slug(name) for section in OPTIONS]
    options = [word for pair in zip(OPTIONS.values(), words, strict=True) for word in pair]
    for extra in ([], ["--dry-run"]) if name in FEW else ([],):
        result = bench("run", *options, *where(place, file, tmp_path / "store"), *extra, cwd=place)
        assert result.returncode == 2, result.stderr
        assert result.stdout == ""
        assert said(result, fault).startswith("bench: ")
        assert decoded(tmp_path / "store") == []


@pytest.mark.parametrize("section", OPTIONS)
def test_beside_what_is_good_each_fails_alone(place, section):
    names = [name for name, fault in FAULTS.items() if fault.section == section]
    file = faulty(place, *names)
    options = [word for name in names for word in (OPTIONS[section], slug(name))]
    arguments = [*grid(), *options, *where(place, file, place / "store"), "--json"]
    result = bench("run", *arguments, cwd=place)
    assert result.returncode == 1, result.stderr
    (record,) = json.loads(result.stdout)
    assert (record["encoder"], record["task"], record["protocol"]) == ("good", "mtt", "linear")
    assert " runs are missing; the same command tries them again" in result.stderr
    planned = bench("run", *arguments, "--dry-run", cwd=place)
    assert planned.returncode == 1, planned.stderr
    assert {step["state"] for step in json.loads(planned.stdout)} == {"cached"}
    for name in names:
        for each in (result, planned):
            assert said(each, FAULTS[name]).startswith("failed: ")


def test_entries_that_nobody_asks_for_are_named_and_cost_nothing(place, tmp_path):
    names = [name for name, fault in FAULTS.items() if fault.schema]
    file = faulty(place, *names)
    run = bench("run", *grid(), *where(place, file, place / "store"), cwd=place)
    report = bench("report", "--registry", file, "--store", place / "store", "-o", tmp_path / "r.html", cwd=place)
    listed = bench("list", "--registry", file, cwd=place)
    assert [each.returncode for each in (run, report, listed)] == [0, 0, 1]
    for name in names:
        for each in (run, report, listed):
            assert said(each, FAULTS[name]).startswith(f"not used: {file}:")
    assert "good " in listed.stdout
    assert "key_unknown " not in listed.stdout
    check = bench("check", "key_unknown", "--registry", file, cwd=place)
    assert check.returncode == 2
    assert said(check, FAULTS["key unknown"]).startswith("bench: ")


@pytest.mark.parametrize("extra", [[], ["--jobs", 2]])
def test_a_study_goes_on_without_what_cannot_be_had(place, tmp_path, extra):
    file = faulty(place, *FEW)
    bad = {section: [slug(name) for name in FEW if FAULTS[name].section == section] for section in OPTIONS}
    (tmp_path / "study.yaml").write_text(
        f"name: x\ngrid: {{encoder: [{', '.join(bad['encoders'])}, good], task: [mtt, {', '.join(bad['tasks'])}],"
        " seed: [0, 1]}\nexclude: [{encoder: module_missing, seed: 1}]\n"
    )
    store = tmp_path / "store"
    arguments = ["--study", tmp_path / "study.yaml", *where(place, file, store)]
    result = bench("run", *arguments, *extra, "--json", cwd=place)
    assert result.returncode == 1, result.stderr
    records = [(record["encoder"], record["task"], record["seed"]) for record in json.loads(result.stdout)]
    assert records == [("good", "mtt", 0), ("good", "mtt", 1)]
    lines = result.stderr.splitlines()
    for name in FEW:
        line = said(result, FAULTS[name])
        if not extra:  # here, decoding says when it begins
            assert lines.index(line) < next(n for n, other in enumerate(lines) if other.startswith("decode "))
    if not extra:
        page = tmp_path / "page.html"
        report = bench("report", *arguments, "-o", page, cwd=place)
        assert report.returncode == 1, report.stderr
        for name in ("module missing", "key unknown", "dataset not there"):
            assert said(report, FAULTS[name]).startswith("failed: ")
            assert FAULTS[name].said.replace("'", "&#39;") in page.read_text()
        kept = bench("store", "gc", "--keep", tmp_path / "study.yaml", *where(place, file, store), cwd=place)
        assert (kept.returncode, "cannot be told from what may go" in kept.stderr) == (2, True)


def test_all_encoders_are_measured_but_the_bad_ones(place):
    file = faulty(place, *FEW)
    names = ["good", *(slug(name) for name in FEW if FAULTS[name].section == "encoders" and "weights" not in name)]
    options = [word for name in names for word in ("--encoder", name)]
    result = bench("resources", *options, "--registry", file, "--json", cwd=place)
    assert result.returncode == 1, result.stderr
    rows = {row["encoder"]: row for row in json.loads(result.stdout)}
    assert rows["good"]["dim"] == 8
    for name in ("module missing", "constructor raises", "key unknown"):
        assert FAULTS[name].said.removeprefix("there is no module ") in rows[slug(name)]["error"]
    alone = bench("resources", "--encoder", "key_unknown", "--registry", file, cwd=place)
    assert (alone.returncode, alone.stdout) == (2, "")
    assert said(alone, FAULTS["key unknown"]).startswith("bench: ")
    none = bench("resources", *options[2:], "--registry", file, cwd=place)
    assert none.returncode == 2
    wrong = bench("resources", *options, "--encoder", "god", "--registry", file, cwd=place)
    assert (wrong.returncode, "unknown encoder 'god'. Did you mean 'good'?" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encoder", "god"], "unknown encoder 'god'. Did you mean 'good'?"),
        (["--task", "mt"], "unknown task 'mt'. Did you mean 'mtt'?"),
        (["--protocol", "liner"], "unknown protocol 'liner'. Did you mean 'linear'?"),
        (["--recipe", "dem"], "unknown recipe 'dem'. Did you mean 'demo'?"),
        (["--corpus", "gtza"], "unknown corpus 'gtza'. Did you mean 'gtzan'?"),
        (["--deform", "nois=1"], "Did you mean 'noise'?"),
        (["--set", "bach=2"], "unknown key 'bach'. Did you mean 'batch'?"),
    ],
)
def test_a_name_that_is_not_there_is_a_wrong_command(place, tmp_path, options, message):
    store = tmp_path / "store"
    result = bench("run", *grid(), *options, *where(place, place / "good.yaml", store), cwd=place)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith(("not built in: ", "imported from "))]
    assert message in line
    assert not (store / "artifacts").exists()


def test_a_layer_that_one_encoder_lacks_costs_that_layer(place, tmp_path):
    store = tmp_path / "store"
    arguments = [*grid(), "--encoder", "mfcc", "--layer", "only", "--layer", "other", "--json"]
    result = bench("run", *arguments, *where(place, place / "good.yaml", store), cwd=place)
    assert result.returncode == 1, result.stderr
    assert [(r["encoder"], r["layer"]) for r in json.loads(result.stdout)] == [("good", "only")]
    for line in (
        "failed: unknown layer of good 'other'. There are: only.",
        "failed: unknown layer of mfcc 'only'. There is none.",
        "failed: unknown layer of mfcc 'other'. There is none.",
    ):
        assert result.stderr.splitlines().count(line) == 1, result.stderr
    (place / "layers.yaml").write_text(registry(bad=Fault("{class: 'kinds:Good', args: {fault: layers}}", "")))
    result = bench("run", "--encoder", "bad", "--task", "mtt", "--layer", "all",
                   *where(place, place / "layers.yaml", store), cwd=place)  # fmt: skip
    assert result.returncode == 2, result.stderr
    assert "encoders.bad: its layers cannot be told: KeyError('lost')" in result.stderr


def test_what_a_study_leaves_out_is_not_missed(place, tmp_path):
    """Runs that cannot be had may be excluded, and then nothing is said of them."""
    file = faulty(place, "decision of others")
    (tmp_path / "study.yaml").write_text(
        "name: x\ngrid: {encoder: good, task: mtt, protocol: [linear, decision_of_others]}\n"
        "exclude: [{protocol: decision_of_others}]\n"
    )
    arguments = ["--study", tmp_path / "study.yaml", *where(place, file, place / "store")]
    result = bench("run", *arguments, cwd=place)
    assert (result.returncode, "failed" in result.stderr, "missing" in result.stderr) == (0, False, False), (
        result.stderr
    )


def test_what_only_some_files_say_wrong_is_replaced_by_later_ones(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("encoders:\n  mfcc: {clas: x}\n  chroma: {class: 'x:Y'}\n")
    two.write_text("encoders:\n  mfcc: {class: 'x:Y'}\n  chroma: {clas: x}\n")
    entries = load_registry([one, two])
    assert entries.encoder("mfcc").entry.class_path == "x:Y"
    with pytest.raises(UserError, match=r"two.yaml:3: encoders.chroma.clas: unknown key"):
        entries.encoder("chroma")
    assert entries.untold() == []
    assert load_registry().untold() == []


@pytest.mark.parametrize("fault", ["not there", "raises", "no registry", "no YAML"])
def test_a_package_whose_registry_is_wrong_is_named(tmp_path, monkeypatch, fault):
    package = tmp_path / "odd_package"
    if fault != "not there":
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('was run')" if fault == "raises" else "")
    if fault == "no YAML":
        (package / "registry.yaml").write_text("encoders: [")
    monkeypatch.syspath_prepend(str(tmp_path))
    from importlib.metadata import EntryPoint

    point = EntryPoint("odd", "odd_package.inner" if fault == "raises" else "odd_package", "bench.registry")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == "bench.registry" else [])
    entries = load_registry()
    assert entries.encoder("mfcc")
    (line,) = entries.untold()
    assert "odd_package" in line
    assert "\n" not in line


def planned(folder: Path, **training: object):
    (folder / "tiny.yaml").write_text(TINY_REGISTRY)
    store = Store(folder / "store")
    planner = Planner(load_registry([folder / "tiny.yaml"]), store, LogReporter(folder / "log"), None)
    runs = planner.runs(Request(levels(encoder=["tiny", "mfcc"], task="mtt", recipe="short"), training=training))
    return runs, Engine(store, LogReporter(folder / "log"))


def test_a_library_that_does_not_load_fails_what_needs_it(tmp_path, monkeypatch):
    runs, engine = planned(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "lightning.pytorch", None)
    found = list(foreseen(runs, engine, 1))
    assert [step.kind for step, _ in found] == ["pretrain"]
    assert str(found[0][1]).startswith("lightning ")
    assert " cannot be loaded (needed for pretraining and supervised training): " in str(found[0][1])
    assert list(foreseen(runs, engine, None)) == []  # other machines have libraries of their own
    for step, error in found:
        engine.refuse(step, error)
    assert [engine.failure(run.score) is None for run in runs] == [False, True, True]


def test_devices_that_are_not_there_are_missed_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("benchmark.engine.foreseen.load", lambda *_: None)
    assert (visible_to_each(1), visible_to_each(2)) == (2, 1)
    for training, jobs, message in (
        ({"devices": 3}, 1, "--devices 3: there are 2; see CUDA_VISIBLE_DEVICES"),
        ({"devices": 2}, 2, "--devices 2: there are 1; see CUDA_VISIBLE_DEVICES"),
        ({"devices": 2}, 1, None),
        ({}, 1, None),
    ):
        runs, engine = planned(tmp_path, **training)
        assert [str(error) for _, error in foreseen(runs, engine, jobs)] == ([message] if message else [])


def test_what_only_hopeless_runs_need_is_not_computed(tmp_path):
    """An encoder that cannot be built is found before the stand-in is made, and its pretraining not begun."""
    done = []

    class Recorder(Engine):
        def run_step(self, step, inputs, work, reporter):
            done.append(step.kind)
            if step.kind == "initialise" and step.context["encoder"].name == "tiny":
                raise UserError("cannot be built")
            return {}

    runs, _ = planned(tmp_path)
    stages = []
    engine = Recorder(Store(tmp_path / "store"), LogReporter(tmp_path / "log"))
    failures = engine.scores(runs, after_stage=lambda: stages.append(len(done)))
    assert [failure.cause for failure in failures] == ["cannot be built"]
    assert done == ["initialise", "initialise", "standin", "prepare", "label", "embed", "probe", "score"]
    assert stages == [2, 5, 8]
    done.clear()
    engine = Recorder(Store(tmp_path / "other"), LogReporter(tmp_path / "log"))
    engine.scores(runs[:2])
    assert done == ["initialise"]
