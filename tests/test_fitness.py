"""`bench check`: every shipped encoder is fit, and every fault that makes one unfit is found."""

import pytest
from conftest import bench, bench_json

from benchmark.console import Reporter
from benchmark.examination.fitness import QUICK, THOROUGH, Effort, Fitness, fitness_table
from benchmark.registry.published import lacking
from benchmark.registry.registry import Registry, built_in_registry, load_registry

#: An encoder with one fault, named by its argument.
FAULTY = """
import torch
from torch import nn
from encoders.base import Encoder


class Faulty(Encoder):
    def __init__(self, fault):
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = 22050, 4096, 4096, 8
        self.fault = fault
        self.conv = nn.Conv1d(1, 8, 64, stride=16)
        self.norm = nn.BatchNorm1d(8)
        self.register_buffer("offset", torch.randn(8), persistent=fault != "unsaved")
        if fault == "head":
            self.head = nn.Linear(8, 50)
        self.kept = []

    def layers(self):
        return ("conv", "norm")

    def represent(self, waveform, layers=()):
        if self.fault == "training":
            self.norm.train()
        if self.fault == "level":
            waveform = waveform / waveform.std(dim=(1, 2), keepdim=True)
        if self.fault == "raises" and len(waveform) > 2:
            raise RuntimeError("too many")
        x = self.conv(waveform)
        outputs = {"conv": x.mean(dim=-1)}
        y = self.norm(x).relu().mean(dim=-1) + self.offset
        outputs["norm"] = y
        if self.fault == "random":
            y = y + torch.rand_like(y)  # never the same by chance
        if self.fault == "constant":
            y = 1e-6 * y + self.offset
        if self.fault == "neighbours":
            y = y - y.mean(dim=0)
        if self.fault == "hoards":
            self.kept.append(waveform.repeat(1, 4, 1))
        if self.fault == "double":
            y = y.double()
        if self.fault == "layers" and layers:
            y = y + 1
        if self.fault == "time" and layers:
            outputs["conv"] = x
        return y, {name: outputs[name] for name in layers}

    def frames(self, waveform, layer=None):
        if layer is None or self.fault == "time":
            return super().frames(waveform, layer)
        if self.fault == "level":
            waveform = waveform / waveform.std(dim=(1, 2), keepdim=True)
        x = self.conv(waveform)
        if layer == "norm":
            x = self.norm(x).relu() + self.offset[:, None] * (self.fault != "not the mean")
        seconds = (16 * torch.arange(x.shape[2], dtype=torch.float64) + 32) / self.sample_rate
        if self.fault == "order":
            seconds = seconds.flip(0)
        if self.fault == "outside":
            seconds = seconds * 1.1
        if self.fault == "float32":
            seconds = seconds.float()
        return x.transpose(1, 2), seconds


class Able(Encoder):
    # Has every capability, rightly unless its fault is one of them.
    def __init__(self, fault):
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = 22050, None, 40000, 8
        self.fault = fault
        self.front = nn.Conv1d(1, 8, 64, stride=16)
        self.back = nn.Conv1d(8, 8, 1)

    def layers(self):
        return ("front", "one", "other")

    def features(self, waveform):
        return self.front(nn.functional.pad(waveform, (48, 0)))

    def trunk(self, features, layers=()):
        outputs = {"front": features, "one": self.back(features), "other": self.back(features).relu()}
        return outputs["other"].mean(dim=2), {name: outputs[name].mean(dim=2) for name in layers}

    def represent(self, waveform, layers=()):
        found, outputs = self.trunk(self.features(waveform), layers)
        return found + (self.fault == "trunk"), outputs

    def frames(self, waveform, layer=None):
        x = self.features(waveform)
        rate = self.sample_rate * (1 + waveform.shape[2] / 80_000 * (self.fault == "drift"))
        seconds = (16 * torch.arange(x.shape[2], dtype=torch.float64) + 8) / rate
        x = x if layer == "front" else self.back(x) if layer == "one" else self.back(x).relu()
        return x.transpose(1, 2) + (self.fault == "trunk" and layer is None), seconds

    def latents(self, waveform):
        return self.features(waveform).transpose(1, 2)

    def contexts(self, latents):
        return latents.flip(1).cumsum(1) if self.fault == "later latents" else latents.cumsum(1)

    def branches(self):
        return {"one": "front", "other": "one" if self.fault != "branch" else "else"}
"""
#: Faults of `Able`.
OF_THE_ABLE = ("able", "drift", "trunk", "later latents", "branch")


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """Function from a fault to its entry."""
    (tmp_path / "faulty_encoder.py").write_text(FAULTY)
    entries = "".join(
        f"  {fault}: {{class: 'faulty_encoder:{'Able' if fault in OF_THE_ABLE else 'Faulty'}', "
        f"args: {{fault: {fault}}}, pretrain: false}}\n"
        for fault in ("none", "hoards", "able", *FAULTS)
    )
    (tmp_path / "registry.yaml").write_text(f"encoders:\n{entries}")
    monkeypatch.delitem(__import__("sys").modules, "faulty_encoder", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry([tmp_path])
    return registry.encoder


FAULTS = {
    "training": {"batch size", "no trace of encoding"},
    "level": {"silence"},
    "raises": {"batch size", "constant memory"},
    "unsaved": {"save and load"},
    "head": {"parameters"},
    "random": {"same input twice", "batch size", "layers", "save and load"},
    "constant": {"different inputs"},
    "neighbours": {"different inputs", "batch size"},
    "double": {"shape and type"},
    "layers": {"layers"},
    "time": {"layers", "frames"},
    "order": {"frames"},
    "outside": {"frames"},
    "float32": {"frames"},
    "not the mean": {"frames"},
    "trunk": {"capabilities"},
    "later latents": {"capabilities"},
    "branch": {"capabilities"},
    "drift": {"drift of frames"},
}
EFFORT = Effort(batches=(1, 2, 4), long_batch=8, long_seconds=98)


def outcomes(rows):
    return {row.check: row.outcome for row in rows}


def shipped():
    registry = Registry()
    registry.add_file(built_in_registry())
    return registry.sections["encoders"]


#: One of each architecture, a narrow one; the others are checked by hand.
FAMILIES = (
    "tune_plus",
    "tune_vanilla_small",
    "tune_tail_3",
    "sample_cnn",
    "mule_eighth",
    "random",
    "kim_ss",
    "choi",
    "mfcc",
    "chroma",
)


@pytest.mark.parametrize(
    "name", [name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow) for name in shipped()]
)
def test_every_shipped_encoder_is_fit(name):
    named = shipped()[name]
    if named.entry.weights is not None or None in named.entry.files.values():
        pytest.skip("needs a file that the user names")
    if lacks := lacking(named, weights=False):
        pytest.skip(lacks[0])
    rows = Fitness(named, effort=QUICK).run(Reporter())
    assert [f"{row.check}: {row.value}, {row.explanation}" for row in rows if row.outcome == "fail"] == []
    found = outcomes(rows)
    assert len(found) == 17
    # What tells something of every encoder must not have been skipped.
    for check in ("shape and type", "same input twice", "batch size", "silence", "short clip", "save and load"):
        assert found[check] == "pass"
    assert found["frames"] == "pass"


