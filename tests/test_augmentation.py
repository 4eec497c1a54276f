"""Each augmentation against an independent definition on single examples."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from augmentation_signals import (
    RATE,
    WINDOW,
    Array,
    db,
    music,
    peak_hz,
    rms,
    room,
    tensor,
    tone,
)
from scipy.signal import butter, chirp, sosfiltfilt

from benchmark.augmentation.batches import fast_length, pieces
from benchmark.augmentation.delay import delay
from benchmark.augmentation.filters import high_low_pass
from benchmark.augmentation.gain import gain
from benchmark.augmentation.noise import noise, white
from benchmark.augmentation.pitch import pitch_shift
from benchmark.augmentation.polarity import polarity
from benchmark.augmentation.reverb import comb_delays, feedback, reverb


class TestSimple:
    def test_polarity(self) -> None:
        x = music(2)
        assert torch.equal(polarity(x), -x)

    def test_gain_scales_and_then_limits(self) -> None:
        x = torch.tensor([[0.5, -0.25], [0.5, -0.25], [0.9, -0.3]])
        expected = [[0.05, -0.025], [0.5, -0.25], [1.0, -0.6]]
        got = gain(x, torch.tensor([-20.0, 0.0, 20 * math.log10(2.0)]))
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)

    @pytest.mark.parametrize(("factor", "halve"), [(0.5, True), (0.5, False), (0.2, False)])
    def test_delay(self, factor: float, halve: bool) -> None:
        x = music(3, 12_000)
        ms = torch.tensor([200.0, 450.0, 250.0])
        got = delay(x, ms, RATE, factor=factor, halve=halve)
        for row, samples in enumerate([4410, 9922, 5512]):  # 250 ms are 5512.5 samples
            expected = x[row].clone()
            expected[samples:] += factor * x[row, :-samples]
            np.testing.assert_allclose(got[row], expected / (2 if halve else 1), atol=1e-7)

    def test_delay_longer_than_the_window_leaves_the_direct_sound(self) -> None:
        x = music(2, 3000)
        got = delay(x, torch.tensor([400.0, 0.0]), RATE, factor=0.5, halve=True)
        np.testing.assert_allclose(got, torch.stack([x[0] / 2, 0.75 * x[1]]), atol=1e-7)

    def test_noise_level(self) -> None:
        x, level = music(4), torch.tensor([1e-4, 1e-3, 1e-2, 0.0])
        for relative in (True, False):
            added = noise(x, level, white(x, torch.arange(4)), relative=relative) - x
            unit = x.std(dim=1) if relative else torch.ones(4)
            np.testing.assert_allclose(added.std(dim=1), level * unit, rtol=0.02)
            assert added.mean(dim=1).abs().max() < 4 * level.max() / math.sqrt(WINDOW)
        unit = (added[2] / added[2].std()).double().numpy()
        assert abs(np.mean(unit[1:] * unit[:-1])) < 5 / math.sqrt(WINDOW)
        assert abs(np.mean(unit**4) - 3) < 0.1  # the kurtosis of a Gaussian

    def test_noise_is_limited_where_the_recipe_says_so(self) -> None:
        x = torch.ones(1, 1000)
        samples = white(x, torch.tensor([0]))
        assert noise(x, torch.tensor([0.1]), samples, relative=False, clamp=True).max() == 1.0
        assert noise(x, torch.tensor([0.1]), samples, relative=False).max() > 1.1

    def test_samples_of_noise_depend_on_the_examples_seed_alone(self) -> None:
        x, seeds = music(3, 5000), torch.tensor([7, 2**62, 7])
        found = white(x, seeds)
        assert torch.equal(found[0], found[2])
        assert torch.equal(white(x[1:2], seeds[1:2])[0], found[1])
        assert torch.equal(found[0], torch.randn(5000, generator=torch.Generator().manual_seed(7)))
        assert abs(np.corrcoef(found[0], found[1])[0, 1]) < 5 / math.sqrt(5000)


def windowed_sinc(hz: float) -> Array:
    cutoff = hz / RATE
    half = int(8 / cutoff / 2)
    taps = np.sinc(2 * cutoff * np.arange(-half, half + 1)) * np.hanning(2 * half + 1)
    return taps / taps.sum()


class TestFilter:
    @pytest.mark.parametrize("length", [WINDOW, 2500])
    def test_against_direct_convolution(self, length: int) -> None:
        hz = [200.0, 987.6, 2200.0, 3999.0, 200.0, 11_025.0]
        high = [True, True, False, False, False, True]
        x = music(6, length) + 0.1  # an offset makes the edges matter
        got = high_low_pass(x, torch.tensor(hz), torch.tensor(high), RATE)
        assert got.shape == x.shape
        for row, (cutoff, is_high) in enumerate(zip(hz, high, strict=True)):
            taps = windowed_sinc(cutoff)
            signal = x[row].double().numpy()
            low = np.convolve(np.pad(signal, len(taps) // 2, mode="edge"), taps, mode="valid")
            np.testing.assert_allclose(got[row], signal - low if is_high else low, atol=1e-5)

    @pytest.mark.parametrize(("cutoff", "high"), [(300.0, True), (1200.0, True), (2200.0, False)])
    def test_response_to_tones(self, cutoff: float, high: bool) -> None:
        inner = slice(3000, -3000)
        for octaves, passes in ((-1.0, not high), (0.0, None), (1.0, high)):
            x = tone(cutoff * 2**octaves)
            y = high_low_pass(tensor(x), torch.tensor([cutoff]), torch.tensor([high]), RATE)[0].double().numpy()
            level = db(rms(y[inner]) / rms(x[inner]))
            if passes is None:
                assert level == pytest.approx(-6.0, abs=0.5)
            else:
                assert level == pytest.approx(0.0, abs=0.1) if passes else level < -40
            if passes:  # no phase
                np.testing.assert_allclose(y[inner], x[inner], atol=0.005)


class TestPitch:
    @pytest.mark.parametrize("hz", [110.0, 443.2, 2500.0])
    def test_frequency_and_level_of_tones(self, hz: float) -> None:
        cents = [-700, -401, -99, -1, 0, 50, 333, 700]
        x = tone(hz)
        shifted = pitch_shift(tensor(x).repeat(len(cents), 1), torch.tensor(cents), RATE)
        assert shifted.shape == (len(cents), WINDOW)
        inner = slice(8000, 8000 + 32_768)
        for row, interval in enumerate(cents):
            y = shifted[row].double().numpy()
            expected = hz * 2 ** (interval / 1200)
            assert 1200 * math.log2(peak_hz(y[inner], expected) / expected) == pytest.approx(0.0, abs=3.0)
            assert db(rms(y[inner]) / rms(x[inner])) == pytest.approx(0.0, abs=1.0)

    def test_harmonics_stay_harmonic(self) -> None:
        f0 = 196.0
        x = sum(tone(k * f0, amplitude=0.3 / k) for k in range(1, 9))
        cents = [-700, -250, 180, 700]
        shifted = pitch_shift(tensor(x).repeat(4, 1), torch.tensor(cents), RATE)
        for row, interval in enumerate(cents):
            y = shifted[row].double().numpy()[8000:50_000]
            moved = f0 * 2 ** (interval / 1200)
            errors = [1200 * math.log2(peak_hz(y, k * moved) / (k * moved)) for k in range(1, 9)]
            np.testing.assert_allclose(errors, 0.0, atol=4.0)
            assert db(rms(y) / rms(x)) == pytest.approx(0.0, abs=1.0)

    def test_no_interval_is_no_change(self) -> None:
        x = music(2)
        got = pitch_shift(x, torch.tensor([0, 0]), RATE)
        np.testing.assert_allclose(got, x, atol=2e-4)

    @pytest.mark.parametrize("cents", [-700, 700])
    def test_events_keep_their_place(self, cents: int) -> None:
        gate = np.zeros(WINDOW)
        bursts = [(5000, 9000), (20_000, 28_000), (45_000, 52_000)]
        for start, stop in bursts:
            gate[start:stop] = 1
        y = pitch_shift(tensor(tone(600.0) * gate), torch.tensor([cents]), RATE)[0].double().numpy()
        level = np.sqrt(np.convolve(np.square(y), np.ones(221) / 221, mode="same"))
        loud = level > 0.1
        for start, stop in bursts:
            heard = start - 2000 + np.flatnonzero(loud[start - 2000 : stop + 2000])
            # A segment starts within half a search of its place; what lies within one keeps its distances.
            np.testing.assert_allclose([heard[0], heard[-1]], [start, stop], atol=0.025 * RATE)
            loud[start - 2000 : stop + 2000] = False
        assert not loud.any()

    def test_what_leaves_the_band_does_not_fold_back(self) -> None:
        rng = np.random.default_rng(0)
        noise_band = sosfiltfilt(
            butter(12, [8000, 10_500], "bandpass", fs=RATE, output="sos"), rng.standard_normal(WINDOW)
        )
        sweep = 0.3 * chirp(np.arange(WINDOW) / RATE, 7600, WINDOW / RATE, 10_900)
        x = np.stack([tone(9000.0), 0.1 * noise_band, sweep])
        y = pitch_shift(tensor(x), torch.full((3,), 700), RATE).double().numpy()
        inner = slice(3000, -3000)
        for before, after in zip(x, y, strict=True):
            assert db(rms(after[inner]) / rms(before[inner])) < -50

    def test_noise_shifted_down_leaves_its_top_empty(self) -> None:
        x = 0.1 * np.random.default_rng(1).standard_normal(WINDOW)
        y = pitch_shift(tensor(x), torch.tensor([-700]), RATE)[0].double().numpy()
        power = np.square(np.abs(np.fft.rfft(y)))
        hz = np.fft.rfftfreq(WINDOW, 1 / RATE)
        top = 2 ** (-700 / 1200) * RATE / 2
        assert 10 * math.log10(power[hz > top + 300].mean() / power[hz < top - 300].mean()) < -35

    def test_chirp_is_transposed_throughout(self) -> None:
        seconds = WINDOW / RATE
        x = 0.3 * chirp(np.arange(WINDOW) / RATE, 300, seconds, 3000)
        y = pitch_shift(tensor(x), torch.tensor([400]), RATE)[0].double().numpy()
        for centre in (12_000, 30_000, 48_000):
            expected = (300 + 2700 * centre / WINDOW) * 2 ** (400 / 1200)
            frame = y[centre - 1024 : centre + 1024] * np.hanning(2048)
            power = np.square(np.abs(np.fft.rfft(frame)))
            centroid = float((np.fft.rfftfreq(2048, 1 / RATE) * power).sum() / power.sum())
            assert centroid == pytest.approx(expected, rel=0.03)


def freeverb(x: Array, reverberance: float, hf_damping: float, room_scale: float) -> Array:
    """The structure sample by sample, with ring buffers."""
    a = -1 / math.log(1 - 0.3)
    b = 100 / (math.log(1 - 0.98) * a + 1)
    gain_back = 1 - math.exp((reverberance - b) / (a * b))
    pole = hf_damping / 100 * 0.3 + 0.2
    scale, rate = room_scale / 100 * 0.9 + 0.1, RATE / 44_100
    mean = np.zeros(len(x))
    for spread in (0, 12):
        sign = 1
        total = np.zeros(len(x))
        for nominal in (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617):
            ring, store, place = [0.0] * int(scale * rate * (nominal + sign * spread) + 0.5), 0.0, 0
            sign = -sign
            for t, value in enumerate(x.tolist()):
                out = ring[place]
                store = out + (store - out) * pole
                ring[place] = value + store * gain_back
                place = (place + 1) % len(ring)
                total[t] += out
        for nominal in (225, 341, 441, 556):
            ring, place = [0.0] * int(rate * (nominal + sign * spread) + 0.5), 0
            sign = -sign
            for t, value in enumerate(total.tolist()):
                out = ring[place]
                ring[place] = value + out * 0.5
                place = (place + 1) % len(ring)
                total[t] = out - value
        mean += 0.5 * 0.015 * total
    return x + mean


class TestReverb:
    def test_against_the_structure_sample_by_sample(self) -> None:
        rooms = [(50, 50, 99), (99, 0, 99), (99, 99, 0), (0, 0, 37)]
        x = music(len(rooms), 24_000) * 2
        got = reverb(x, *room(*rooms), RATE)
        for row, values in enumerate(rooms):
            expected = freeverb(x[row].double().numpy(), *values)
            assert np.abs(expected).max() > 0.1
            np.testing.assert_allclose(got[row], expected, atol=1e-4)

    def test_whole_window_with_the_longest_decay(self) -> None:
        x = music(1)
        expected = freeverb(x[0].double().numpy(), 99, 0, 99)
        np.testing.assert_allclose(reverb(x, *room((99, 0, 99)), RATE)[0], expected, atol=1e-4)

    def test_decay_grows_with_reverberance_as_the_feedback_predicts(self) -> None:
        amounts = [30, 50, 65, 75]
        impulse = torch.zeros(len(amounts), WINDOW)
        impulse[:, 0] = 1.0
        wet = reverb(impulse, *room(*((value, 0, 40) for value in amounts)), RATE) - impulse
        # At low frequencies the low-pass in the loop takes nothing away and the feedback alone decides.
        lows = sosfiltfilt(butter(4, 200, fs=RATE, output="sos"), wet.double().numpy(), axis=1)
        delays = comb_delays(torch.tensor([40]), RATE).double()
        measured = []
        for row, value in enumerate(amounts):
            left = np.cumsum(lows[row, ::-1] ** 2)[::-1]
            level = 10 * np.log10(left / left[0] + 1e-30)
            span = np.flatnonzero((level < -10) & (level > -40))
            measured.append(-60 / np.polyfit(span / RATE, level[span], 1)[0])
            round_trips = 3 / -math.log10(feedback(torch.tensor(value)).item())
            shortest, longest = (float(d) / RATE * round_trips for d in (delays.min(), delays.max()))
            assert 0.85 * shortest < measured[-1] < 1.15 * longest
        assert all(later > 1.2 * earlier for earlier, later in pairwise(measured))

    def test_damping_takes_the_highs_first(self) -> None:
        impulse = torch.zeros(2, WINDOW)
        impulse[:, 0] = 1.0
        wet = (reverb(impulse, *room((70, 0, 80), (70, 99, 80)), RATE) - impulse)[:, 10_000:30_000]
        power = torch.fft.rfft(wet).abs().square()
        highs = power[:, 2000:].sum(1) / power[:, :500].sum(1)
        assert highs[1] < 0.3 * highs[0]


def test_fast_length_is_smooth_even_and_minimal() -> None:
    def smooth(n: int) -> bool:
        for prime in (2, 3, 5):
            while n % prime == 0:
                n //= prime
        return n == 1

    for n in [1, 2, 3, 7, 588, 1000, 59_049, 61_441]:
        assert fast_length(n) == next(m for m in range(max(n, 2), 2 * n + 2) if m % 2 == 0 and smooth(m))


def test_pieces_are_slices() -> None:
    x, start = torch.arange(24.0).view(2, 12), torch.tensor([[0, 5, 8], [3, 3, 1]])
    got = pieces(x, start, 4)
    assert got.tolist() == [[x[b, s : s + 4].tolist() for s in row] for b, row in enumerate(start.tolist())]
