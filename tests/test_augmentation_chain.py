"""The chain of augmentations: what a recipe may say of it, what is drawn, and in what order it is applied."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from augmentation_signals import (
    RATE,
    STEPS,
    V2,
    WINDOW,
    chain_with,
    music,
    room,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from benchmark.augmentation.chain import AugmentationChain
from benchmark.augmentation.config import NAMES, Augmentations, AugmentationStep
from benchmark.augmentation.delay import delay
from benchmark.augmentation.draws import Draws
from benchmark.augmentation.filters import high_low_pass
from benchmark.augmentation.gain import gain
from benchmark.augmentation.noise import noise, white
from benchmark.augmentation.pitch import pitch_shift
from benchmark.augmentation.polarity import polarity
from benchmark.augmentation.reverb import reverb
from benchmark.augmentation.steps import BUILT_IN
from benchmark.registry.registry import load_registry

RECIPE = TypeAdapter(Augmentations)


def drawn_by_name(chain: AugmentationChain, batch: int, seed: int) -> dict:
    return dict(zip(chain.names, chain.draw(batch, seed).steps, strict=True))


def same(one: Draws, other: Draws) -> bool:
    return all(
        torch.equal(a.selected, b.selected)
        and a.params.keys() == b.params.keys()
        and all(torch.equal(a.params[key], b.params[key]) for key in a.params)
        for a, b in zip(one.steps, other.steps, strict=True)
    )


class TestConfig:
    def test_every_name_is_a_step(self) -> None:
        assert tuple(BUILT_IN) == NAMES == (*STEPS, "mixup")
        numbers = {**V2, "mixup": {"probability": 1, "alpha": 5, "beta": 2}}
        for name, step in BUILT_IN.items():
            assert type(getattr(AugmentationStep.model_validate({name: numbers[name]}), name)) is step.Config

    def test_the_thesis_numbers_can_be_said_too(self) -> None:
        thesis = chain_with(
            gain={"db": (-6.0, 0.0)},
            noise={"level": (0.01, 0.01), "reference": "full_scale", "clamp": True},
            delay={"choices_ms": tuple(range(200, 501, 50)), "factor": 0.5, "halve": False},
        )
        assert torch.isfinite(AugmentationChain(thesis, RATE)(music(4, 8000), 0)).all()

    @pytest.mark.parametrize("step", STEPS)
    def test_nothing_has_a_default_and_nothing_is_ignored(self, step: str) -> None:
        for key in V2[step]:
            incomplete = {k: v for k, v in V2[step].items() if k != key}
            with pytest.raises(ValidationError, match=f"{step}.{key}"):
                AugmentationStep.model_validate({step: incomplete})
        with pytest.raises(ValidationError, match="extra"):
            AugmentationStep.model_validate({step: {**V2[step], "strength": 1}})

    def test_impossible_numbers_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="low to high"):
            chain_with(gain={"db": (-1.0, -20.0)})
        with pytest.raises(ValidationError):
            chain_with(pitch={"probability": 1.1})
        with pytest.raises(ValidationError):
            chain_with(reverb={"room_scale": (0, 101)})
        with pytest.raises(ValueError, match="half the sample rate of 6000 Hz"):
            AugmentationChain(chain_with(), 6000)

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            (V2, "is a list of steps in the order in which they act"),
            (({},), "is one step"),
            (({"polarity": V2["polarity"], "gain": V2["gain"]},), "not 2 of them"),
            (({"polarity": V2["polarity"], "args": {"a": 1}},), "args belongs to class"),
            (({"class": "nowhere"},), "package.module:Name"),
            (({"pich": V2["pitch"]},), "Extra inputs"),
        ],
    )
    def test_what_is_no_list_of_single_steps_is_refused(self, steps: object, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            RECIPE.validate_python(steps)

    def test_what_is_written_is_read_back(self) -> None:
        plugged = AugmentationStep.model_validate({"class": "a.b:C", "args": {"probability": 1, "x": [1, 2]}})
        steps = (*chain_with(), plugged)
        assert RECIPE.validate_json(RECIPE.dump_json(steps), strict=False) == steps
        document = RECIPE.dump_python(steps)
        assert document[0] == {"polarity": {"probability": 0.8}}
        assert document[-1] == {"class": "a.b:C", "args": {"probability": 1, "x": [1, 2]}}
        assert RECIPE.validate_python(document) == steps


class TestDraws:
    def test_ranges_and_frequencies(self) -> None:
        n = 20_000
        drawn = drawn_by_name(AugmentationChain(chain_with(), RATE), n, 0)
        for step, numbers in V2.items():
            p = numbers["probability"]
            share = drawn[step].selected.double().mean().item()
            assert share == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))

        def check_uniform(values: torch.Tensor, low: float, high: float) -> None:
            assert low <= values.min() <= low + 0.01 * (high - low)
            assert high - 0.01 * (high - low) <= values.max() <= high
            spread = (high - low) / math.sqrt(12)
            assert values.double().mean().item() == pytest.approx(
                (low + high) / 2, abs=5 * spread / math.sqrt(len(values))
            )
            assert values.double().std().item() == pytest.approx(spread, rel=0.03)

        check_uniform(drawn["noise"].params["level"], 1e-4, 1e-2)
        assert len(drawn["noise"].params["seed"].unique()) == n
        check_uniform(drawn["gain"].params["db"], -20, -1)
        high, hz = drawn["filter"].params["high"], drawn["filter"].params["hz"]
        assert high.double().mean().item() == pytest.approx(0.5, abs=0.02)
        check_uniform(hz[high], 200, 1200)
        check_uniform(hz[~high], 2200, 4000)
        values, counts = drawn["delay"].params["ms"].unique(return_counts=True)
        assert values.tolist() == [200, 250, 300, 350, 400, 450]
        np.testing.assert_allclose(counts / n, 1 / 6, atol=0.015)
        check_uniform(drawn["pitch"].params["cents"], -700, 700)
        for name in ("reverberance", "hf_damping", "room_scale"):
            percent = drawn["reverb"].params[name]
            check_uniform(percent, 0, 99)
            assert len(percent.unique()) == 100

    def test_steps_are_independent(self) -> None:
        drawn = AugmentationChain(chain_with(0.5), RATE).draw(20_000, 3)
        chosen = torch.stack([step.selected.double() for step in drawn.steps])
        off_diagonal = torch.corrcoef(chosen) - torch.eye(len(STEPS), dtype=torch.float64)
        assert off_diagonal.abs().max() < 5 / math.sqrt(20_000)

    @settings(max_examples=25)
    @given(
        order=st.permutations(range(len(STEPS))),
        kept=st.integers(0, len(STEPS)),
        seed=st.integers(0, 2**63 - 1),
        probability=st.floats(0, 1),
    )
    def test_no_step_depends_on_the_others(self, order: list[int], kept: int, seed: int, probability: float) -> None:
        """Steps removed, moved, or given another probability draw what they drew."""
        whole = drawn_by_name(AugmentationChain(chain_with(), RATE), 32, seed)
        steps = chain_with(pitch={"probability": probability})
        some = drawn_by_name(AugmentationChain([steps[place] for place in order[:kept]], RATE), 32, seed)
        for name, drawn in some.items():
            assert name == "pitch" or torch.equal(drawn.selected, whole[name].selected)
            for key, values in drawn.params.items():
                assert torch.equal(values, whole[name].params[key])

    def test_a_second_step_of_a_name_draws_for_itself(self) -> None:
        steps = chain_with()
        one = AugmentationChain(steps, RATE)
        two = AugmentationChain([*steps, steps[STEPS.index("gain")]], RATE)
        assert two.names == (*STEPS, "gain 2")
        drawn = two.draw(64, 5)
        assert same(one.draw(64, 5), Draws(drawn.steps[:-1]))
        assert not torch.equal(drawn.steps[-1].params["db"], drawn.steps[STEPS.index("gain")].params["db"])

    def test_a_seed_is_a_draw(self) -> None:
        chain = AugmentationChain(chain_with(), RATE)
        assert same(chain.draw(64, 5), chain.draw(64, 5))
        assert not same(chain.draw(64, 5), chain.draw(64, 6))


class TestChain:
    def test_published_order(self) -> None:
        # Loud enough that the limiter's place matters.
        chain = AugmentationChain(chain_with(1.0, gain={"db": (6.0, 12.0)}), RATE)
        x = music(6, 20_000) * 2
        d = {name: step.params for name, step in drawn_by_name(chain, 6, 0).items()}
        y = polarity(x)
        y = noise(y, d["noise"]["level"], white(y, d["noise"]["seed"]))
        y = gain(y, d["gain"]["db"])
        assert (y.abs() == 1.0).any()
        y = high_low_pass(y, d["filter"]["hz"], d["filter"]["high"], RATE)
        y = delay(y, d["delay"]["ms"], RATE, factor=0.5, halve=True)
        y = pitch_shift(y, d["pitch"]["cents"], RATE)
        y = reverb(y, *(d["reverb"][name] for name in ("reverberance", "hf_damping", "room_scale")), RATE)
        np.testing.assert_allclose(chain(x, 0), y, atol=2e-5)

    def test_the_order_is_that_of_the_recipe(self) -> None:
        steps = chain_with(1.0, gain={"db": (20.0, 20.0)}, delay={"factor": 1.0, "halve": True})
        loud, echo = (steps[STEPS.index(name)] for name in ("gain", "delay"))
        x = music(4, 12_000)
        one, other = (AugmentationChain(order, RATE)(x, 0) for order in ((loud, echo), (echo, loud)))
        assert (one - other).abs().max() > 0.1  # the limiter comes before the echo, or after it

    def test_same_seed_same_bits(self) -> None:
        chain = AugmentationChain(chain_with(0.7), RATE)
        x = music(9, 20_000)
        first, again, other = (chain(x, seed) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_unselected_examples_are_untouched(self) -> None:
        chain = AugmentationChain(chain_with(0.15), RATE)
        x = music(24, 8000)
        kept = x.clone()
        drawn = chain.draw(24, 0)
        selected = torch.stack([step.selected for step in drawn.steps]).any(dim=0)
        views = chain.apply(x, drawn)
        assert 4 < selected.sum() < 22
        assert torch.equal(x, kept)  # the input is not written to
        assert torch.equal(views[~selected], x[~selected])
        assert all(not torch.equal(view, row) for view, row in zip(views[selected], x[selected], strict=True))

    @pytest.mark.parametrize("steps", [(), chain_with(0.0)])
    def test_nothing_selected_is_a_copy(self, steps: tuple[AugmentationStep, ...]) -> None:
        x = music(3, 4000)
        views = AugmentationChain(steps, RATE)(x, 0)
        assert torch.equal(views, x)
        assert views.data_ptr() != x.data_ptr()

    def test_parts_of_a_batch_make_up_the_whole(self) -> None:
        """Noise included: what is drawn belongs to an example's place in the batch."""
        chain = AugmentationChain(chain_with(0.6), RATE)
        x = music(8, 9000)
        drawn = chain.draw(8, 4)
        whole = chain.apply(x, drawn)
        for rows in (torch.arange(4), torch.arange(4, 8), torch.tensor([6, 1])):
            # Bits depend on what shares a Fourier transform.
            np.testing.assert_allclose(chain.apply(x[rows], drawn.take(rows)), whole[rows], rtol=0, atol=1e-5)

    @pytest.mark.parametrize("length", [WINDOW, 7001])
    def test_neighbours_do_not_matter(self, length: int) -> None:
        x = music(5, length)
        cents, hz = torch.tensor([-700, 313, 0, 700, -5]), torch.tensor([200.0, 3000.0, 700.0, 2500.0, 1200.0])
        high, rooms = hz < 2000, room((99, 0, 99), (0, 99, 0), (50, 50, 50), (80, 20, 70), (10, 5, 3))
        for together, alone, tolerance in (
            (pitch_shift(x, cents, RATE), lambda i: pitch_shift(x[i], cents[i], RATE), 1e-6),
            (high_low_pass(x, hz, high, RATE), lambda i: high_low_pass(x[i], hz[i], high[i], RATE), 1e-6),
            (reverb(x, *rooms, RATE), lambda i: reverb(x[i], *(value[i] for value in rooms), RATE), 5e-6),
        ):
            for row in range(5):
                # Bits depend on the batch through the Fourier transforms alone; the reverb's growth amplifies them.
                np.testing.assert_allclose(together[row], alone(slice(row, row + 1))[0], rtol=0, atol=tolerance)

    def test_no_step_reads_from_the_device(self) -> None:
        """The meta device holds no values, so whatever asks it for one, or mixes devices, fails."""
        x, high = torch.zeros(3, WINDOW, device="meta"), torch.tensor([True, False, True])
        value = torch.tensor([300, 400, 500])
        for y in (
            gain(x, value / 100),
            delay(x, value, RATE, factor=0.5, halve=True),
            high_low_pass(x, value, high, RATE),
            pitch_shift(x, value, RATE),
            reverb(x, value / 10, value / 10, value / 10, RATE),
        ):
            assert y.is_meta
            assert y.shape == x.shape

    def test_misuse_is_named(self) -> None:
        chain = AugmentationChain(chain_with(), RATE)
        with pytest.raises(ValueError, match="float32"):
            chain(torch.zeros(2, 100, dtype=torch.float64), 0)
        with pytest.raises(ValueError, match="float32"):
            chain(torch.zeros(2, 1, 100), 0)

    @settings(max_examples=15)
    @given(
        batch=st.integers(1, 6),
        length=st.integers(2, 6000),
        rate=st.sampled_from([8000, 16_000, 22_050, 44_100]),
        level=st.sampled_from([0.0, 1e-6, 0.1, 1.0]),
        probability=st.sampled_from([0.5, 1.0]),
        seed=st.integers(0, 2**32),
    )
    def test_any_window_comes_out_whole(
        self, batch: int, length: int, rate: int, level: float, probability: float, seed: int
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        x = level * (2 * torch.rand(batch, length, generator=generator) - 1)
        views = AugmentationChain(chain_with(probability), rate)(x, seed)
        assert views.shape == x.shape
        assert views.dtype == torch.float32
        assert torch.isfinite(views).all()
        assert level > 0 or not views.any()


def test_the_registered_thesis_chain_is_the_thesis() -> None:
    steps = load_registry().recipe("clmr-v1").entry.augmentation
    drawn = {name: step.params for name, step in drawn_by_name(AugmentationChain(steps, RATE), 20_000, 0).items()}
    assert tuple(drawn) == STEPS
    assert drawn["gain"]["db"].min() >= -6
    assert drawn["gain"]["db"].min() < -5.9
    assert drawn["gain"]["db"].max() <= 0
    assert drawn["delay"]["ms"].unique().tolist() == [200, 250, 300, 350, 400, 450, 500]
    assert drawn["reverb"]["reverberance"].max() == 100
    assert drawn["pitch"]["cents"].abs().max() == 700
    x = music(2)
    echo = steps[STEPS.index("delay")].delay
    # 500 ms are 11,025 samples; the echo is a fifth as loud.
    heard = delay(x, torch.tensor([500, 500]), RATE, factor=echo.factor, halve=echo.halve)
    np.testing.assert_allclose(heard[:, 11_025:], 0.5 * (x[:, 11_025:] + 0.2 * x[:, :-11_025]), atol=1e-6)
