"""Methods of training: numbers that all recipes share, a method from outside, one training after another, labels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import bench, bench_json, tone
from hypothesis import given
from hypothesis import strategies as st
from plain_encoder import Plain
from safetensors.torch import load_file

from benchmark.errors import UserError
from benchmark.pretraining.crops import CropSampler, training_window
from benchmark.pretraining.optimisation import build_optimiser, configured
from benchmark.pretraining.projector import build_projector
from benchmark.registry.methods import ContrastiveRecipe, Projector
from benchmark.registry.recipes import AdamWEntry
from benchmark.registry.registry import load_registry
from benchmark.store.pcm import read_lines

RATE = 22_050


def recipe(**changes):
    entry = load_registry().recipe("tune").entry.model_dump(mode="json")
    return ContrastiveRecipe.model_validate(entry | changes, strict=False)


def rates(steps, **changes):
    """Learning rate of each step."""
    found = configured(recipe(learning_rate=0.5, **changes), [torch.nn.Parameter(torch.ones(1))], steps, 4)
    optimiser, schedule = found["optimizer"], found["lr_scheduler"]
    seen = []
    for _ in range(steps):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return seen


def test_the_learning_rate_rises_from_zero_in_a_line():
    assert rates(8, warmup_steps=4) == pytest.approx([0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5])
    assert rates(8, warmup_epochs=1) == rates(8, warmup_steps=4)
    falling = [0.25 * (1 + np.cos(np.pi * step / 6)) for step in range(6)]
    assert rates(8, warmup_steps=2, schedule="cosine") == pytest.approx([0, 0.25, *falling])
    assert rates(8, schedule="cosine") == pytest.approx([0.25 * (1 + np.cos(np.pi * step / 8)) for step in range(8)])
    with pytest.raises(ValueError, match="give either warmup_steps or warmup_epochs"):
        recipe(warmup_steps=1, warmup_epochs=1)


def test_adamw_takes_decay_off_the_weights():
    weights = torch.nn.Parameter(torch.tensor([2.0, -3.0], dtype=torch.float64))
    optimiser = build_optimiser(AdamWEntry(kind="adamw", betas=(0.8, 0.9)), [weights], 0.1, 0.05)
    w, m, v = weights.detach().numpy().copy(), np.zeros(2), np.zeros(2)
    for step, g in enumerate([np.array([1.0, -0.5]), np.array([0.25, 2.0])], 1):
        weights.grad = torch.from_numpy(g.copy())
        optimiser.step()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        w = w * (1 - 0.1 * 0.05) - 0.1 * (m / (1 - 0.8**step)) / (np.sqrt(v / (1 - 0.9**step)) + 1e-8)
        np.testing.assert_allclose(weights.detach().numpy(), w, rtol=1e-12)


def test_a_projector_may_be_deep_and_normalised():
    settings = Projector(kind="mlp", dim=3, widths=(5, 4), bias=True, norm="batch")
    built = build_projector(settings, 7, 0)
    x = torch.randn(6, 7)
    expected = x
    for number in (0, 3):
        linear = built[number]
        expected = expected @ linear.weight.T + linear.bias
        expected = (expected - expected.mean(0)) / (expected.var(0, unbiased=False) + 1e-5).sqrt()
        expected = expected.clamp(min=0)
    torch.testing.assert_close(built(x), expected @ built[6].weight.T + built[6].bias)
    assert [tuple(layer.weight.shape) for layer in (built[0], built[3], built[6])] == [(5, 7), (4, 5), (3, 4)]
    plain = build_projector(Projector(kind="mlp", dim=3), 7, 0)
    same = build_projector(Projector(kind="mlp", dim=3, widths=(7,)), 7, 0)
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in plain.state_dict().items())
    assert [name for name, _ in plain.named_parameters()] == ["0.weight", "2.weight"]
    with pytest.raises(ValueError, match="widths and norm are of hidden layers, which linear has none of"):
        Projector(kind="linear", dim=3, widths=(5,))


@given(st.lists(st.integers(100, 400), min_size=4, max_size=9), st.integers(0, 500), st.integers(0, 99))
def test_the_second_crop_of_a_pair_is_near_the_first(lengths, within, number):
    near = CropSampler(lengths, 100, 4, 0, within=within)
    items, starts = near.step(number)
    free = np.array(lengths)[items] - 100
    assert (np.abs(starts[:, 1] - starts[:, 0]) <= within).all()
    assert ((starts >= 0) & (starts <= free[:, None])).all()
    halves = [CropSampler(lengths, 100, 4, 0, within=within, part=(rank, 2)).step(number)[1] for rank in range(2)]
    assert np.array_equal(np.concatenate(halves), starts)


def test_every_place_near_the_first_crop_is_taken():
    near = CropSampler([120] * 4, 100, 4, 0, within=3)
    starts = np.concatenate([near.step(number)[1] for number in range(2_000)])
    assert set(np.unique(starts)) == set(range(21))
    for first, last in ((0, 3), (1, 4), (10, 13), (20, 20)):
        found = np.unique(starts[starts[:, 0] == first, 1])
        assert found.tolist() == list(range(max(0, first - 3), last + 1))
    assert abs((starts[starts[:, 0] == 10, 1] - 10).mean()) < 0.3


class Free(Plain):
    def __init__(self):
        super().__init__()
        self.window, self.max_window = None, 44_100


def test_crops_have_the_length_that_the_recipe_says_and_the_encoder_takes():
    assert training_window(Free(), None) == 44_100
    assert training_window(Free(), 0.5) == 11_025
    assert training_window(Plain(), None) == 2_187
    assert training_window(Plain(), 2_187 / RATE) == 2_187
    with pytest.raises(UserError, match="crop_seconds=3: the encoder takes at most 44100 samples at 22050 Hz.* 2 s"):
        training_window(Free(), 3)
    with pytest.raises(UserError, match="crop_seconds=0.5: the encoder takes windows of 2187 samples .* say 0.0991837"):
        training_window(Plain(), 0.5)


VICREG = '''
"""VICReg (Bardes, Ponce and LeCun 2022): views agree, every dimension varies, and none repeats another."""

from typing import ClassVar

import torch
from pydantic import PositiveFloat, PositiveInt

from benchmark.encoding.windows import to_waveform
from benchmark.pretraining.methods.base import Method
from benchmark.pretraining.projector import build_projector
from benchmark.pretraining.trained import TrainedModule
from benchmark.registry.methods import Projector
from benchmark.registry.recipes import RecipeEntry


class VicregRecipe(RecipeEntry):
    VIEWS: ClassVar[int] = 2
    epochs: PositiveInt
    invariance: PositiveFloat
    variance: PositiveFloat
    projector: Projector

    @property
    def length(self):
        return f"{self.epochs} epochs"

    def total_steps(self, items):
        return self.epochs * (items // self.batch)


class Vicreg(Method):
    RECIPE = VicregRecipe

    def module(self, setting, material):
        return VicregModule(
            setting.encoder, self.recipe, setting.crops, setting.sampler, setting.given.seed, setting.steps
        )


class VicregModule(TrainedModule):
    def __init__(self, encoder, recipe, crops, sampler, seed, steps):
        super().__init__(encoder, recipe, crops, sampler, seed, steps, ("variance",))
        self.recipe = recipe
        self.projector = build_projector(recipe.projector, encoder.dim, seed)

    def training_step(self, _batch, _batch_index):
        number = self.global_step
        views = to_waveform(self.cut()).unsqueeze(2)
        self.reseed(number)
        z = [self.projector(self.encoder(view)).float() for view in views]
        spread = sum(torch.relu(1 - (one.var(dim=0) + 1e-4).sqrt()).mean() for one in z)
        loss = self.recipe.invariance * (z[0] - z[1]).square().mean() + self.recipe.variance * spread
        for one in z:
            covariance = torch.cov(one.T)
            loss = loss + (covariance - covariance.diag().diag()).square().sum() / one.shape[1]
        self.manual_backward(loss)
        self.note(number, torch.stack([loss.detach(), spread.detach()]))
        self.move()
'''

REGISTRY = """
encoders:
  small: {{class: "small_encoder:Plain"}}