def test_a_sound_encoder_passes_every_check(faulty):
    rows = Fitness(faulty("none"), effort=EFFORT).run(Reporter())
    assert {row.check for row in rows if row.outcome == "fail"} == set()
    assert fitness_table(rows).endswith("Fit to be compared")
    by_name = {row.check: row for row in rows}
    assert by_name["parameters"].value == 0
    assert "536 parameters" in by_name["parameters"].explanation
    assert 0 < by_name["bfloat16"].value < 1e-3
    assert by_name["float16"].value < by_name["bfloat16"].value


def by_name(named, effort):
    return {row.check: row for row in Fitness(named, effort=effort).run(Reporter())}


def test_an_able_encoder_is_said_to_be_fit_for_every_training(faulty):
    rows = by_name(faulty("able"), EFFORT)
    assert {name for name, row in rows.items() if row.outcome == "fail"} == set()
    assert rows["capabilities"].value == "front end and trunk, latents and contexts, branches"
    assert rows["training"].value == "contrastive, supervised, multi_source, predictive, augmentation of features"
    assert rows["training"].explanation == "lacks nothing"
    assert rows["drift of frames"].value < 1
    assert rows["frames"].value < 1e-5


def test_what_an_encoder_lacks_for_a_training_is_said(faulty):
    plain = by_name(faulty("none"), EFFORT)
    assert (plain["capabilities"].value, plain["training"].value) == ("none", "contrastive, supervised, multi_source")
    lacks = "lacks latents and contexts (for predictive), front end and trunk (for augmentation of features)"
    assert plain["training"].explanation == lacks
    mfcc = by_name(load_registry().encoder("mfcc"), QUICK)
    assert (mfcc["capabilities"].value, mfcc["training"].value) == ("front end and trunk", "none")
    assert mfcc["drift of frames"].value == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_its_checks_and_no_others(faulty, fault):
    rows = Fitness(faulty(fault), effort=EFFORT).run(Reporter())
    assert {row.check for row in rows if row.outcome == "fail"} == FAULTS[fault], fitness_table(rows)
    assert fitness_table(rows).endswith(
        f"Not fit to be compared: {', '.join(c for c in outcomes(rows) if c in FAULTS[fault])}"
    )


def test_the_command_does_the_whole_of_it(tmp_path, faulty):
    rows = bench_json("check", "none", "--registry", tmp_path)
    assert THOROUGH.batches == (1, 7, 64)
    assert THOROUGH.long_seconds == 600
    assert [set(row) for row in rows] == [{"check", "outcome", "value", "limit", "explanation"}] * 17
    found = {row["check"]: row for row in rows}
    assert {row["outcome"] for row in rows} == {"pass", "info"}
    assert found["batch size"]["limit"] == 1e-5
    assert found["batch size"]["value"] <= 1e-5
    assert "1, 7, 64" in found["batch size"]["explanation"]
    assert found["constant memory"]["value"] <= found["constant memory"]["limit"]


def test_the_exit_code_says_whether_it_is_fit(tmp_path, faulty):
    # In a process of its own: in this one, what is hoarded may fill what earlier tests have left free.
    result = bench("check", "hoards", "--registry", tmp_path)
    assert result.returncode == 1
    assert result.stdout.endswith("Not fit to be compared: constant memory\n")
    result = bench("check", "heads", "--registry", tmp_path)
    assert result.returncode == 2
    assert result.stderr == "bench: unknown encoder 'heads'. Did you mean 'head'? `bench list encoders` lists all\n"
