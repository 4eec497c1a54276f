"""What a step of training is said to take: counts by hand, and what is told before a run."""

from __future__ import annotations

import pytest
import torch
from conftest import bench
from training_steps import plain, recipe

from benchmark.forecast.large_batches import is_large, memory_in_words
from benchmark.forecast.training_memory import Live, StepMemory, step_memory
from benchmark.pretraining.feature_inputs import AT_A_TIME, FeatureInputs
from benchmark.registry.methods import ContrastiveRecipe
from benchmark.registry.registry import Named, load_registry
from benchmark.steps import KINDS
from benchmark.store.step import Step

#: A step with 10 bytes of weights, 1,000 a pair, and little else.
MEMORY = StepMemory(weights=10, kept=30, augmented=50, waveforms=0, views=20, front_end=0, fixed=100, encoded=1_000_000)


def step_of(encoder: Named, name: str = "tests") -> Step:
    context = {"encoder": encoder, "names": {"recipe": name}, "precision": "32-true"}
    return KINDS["pretrain"].step({}, {}, "pretrain", context)


def of_recipe(**changes) -> ContrastiveRecipe:
    return ContrastiveRecipe.model_validate({"source": "tests"} | recipe(**changes), strict=False)


def test_tensors_are_counted_while_something_holds_them():
    with Live() as live:
        first = torch.ones(1000)
        second = first + 1
        first.add_(1).view(10, 100)  # no new storage
        assert live.peak == 8000
        del first
        third = second * 2
        assert live.peak == 8000
        fourth = third[:500] * 2
        assert live.peak == 10_000
    assert len(fourth) == 500


def test_a_step_takes_what_its_chunk_takes():
    whole = 30 + 20 * 64 + 100 + 64_000_000
    assert MEMORY.of(64, None) == MEMORY.of(64, 64) == MEMORY.of(64, 100) == whole
    # The gradient of the chunks before is kept, and all views.
    assert MEMORY.of(64, 16) == 30 + 20 * 64 + 10 + 100 + 16_000_000
    # The similarities of 2 x 64 views, three times, are more than that of a chunk that takes nothing.
    light = StepMemory(weights=10, kept=30, augmented=50, waveforms=0, views=20, front_end=0, fixed=100, encoded=1)
    assert light.of(64, 1) == 30 + 20 * 64 + 3 * 4 * 128**2
    # Augmentation and front end come before, and may take more.
    heavy = StepMemory(weights=0, kept=0, augmented=1e6, waveforms=2e6, views=1e6, front_end=5e6, fixed=0, encoded=0)
    assert heavy.of(64, 1) == 3_000_000 * 64 + 5_000_000 * AT_A_TIME
    assert heavy.of(8, 1) == 3_000_000 * 8 + 5_000_000 * 8


def test_an_encoder_is_counted_by_hand():
    """Two convolutions with GELUs and a mean: what autograd keeps of them, and what only passes."""
    encoder = plain(window=2187)
    memory = step_memory(step_of(encoder), of_recipe(projector={"kind": "identity", "dim": 1}))
    weights = 4 * (8 * 27 + 8 + 12 * 8 * 9 + 12)
    assert (memory.weights, memory.kept) == (weights, 3 * weights)
    assert memory.views == memory.waveforms == 2 * 4 * 2187
    assert memory.front_end == 0
    # Of a view: 241 frames of 8 channels and 78 of 12, before and behind a GELU, dropout included, and the mean.
    kept = 4 * (2 * 8 * 241 + 2 * 12 * 78 + 12)
    assert kept <= memory.encoded / 2 <= kept + 4 * 12 * 78
    assert memory.fixed == pytest.approx(weights, abs=200)


def test_mules_front_end_and_optimiser_are_counted():
    registry = load_registry()
    named = registry.recipe("mule-demo")
    memory = step_memory(step_of(registry.encoder("mule_eighth"), "mule-demo"), named.entry)
    head = 216 * 64 + 64 + 2 * (64 * 64 + 64) + 64 * 32
    assert memory.weights == 4 * (988_227 + head)
    assert memory.views == 2 * 4 * 96 * 300
    assert memory.waveforms == 2 * 4 * 48_000
    spectrum = 1025 * 301 * (8 + 4 + 4)  # complex, its magnitude and the square
    assert memory.front_end == pytest.approx(spectrum, rel=0.1)
    # Twice what `bench resources` counts, which knows of the saved tensors alone; here also what passes.
    from benchmark.encoding.windows import build_encoder
    from benchmark.forecast.resources import activation_bytes

    saved = 2 * activation_bytes(build_encoder(registry.encoder("mule_eighth"), 0))
    assert 0.7 * saved < memory.encoded < 1.1 * saved


def test_features_in_parts_are_those_of_the_whole():
    class Counted(torch.nn.Module):
        calls = 0

        def features(self, waveform):
            self.calls += 1
            return waveform[:, 0].unfold(1, 4, 2)

        def trunk(self, features, layers=()):
            return features, {}

    encoder = Counted()
    inputs = FeatureInputs(encoder, [None], None)
    waveforms = torch.randn(AT_A_TIME + 3, 1, 40)
    assert torch.equal(inputs.unchanged(waveforms), waveforms[:, 0].unfold(1, 4, 2))
    assert encoder.calls == 2


def test_chunks_are_told_and_one_that_does_not_fit_is_named():
    step = step_of(plain(), "big")
    said = memory_in_words(step, of_recipe(batch=512), MEMORY, 100 * 10**6).splitlines()
    assert said[0] == (
        "plain, recipe big: about what a step of 512 pairs takes by the pairs encoded at a time, of 100.0 MB free here"
    )
    rows = [line.split("  ") for line in said[2:-1]]
    assert [cells[1].split(",")[0] for cells in rows] == ["512", "256", "128", "64", "32", "16", "8", "4"]
    assert said[2].endswith("chosen, too much")
    assert said[4].split() == ["128", "128.0", "MB", "too", "much"]
    assert said[5].split() == ["64", "64.0", "MB"]
    assert said[-1] == "  The chosen one does not fit; --set chunk=64 would"
    said = memory_in_words(step, of_recipe(batch=512, chunk=48), MEMORY, 100 * 10**6).splitlines()
    assert [line.split()[0] for line in said if "chosen" in line] == ["48"]
    assert "fit" not in said[-1]
    assert "no chunk does" in memory_in_words(step, of_recipe(batch=512), MEMORY, 10)


def test_only_large_batches_and_chunks_are_worth_a_word():
    assert is_large({"batch": 1920}) and is_large({"batch": 4, "chunk": 2})
    assert not is_large({"batch": 96})
    assert not is_large({"method": "supervised", "batch": 512})


def test_a_plan_and_a_run_tell_it(tiny_registry, mtt, tmp_path):
    words = ["run", "--encoder", "tiny", "--recipe", "short", "--task", "mtt", "--registry", tiny_registry]
    where = ["--data", mtt[0], "--store", tmp_path / "s"]
    plan = bench(*words, *where, "--set", "chunk=2", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "by the pairs encoded at a time" in plan.stderr
    assert [line.split()[0] for line in plan.stderr.splitlines() if line.endswith("chosen")] == ["2"]
    assert "encoded at a time" not in bench(*words, *where, "--dry-run").stderr
    run = bench(*words, *where, "--set", "chunk=2")
    assert run.returncode == 0, run.stderr
    assert run.stderr.index("encoded at a time") < run.stderr.index("pretrain tiny")
    assert "encoded at a time" not in bench(*words, *where, "--set", "chunk=2").stderr  # all is there