datasets:
  moods: {{class: tasks.folder:LabelledFolder, root: music, args: {{table: moods.csv}}}}
  kinds: {{class: tasks.folder:LabelledFolder, root: music, args: {{table: kinds.csv}}}}
corpora:
  moods: {{dataset: moods, splits: [train], labels: moods}}
  kinds: {{dataset: kinds, splits: [train]}}
  loose: {{dataset: kinds}}
tasks:
  moods: {{dataset: moods, metrics: [accuracy], corpus: moods, protocol: quick}}
  kinds: {{dataset: kinds, metrics: [accuracy], corpus: kinds, protocol: quick}}
protocols:
  quick:
    {{source: tests, examples: windows, standardise: true, hidden: [], batch: 8, learning_rate: 1e-2, weight_decay: 0,
      max_epochs: 3}}
recipes:
  vic:
    {{method: "vicreg:Vicreg", source: tests, epochs: 3, batch: 4, learning_rate: 1e-2, weight_decay: 0,
      invariance: 25, variance: 25, projector: {{kind: mlp, dim: 8, norm: batch}}}}
  labelled:
    {{method: supervised, source: tests, epochs: 2, patience: 2, batch: 4, dropout: 0, learning_rate: {rate},
      weight_decay: 0, augmentation: null}}
  # Its one step is taken at a learning rate of zero.
  idle:
    {{method: supervised, source: tests, epochs: 1, patience: 1, batch: 4, dropout: 0, learning_rate: 1e-2,
      warmup_steps: 1000, weight_decay: 0, augmentation: null, start_from: {{recipe: labelled, corpus: moods}}}}
  round: {{method: "vicreg:Vicreg", source: tests, epochs: 1, batch: 4, learning_rate: 1e-2, weight_decay: 0,
      invariance: 25, variance: 25, projector: {{kind: mlp, dim: 8}}, start_from: {{recipe: round}}}}
