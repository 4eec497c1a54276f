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
    config_with,
    music,
    room,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.augmentation.chain import AugmentationChain
from benchmark.augmentation.config import AugmentationConfig
from benchmark.augmentation.draws import draw
from benchmark.augmentation.filters import high_low_pass
from benchmark.augmentation.pitch import pitch_shift
from benchmark.augmentation.reverb import reverb
from benchmark.augmentation.simple import delay, gain, polarity
from benchmark.registry.registry import load_registry


class TestConfig:
    def test_the_thesis_numbers_can_be_said_too(self) -> None:
        thesis = config_with(
            gain={"db": (-6.0, 0.0)},
            noise={"level": (0.01, 0.01), "reference": "full_scale", "clamp": True},
            delay={"choices_ms": tuple(range(200, 501, 50)), "factor": 0.5, "halve": False},
        )
        views = AugmentationChain(thesis, RATE)(music(4, 8000), torch.Generator().manual_seed(0))
        assert torch.isfinite(views).all()

    @pytest.mark.parametrize("step", STEPS)
    def test_nothing_has_a_default_and_nothing_is_ignored(self, step: str) -> None:
        for key in V2[step]:
            incomplete = {**V2, step: {k: v for k, v in V2[step].items() if k != key}}
            with pytest.raises(ValidationError, match=f"{step}.{key}"):
                AugmentationConfig.model_validate(incomplete)
        with pytest.raises(ValidationError, match="extra"):
            AugmentationConfig.model_validate({**V2, step: {**V2[step], "strength": 1}})

    def test_impossible_numbers_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="low to high"):
            config_with(gain={"db": (-1.0, -20.0)})
        with pytest.raises(ValidationError):
            config_with(pitch={"probability": 1.1})
        with pytest.raises(ValidationError):
            config_with(reverb={"room_scale": (0, 101)})
        with pytest.raises(ValueError, match="half the sample rate of 6000 Hz"):
            AugmentationChain(config_with(), 6000)

    def test_json_round_trip(self) -> None:
        config = config_with()
        assert AugmentationConfig.model_validate_json(config.model_dump_json()) == config


class TestDraws:
    def test_ranges_and_frequencies(self) -> None:
        n = 20_000
        drawn = draw(config_with(), n, torch.Generator().manual_seed(0))
        for step, numbers in V2.items():
            p = numbers["probability"]
            share = getattr(drawn, step).double().mean().item()
            assert share == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))

        def check_uniform(values: torch.Tensor, low: float, high: float) -> None:
            assert low <= values.min() <= low + 0.01 * (high - low)
            assert high - 0.01 * (high - low) <= values.max() <= high
            spread = (high - low) / math.sqrt(12)
            assert values.double().mean().item() == pytest.approx(
                (low + high) / 2, abs=5 * spread / math.sqrt(len(values))
            )
            assert values.double().std().item() == pytest.approx(spread, rel=0.03)

        check_uniform(drawn.noise_level, 1e-4, 1e-2)
        check_uniform(drawn.gain_db, -20, -1)
        assert drawn.filter_high.double().mean().item() == pytest.approx(0.5, abs=0.02)
        check_uniform(drawn.filter_hz[drawn.filter_high], 200, 1200)
        check_uniform(drawn.filter_hz[~drawn.filter_high], 2200, 4000)
        values, counts = drawn.delay_ms.unique(return_counts=True)
        assert values.tolist() == [200, 250, 300, 350, 400, 450]
        np.testing.assert_allclose(counts / n, 1 / 6, atol=0.015)
        check_uniform(drawn.pitch_cents, -700, 700)
        for name in ("reverberance", "hf_damping", "room_scale"):
            check_uniform(getattr(drawn, name), 0, 99)
            assert len(getattr(drawn, name).unique()) == 100

    def test_steps_are_independent(self) -> None:
        drawn = draw(config_with(0.5), 20_000, torch.Generator().manual_seed(3))
        chosen = torch.stack([getattr(drawn, step).double() for step in STEPS])
        off_diagonal = torch.corrcoef(chosen) - torch.eye(len(STEPS), dtype=torch.float64)
        assert off_diagonal.abs().max() < 5 / math.sqrt(20_000)

    def test_a_probability_changes_no_other_draw(self) -> None:
        some, none = (
            draw(config_with(pitch={"probability": p}), 64, torch.Generator().manual_seed(5)) for p in (0.6, 0.0)
        )
        assert torch.equal(some.room_scale, none.room_scale)
        assert torch.equal(some.reverb, none.reverb)
        assert not none.pitch.any()


