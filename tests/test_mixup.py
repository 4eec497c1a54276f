"""Mixup between front end and trunk: golden values, draws, labels, and trainings that are the same however divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file
from scipy import stats
from test_supervised import inputs as labelled
from test_supervised import step as supervised
from torch.nn import functional as F
from training_steps import Quiet, inputs, plain, pretrain_step
from training_steps import recipe as training_recipe

from benchmark.augmentation.base import Augmentation
from benchmark.augmentation.chain import AugmentationChain
from benchmark.augmentation.config import Augmentations, MixupConfig
from benchmark.augmentation.features import FeatureAugmentation
from benchmark.augmentation.mixup import Mixup, mixup
from benchmark.encoding.windows import build_encoder, to_waveform
from benchmark.errors import UserError
from benchmark.pretraining.crops import CropSampler
from benchmark.pretraining.methods.contrastive import ContrastiveModule
from benchmark.registry.entries import planned
from benchmark.registry.methods import ContrastiveRecipe, Projector, SupervisedRecipe
from benchmark.registry.registry import load_registry
from benchmark.steps import supervise
from benchmark.steps.pretrain import compute
from benchmark.store.file_names import HEAD, WEIGHTS
from benchmark.store.pcm import open_pcm
from probes.objectives import objective_of
from probes.readouts.base import Examples
from probes.readouts.head import Head

GOLDEN = Path(__file__).parent / "golden" / "mule" / "mixup.npz"
MIXED = [{"mixup": {"probability": 1, "alpha": 5, "beta": 2}}]


def steps(document):
    return TypeAdapter(Augmentations).validate_python(document)


def test_features_and_labels_are_mixed_as_the_golden_values_are():
    golden = {name: torch.from_numpy(values) for name, values in np.load(GOLDEN).items()}
    params = {"partner": golden["order"].long(), "gain": golden["gains"]}
    step = Mixup(MixupConfig(probability=1, alpha=5, beta=2))
    found = step.apply(golden["x"].double(), params)
    torch.testing.assert_close(found, golden["mixed"].double(), rtol=0, atol=1e-12)
    labels = step.apply_to_targets(golden["labels"].double(), params)
    torch.testing.assert_close(labels, golden["mixed_labels"].double(), rtol=0, atol=1e-12)


def test_gains_are_of_the_beta_distribution_and_partners_a_permutation():
    params = Mixup(MixupConfig(probability=1, alpha=5, beta=2)).draw(4_000, torch.Generator().manual_seed(3))
    assert sorted(params["partner"].tolist()) == list(range(4_000))
    assert stats.kstest(params["gain"].numpy(), stats.beta(5, 2).cdf).pvalue > 0.01
    again = Mixup(MixupConfig(probability=1, alpha=5, beta=2)).draw(4_000, torch.Generator().manual_seed(3))
    assert torch.equal(again["gain"], params["gain"])


@settings(max_examples=30)
@given(n=st.integers(1, 9), probability=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_examples_that_are_not_selected_stay_to_the_bit(n, probability, seed):
    chain = AugmentationChain(steps([{"mixup": {"probability": probability, "alpha": 5, "beta": 2}}]), 16_000).features
    x, labels = torch.randn(n, 3, 4), torch.rand(n, 2)
    draws = chain.draw(n, seed)
    (drawn,) = draws.steps
    changed, mixed = chain.apply(x, draws), chain.apply_to_targets(labels, draws)
    for row in range(n):
        share, other = drawn.params["gain"][row].float(), drawn.params["partner"][row]
        if not drawn.selected[row]:
            assert torch.equal(changed[row], x[row])
            assert torch.equal(mixed[row], labels[row])
        else:
            torch.testing.assert_close(changed[row], share * x[row] + (1 - share) * x[other])
            torch.testing.assert_close(mixed[row], share * labels[row] + (1 - share) * labels[other])


def test_a_step_on_features_changes_no_draw_of_those_on_waveforms_and_stands_behind_them():
    waveform = torch.rand(4, 2_000) - 0.5
    gain = {"gain": {"probability": 1, "db": [-6, 0]}}
    both, alone = AugmentationChain(steps([gain, *MIXED]), 16_000), AugmentationChain(steps([gain]), 16_000)
    assert torch.equal(both(waveform, 5), alone(waveform, 5))
    assert both.features and not alone.features
    with pytest.raises(ValueError, match="gain changes waveforms, so it stands before all steps that change features"):
        AugmentationChain(steps([*MIXED, gain]), 16_000)
    with pytest.raises(ValidationError, match="alpha"):
        steps([{"mixup": {"probability": 1, "alpha": 0, "beta": 2}}])


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "distribution", "regression"])
def test_mixed_labels_are_trained_on_as_weighted_losses(kind):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    labels = {
        "multilabel": torch.randint(0, 2, (6, 4), generator=generator).numpy(),
        "multiclass": torch.randint(0, 4, (6, 1), generator=generator).numpy(),
        "distribution": torch.softmax(torch.randn(6, 4, generator=generator), dim=1).numpy(),
        "regression": torch.randn(6, 4, generator=generator).numpy(),
    }[kind]
    objective = objective_of(kind)
    targets = torch.from_numpy(objective.targets(labels, 4)).double()
    partner, gain = torch.randperm(6, generator=generator), torch.rand(6, generator=generator, dtype=torch.float64)
    soft = objective.for_mixtures()
    mixed = soft.mixture(lambda rows: mixup(rows, partner, gain), targets)
    found = soft.loss(outputs, mixed)
    if kind in ("multilabel", "multiclass"):  # linear in the labels
        each = [
            float(gain[i] * objective.loss(outputs[[i]], targets[[i]]))
            + float((1 - gain[i]) * objective.loss(outputs[[i]], targets[[int(partner[i])]]))
            for i in range(6)
        ]
        assert float(found) == pytest.approx(np.mean(each), rel=1e-9)
    elif kind == "distribution":
        expected = (mixed * (mixed.log() - torch.log_softmax(outputs, dim=1))).sum(dim=1).mean()
        assert float(found) == pytest.approx(float(expected), rel=1e-9)
    else:
        assert float(found) == pytest.approx(float(F.mse_loss(outputs, mixed)), rel=1e-12)


def test_an_unknown_tag_is_unknown_of_a_mixture():
    objective = objective_of("multilabel").for_targets(torch.tensor([[-1.0]])).for_mixtures()
    targets = torch.tensor([[1.0, -1.0], [0.0, 1.0], [1.0, 1.0]])
    partner, gain = torch.tensor([1, 2, 0]), torch.tensor([0.75, 0.75, 0.75])
    mixed = objective.mixture(lambda rows: mixup(rows, partner, gain), targets)
    torch.testing.assert_close(mixed, torch.tensor([[0.75, -1.0], [0.25, 1.0], [1.0, -1.0]]))


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_training_in_chunks_on_mixed_features_is_that_of_whole_batches(chunk, tmp_path):
    encoder = plain("Parted")
    found = {}
    for size in (None, chunk):
        work = tmp_path / f"{size}"
        work.mkdir()
        compute(pretrain_step(encoder, chunk=size, augmentation=MIXED), inputs(tmp_path, encoder), work, Quiet())
        found[size] = load_file(work / WEIGHTS)
    start = load_file(tmp_path / "start" / WEIGHTS)
    for name, value in found[None].items():
        torch.testing.assert_close(found[chunk][name], value, rtol=0, atol=1e-4)
        assert not torch.equal(value, start[name])


def test_mixing_changes_what_is_learnt_and_the_two_views_are_mixed_apart(tmp_path, monkeypatch):
    seen = []
    original = Mixup.draw
    monkeypatch.setattr(Mixup, "draw", lambda self, n, g: seen.append(original(self, n, g)) or seen[-1])
    encoder, weights = plain("Parted"), []
    for number, augmentation in enumerate(([], MIXED)):
        work = tmp_path / str(number)
        work.mkdir()
        compute(pretrain_step(encoder, augmentation=augmentation), inputs(tmp_path, encoder), work, Quiet())
        weights.append(load_file(work / WEIGHTS))
    assert any((weights[0][name] - weights[1][name]).abs().max() > 1e-3 for name in weights[0])
    assert len(seen) % 2 == 0
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        assert not torch.equal(first["gain"], second["gain"])


def test_one_sided_the_second_view_has_the_features_of_the_crop(tmp_path):
    encoder = build_encoder(plain("Parted"), 0)
    found = {}
    for one_sided in (False, True):
        recipe = planned(ContrastiveRecipe, training_recipe(augmentation=MIXED, one_sided=one_sided))
        sampler = CropSampler([2187] * 4, 2187, 4, 0)
        module = ContrastiveModule(encoder, recipe, None, sampler, 0, 4)
        crops = torch.randint(-9000, 9000, (2, 4, 2187), generator=torch.Generator().manual_seed(0)).to(torch.int16)
        found[one_sided] = module.augment(crops, 1)
    assert torch.equal(found[True][0], found[False][0])
    assert torch.equal(found[True][1], encoder.features(to_waveform(crops)[1].unsqueeze(1)))
    assert not torch.equal(found[False][1], found[True][1])


def test_an_encoder_without_front_end_cannot_be_trained_on_mixed_features(tmp_path):
    encoder = plain()
    with pytest.raises(UserError, match="Plain has no front end apart from its trunk"):
        compute(pretrain_step(encoder, augmentation=MIXED), inputs(tmp_path, encoder), tmp_path, Quiet())


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_labels_are_learnt_from_mixed_features_with_hidden_layers_and_the_last_weights_are_kept(kind, tmp_path):
    encoder, work = plain("Parted"), tmp_path / "work"
    work.mkdir()
    taken = labelled(tmp_path / "in", kind, encoder)
    changes = {"epochs": None, "steps": 90, "patience": None, "hidden": [10, 8], "augmentation": MIXED}
    facts = supervise.compute(supervised(encoder, **changes), taken, work, Quiet())
    assert (facts["steps"], facts["epochs"], facts["best_epoch"], facts["stopped_early"]) == (90, 23, 23, False)
    head = load_file(work / HEAD)
    assert {name: list(value.shape) for name, value in head.items()} == {
        "weight": [2, 8], "bias": [2], "hidden.0.weight": [10, 12], "hidden.0.bias": [10],
        "hidden.1.weight": [8, 10], "hidden.1.bias": [8],
    }  # fmt: skip
    # What the files say of the test clips, by hand and by the readout of end-to-end scores.
    from benchmark.encoding.windows import cut_windows
    from encoders.weights import load_weights

    model = build_encoder(encoder, 1).eval()
    load_weights(model, work / WEIGHTS)
    pcm = open_pcm(taken["pcm"].path, taken["pcm"].manifest)
    rows = [row for row in range(48) if row % 6 == 5]
    windows = [torch.from_numpy(np.stack(cut_windows(pcm.waveform(pcm.clips[row]), model))) / 32768 for row in rows]
    with torch.inference_mode():
        features = model(torch.cat(windows).float()[:, None])
    x = features
    for name in ("hidden.0.", "hidden.1.", ""):
        x = F.linear(x if name == "hidden.0." else F.relu(x), head[f"{name}weight"], head[f"{name}bias"])
    link = torch.sigmoid if kind == "multilabel" else lambda y: torch.softmax(y, dim=1)
    expected = torch.stack([part.mean(dim=0) for part in link(x).split([len(part) for part in windows])])
    numbers = {name: value.numpy() for name, value in head.items()}
    hidden = [(numbers[f"hidden.{n}.weight"], numbers[f"hidden.{n}.bias"]) for n in (0, 1)]
    first = np.cumsum([0, *(len(part) for part in windows)])
    examples = Examples(features.numpy(), first, None, ())
    found = Head(numbers["weight"], numbers["bias"], kind, hidden).predict(examples)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    high = np.load(taken["labels"] / "labels.npz")["labels"][rows, 0]
    said = found[:, 0] > 0.5 if kind == "multilabel" else found.argmax(axis=1)
    assert (said == high).mean() >= 0.875


def test_with_replacement_every_crop_is_of_any_item():
    sampler = CropSampler([100] * 6, 90, 4, 0, replacement=True)
    items = np.concatenate([sampler.step(n)[0] for n in range(600)])
    counts = np.bincount(items, minlength=6)
    assert stats.chisquare(counts).pvalue > 0.001
    assert any(len(set(sampler.step(n)[0].tolist())) < 4 for n in range(20))
    halves = [CropSampler([100] * 6, 90, 4, 0, replacement=True, part=(rank, 2)) for rank in (0, 1)]
    for n in range(5):
        assert np.concatenate([half.step(n)[0] for half in halves]).tolist() == sampler.step(n)[0].tolist()


def test_recipes_of_mule_are_those_of_the_paper():
    registry = load_registry()
    for name, batch in (("mule-ularge", 1920), ("mule-usmall", 256)):
        recipe = registry.recipe(name).entry
        assert (recipe.batch, recipe.total_steps(10**6), recipe.warmup_steps) == (batch, 200_000, 5_000)
        assert (recipe.temperature, recipe.step_size, recipe.pair_within_seconds) == (0.1, 2e-4, 5)
    labelled_recipe = registry.recipe("mule-sup").entry
    assert isinstance(labelled_recipe, SupervisedRecipe)
    assert (labelled_recipe.batch, labelled_recipe.total_steps(10), labelled_recipe.hidden) == (
        512,
        200_000,
        (4096,) * 3,
    )
    from benchmark.pretraining.projector import build_projector

    projector = registry.recipe("mule-ularge").entry.projector
    assert isinstance(projector, Projector)
    with torch.device("meta"):
        built = build_projector(projector, 1728, 0)
    assert sum(parameter.numel() for parameter in built.parameters()) == 44_838_912


def test_the_learning_rate_of_mule_is_the_golden_one():
    golden = {0: 0.0, 1: 4e-08, 2500: 1e-4, 4999: 1.9996e-4, 5000: 2e-4, 53750: 1.7071067811865476e-4, 102500: 1e-4,
              199999: 1.2977785512902074e-14, 200000: 0.0}  # fmt: skip
    from benchmark.pretraining.optimisation import configured

    recipe = load_registry().recipe("mule-ularge").entry
    schedule = configured(recipe, [torch.nn.Parameter(torch.zeros(1))], 200_000, 1)["lr_scheduler"]
    (share,) = schedule.lr_lambdas
    for step, rate in golden.items():
        assert recipe.step_size * share(step) == pytest.approx(rate, rel=1e-9, abs=1e-18)


def test_plug_ins_are_of_one_kind_or_the_other():
    assert issubclass(Mixup, FeatureAugmentation) and not issubclass(Mixup, Augmentation)