"""
#: Splits of twelve clips in the two tables: four are trained on in the one and tested in the other.
MOODS = ["train"] * 6 + ["valid"] * 2 + ["test"] * 4
KINDS = ["test"] * 4 + ["valid"] * 2 + ["train"] * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve clips with two tables, an encoder and a method beside a registry."""
    folder = tmp_path_factory.mktemp("methods")
    music = folder / "music"
    music.mkdir()
    for n in range(12):
        soundfile.write(music / f"{n}.wav", tone(1.1 + 0.1 * (n % 3), RATE, n), RATE)
    for table, splits, label in (("moods", MOODS, "mood"), ("kinds", KINDS, "kind")):
        rows = [f"{n}.wav,{splits[n]},{'ab'[n % 2]}" for n in range(12)]
        (music / f"{table}.csv").write_text("\n".join([f"path,split,{label}", *rows, ""]))
    shutil.copyfile(Path(__file__).with_name("plain_encoder.py"), folder / "small_encoder.py")
    (folder / "vicreg.py").write_text(VICREG)
    (folder / "reg.yaml").write_text(REGISTRY.format(rate="1e-2"))
    return folder


def command(folder, *words):
    return ["--encoder", "small", "--registry", folder / "reg.yaml", "--store", folder / "store", *words]


def trained(folder, **names):
    """Folder of the one training whose card says this."""
    found = []
    for card in (folder / "store" / "artifacts").glob("*/*/card.json"):
        says = json.loads(card.read_text())
        if all(says.get(name) == value for name, value in names.items()):
            found.append(card.parent)
    (only,) = found
    return only


def keys(folder, *words):
    steps = bench_json("run", *command(folder, "--dry-run", *words))
    return {step["title"].split(",")[0]: step["key"] for step in steps if step["kind"] in ("pretrain", "supervise")}


def test_a_method_from_outside_is_one_file(folder):
    (record, twin) = bench_json("run", *command(folder, "--recipe", "vic", "--task", "kinds"))
    assert (record["recipe"], record["corpus"], twin["recipe"]) == ("vic", "kinds", "untrained")
    assert record["pretraining"]["steps"] == 3
    assert record["pretraining"]["loss_last"] < 1e3
    work = trained(folder, recipe="vic")
    assert (work / "losses.csv").read_text().splitlines()[0] == "step,epoch,loss,variance"
    weights = load_file(work / "encoder.safetensors")
    (start,) = (folder / "store" / "artifacts" / "initialise").glob("*/encoder.safetensors")
    assert max((value - load_file(start)[name]).abs().max() for name, value in weights.items()) > 1e-3
    before = keys(folder, "--recipe", "vic", "--task", "kinds")
    (folder / "vicreg.py").write_text(VICREG.replace("1e-4", "1e-5"))
    try:
        after = keys(folder, "--recipe", "vic", "--task", "kinds")
    finally:
        (folder / "vicreg.py").write_text(VICREG)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_what_is_wrong_with_a_recipe_of_a_method_from_outside_is_one_line(folder, tmp_path):
    shutil.copyfile(folder / "vicreg.py", tmp_path / "vicreg.py")
    (tmp_path / "broken.py").write_text("raise RuntimeError('imported')\n")
    line = "{method: '%s', source: t, epochs: 1, batch: 4, learning_rate: 1e-2, weight_decay: 0, invariance: 1, "
    (tmp_path / "own.yaml").write_text(
        "recipes:\n"
        f"  misspelt: {line % 'vicreg:Vicreg'} varience: 1, projector: {{kind: mlp, dim: 8}}}}\n"
        f"  none: {line % 'vicreg:VicregModule'} variance: 1}}\n"
        f"  unknown: {line % 'contrastiv'} variance: 1}}\n"
        f"  raising: {line % 'broken:Method'} variance: 1}}\n"
    )
    for name, says in {
        "misspelt": "own.yaml:2: recipes.misspelt.varience: unknown key 'varience'",
        "none": "own.yaml:3: none: vicreg:VicregModule is no subclass of benchmark.pretraining.methods.base.Method",
        "unknown": "own.yaml:4: recipes.unknown.method: unknown method 'contrastiv'. Did you mean 'contrastive'?",
        "raising": "own.yaml:5: raising: cannot import broken:Method: RuntimeError: imported",
    }.items():
        words = command(folder, "--recipe", name, "--task", "kinds", "--registry", tmp_path / "own.yaml")
        result = bench("run", *words, "--dry-run")
        assert result.returncode == 2
        assert says in result.stderr
    listed = bench("list", "recipes", "--registry", tmp_path / "own.yaml")  # which imports none of them
    assert "raising" in listed.stdout
    assert "imported" not in listed.stderr