class TestChain:
    def test_published_order(self) -> None:
        config = config_with(1.0, gain={"db": (6.0, 12.0)})  # loud enough that the limiter's place matters
        chain = AugmentationChain(config, RATE)
        x = music(6, 20_000) * 2
        d = chain.draw(6, torch.Generator().manual_seed(0))
        y = polarity(x)
        # Noise is drawn for a few examples after another, from one generator.
        samples = torch.randn(x.shape, generator=torch.Generator().manual_seed(d.noise_seed))
        y = y + samples * d.noise_level.float()[:, None] * y.std(dim=1, keepdim=True)
        y = gain(y, d.gain_db)
        assert (y.abs() == 1.0).any()
        y = high_low_pass(y, d.filter_hz, d.filter_high, RATE)
        y = delay(y, d.delay_ms, RATE, factor=0.5, halve=True)
        y = pitch_shift(y, d.pitch_cents, RATE)
        y = reverb(y, d.reverberance, d.hf_damping, d.room_scale, RATE)
        np.testing.assert_allclose(chain.apply(x, d), y, atol=2e-5)

    def test_same_seed_same_bits(self) -> None:
        chain = AugmentationChain(config_with(0.7), RATE)
        x = music(9, 20_000)
        first, again, other = (chain(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        generator = torch.Generator().manual_seed(1)
        assert not torch.equal(chain(x, generator), chain(x, generator))

    def test_unselected_examples_are_untouched(self) -> None:
        chain = AugmentationChain(config_with(0.15), RATE)
        x = music(24, 8000)
        kept = x.clone()
        drawn = chain.draw(24, torch.Generator().manual_seed(0))
        selected = torch.stack([getattr(drawn, step) for step in STEPS]).any(dim=0)
        views = chain.apply(x, drawn)
        assert 4 < selected.sum() < 22
        assert torch.equal(x, kept)  # the input is not written to
        assert torch.equal(views[~selected], x[~selected])
        assert all(not torch.equal(view, row) for view, row in zip(views[selected], x[selected], strict=True))

    def test_nothing_selected_is_a_copy(self) -> None:
        x = music(3, 4000)
        views = AugmentationChain(config_with(0.0), RATE)(x, torch.Generator())
        assert torch.equal(views, x)
        assert views.data_ptr() != x.data_ptr()

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
        chain = AugmentationChain(config_with(), RATE)
        with pytest.raises(ValueError, match="float32"):
            chain(torch.zeros(2, 100, dtype=torch.float64), torch.Generator())
        with pytest.raises(ValueError, match="float32"):
            chain(torch.zeros(2, 1, 100), torch.Generator())

    @settings(max_examples=15, deadline=None)
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
        views = AugmentationChain(config_with(probability), rate)(x, generator)
        assert views.shape == x.shape
        assert views.dtype == torch.float32
        assert torch.isfinite(views).all()
        assert level > 0 or not views.any()


def test_the_registered_thesis_chain_is_the_thesis() -> None:
    chain = load_registry().recipe("clmr-v1").entry.augmentation
    drawn = draw(chain, 20_000, torch.Generator().manual_seed(0))
    assert drawn.gain_db.min() >= -6
    assert drawn.gain_db.min() < -5.9
    assert drawn.gain_db.max() <= 0
    assert drawn.delay_ms.unique().tolist() == [200, 250, 300, 350, 400, 450, 500]
    assert drawn.reverberance.max() == 100
    assert drawn.pitch_cents.abs().max() == 700
    x = music(2)
    # 500 ms are 11,025 samples; the echo is a fifth as loud.
    echo = delay(x, torch.tensor([500, 500]), RATE, factor=chain.delay.factor, halve=chain.delay.halve)
    np.testing.assert_allclose(echo[:, 11_025:], 0.5 * (x[:, 11_025:] + 0.2 * x[:, :-11_025]), atol=1e-6)