def test_an_encoder_is_trained_on_the_labels_of_one_task_and_probed_on_another(folder):
    words = ("--recipe", "labelled", "--corpus", "moods", "--task", "kinds", "--allow-overlap")
    (record, _) = bench_json("run", *command(folder, *words))
    assert (record["corpus"], record["task"], record["protocol"]) == ("moods", "kinds", "quick")
    # Of the six training clips of the one task, four are test clips of the other.
    assert record["overlap"]["clips"] == 4
    assert record["pretraining"]["clips"] == 6
    work = trained(folder, recipe="labelled", corpus="moods")
    listed = {Path(row["id"]).stem for row in read_lines(work / "corpus.jsonl")}
    assert listed == {"0", "1", "2", "3", "4", "5"}
    end_to_end = keys(folder, "--recipe", "labelled", "--task", "moods")
    elsewhere = keys(folder, *words)
    assert set(end_to_end.values()) == set(elsewhere.values())  # the very same training
    (head, _) = bench_json("run", *command(folder, "--recipe", "labelled", "--task", "moods"))
    assert (head["corpus"], head["protocol"], head["overlap"]["clips"]) == (None, "end-to-end", 0)
    for words, says in {
        ("--corpus", "moods", "--protocol", "end-to-end", "--task", "kinds"): "a training on moods cannot be scored on",
        ("--corpus", "loose", "--task", "kinds"): "recipe labelled learns from labels, and it has none",
    }.items():
        result = bench("run", *command(folder, "--recipe", "labelled", *words))
        assert result.returncode == 2
        assert says in result.stderr


def test_a_training_goes_on_from_the_weights_of_another(folder):
    (record, _) = bench_json("run", *command(folder, "--recipe", "idle", "--task", "kinds", "--allow-overlap"))
    assert record["protocol"] == "end-to-end"
    first, second = trained(folder, recipe="labelled", corpus="moods"), trained(folder, recipe="idle")
    started, ended = load_file(first / "encoder.safetensors"), load_file(second / "encoder.safetensors")
    assert all(torch.equal(value, started[name]) for name, value in ended.items())  # bit for bit
    # The first training has heard four of the test clips, the second none.
    assert (record["overlap"]["clips"], record["overlap"]["labelled"]) == (4, 4)
    card = json.loads((second / "card.json").read_text())
    assert card["started_from"]["recipe"] == "labelled"
    assert sum(card["clips"]["by_split"].values()) == 6
    title = (second / "card.md").read_text().splitlines()[0]
    assert title == "# small, trained on moods by recipe labelled, then on kinds by recipe idle"


def test_then_is_a_recipe_that_starts_from_another(folder):
    words = ("--recipe", "vic", "--then", "labelled", "--task", "kinds")
    planned = keys(folder, *words)
    assert list(planned) == ["pretrain small on kinds", "train small end to end on kinds"]
    alone = keys(folder, "--recipe", "vic", "--task", "kinds")
    assert planned["pretrain small on kinds"] == alone["pretrain small on kinds"]
    (record, _) = bench_json("run", *command(folder, *words))
    assert record["recipe"] == 'labelled(start_from={"recipe":vic})'
    assert record["overlap"]["clips"] == 0
    again = bench_json("run", *command(folder, "--recipe", "labelled", "--task", "kinds"),
                       "--set", 'start_from={"recipe":vic}', "--dry-run")  # fmt: skip
    assert all(step["state"] == "cached" for step in again)
    text = (folder / "reg.yaml").read_text()
    try:
        (folder / "reg.yaml").write_text(text.replace("epochs: 3, batch: 4", "epochs: 4, batch: 4"))
        edited = keys(folder, *words)
    finally:
        (folder / "reg.yaml").write_text(text)
    assert edited.keys() == planned.keys()
    assert not set(edited.values()) & set(planned.values())
    result = bench("run", *command(folder, "--recipe", "round", "--task", "kinds"))
    assert result.returncode == 2
    assert "recipes.round.start_from: round starts from round" in result.stderr
