"""Spectra of what excites an encoder's units: found where known filters are, and nothing left changed."""

import copy
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from analysis.visualisation.drawings import draw_filter_spectra
from benchmark.errors import UserError
from benchmark.visualisation.filters import FLOOR_DB, LEVEL, LOWEST_HZ, filter_spectra
from encoders import EncoderError
from encoders.base import Encoder
from encoders.features import Mfcc
from encoders.tune import TUNe

RATE, WINDOW, TAPS = 22_050, 4096, 511


class Bank(Encoder):
    """Band-pass filters with their centres [Hz], squared and averaged; one further unit answers nothing."""

    def __init__(self, centres, scale=1.0):
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = RATE, WINDOW, WINDOW, len(centres) + 1
        t = torch.arange(TAPS) - TAPS // 2
        shape = torch.hann_window(TAPS + 2, periodic=False)[1:-1]
        kernels = torch.stack([shape * torch.cos(2 * math.pi * centre / RATE * t) for centre in centres])
        self.kernels = nn.Parameter(scale * kernels[:, None] / kernels.square().sum(dim=1)[:, None, None].sqrt())
        self.norm = nn.BatchNorm1d(len(centres) + 1)

    def layers(self):
        return ("bank",)

    def represent(self, waveform, layers=()):
        energy = nn.functional.conv1d(waveform, self.kernels).square().mean(dim=2)
        bank = torch.cat([energy, 0 * energy[:, :1]], dim=1)
        return self.norm(bank), dict.fromkeys(layers, bank)


@settings(max_examples=6)
@given(st.lists(st.floats(80, 10_500), min_size=1, max_size=4), st.integers(0, 5), st.sampled_from([1e-9, 1.0, 1e6]))
@example([80.0, 440.0, 10_500.0], 0, 1.0)
def test_the_peak_is_where_the_filter_is_whatever_its_scale(centres, seed, scale):
    found = filter_spectra(Bank(centres, scale), "bank", range(len(centres)), seed=seed, steps=10)
    bin_width = found.frequencies_hz[1] - found.frequencies_hz[0]
    assert (np.diff(found.peak_hz) >= 0).all()
    assert np.abs(found.peak_hz - np.array(centres)[found.units]).max() <= 2 * bin_width
    # The most that a signal of this level can put through a filter is its energy times the greatest gain.
    filters = Bank(centres, scale).kernels.detach().numpy()[:, 0].astype(float)
    most = LEVEL**2 * (np.abs(np.fft.rfft(filters, 1 << 15)) ** 2).max(axis=1)[found.units] * WINDOW / (WINDOW - TAPS)
    assert (found.activation_after > 10 * found.activation_before).all()
    assert (found.activation_after <= 1.02 * most).all()
    assert (found.activation_after > 0.6 * most).all()
    assert found.magnitude_db.max(axis=1).tolist() == [0.0] * len(centres)
    assert found.magnitude_db.min() >= FLOOR_DB


def test_the_encoder_is_left_as_it_was_and_the_seed_decides():
    encoder = Bank([300.0, 3000.0]).train()
    encoder.norm.eval()
    encoder.norm.bias.requires_grad_(False)
    before = copy.deepcopy(encoder.state_dict())
    state = torch.random.get_rng_state()
    with torch.inference_mode():  # as commands that only encode run
        one = filter_spectra(encoder, None, [0, 1], seed=3, steps=4)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(tensor, encoder.state_dict()[key]) for key, tensor in before.items())
    assert (encoder.training, encoder.norm.training) == (True, False)
    assert [parameter.requires_grad for parameter in encoder.parameters()] == [True, True, False]
    assert all(parameter.grad is None for parameter in encoder.parameters())
    again = filter_spectra(encoder, None, [0, 1], seed=3, steps=4)
    np.testing.assert_array_equal(again.magnitude_db, one.magnitude_db)
    np.testing.assert_array_equal(again.activation_after, one.activation_after)
    other = filter_spectra(encoder, None, [0, 1], seed=4, steps=4)
    assert (other.activation_before != one.activation_before).all()
    # A unit's result does not hang on who is beside it.
    alone = filter_spectra(encoder, None, [1], seed=3, steps=4)
    np.testing.assert_allclose(alone.activation_after[0], one.activation_after[one.units == 1][0], rtol=1e-5)


def test_units_that_nothing_reaches_come_last_and_blank():
    found = filter_spectra(Bank([5000.0, 500.0]), "bank", [2, 0, 1], steps=4)
    assert found.units.tolist() == [1, 0, 2]
    assert np.isnan(found.peak_hz[2])
    assert np.isnan(found.magnitude_db[2]).all()
    assert found.activation_after[2] == found.activation_before[2] == 0.0
    document = found.as_document()
    assert document["peak_hz"][2] is None
    assert document["magnitude_db"][2] is None
    assert [len(row) for row in document["magnitude_db"][:2]] == [len(document["frequencies_hz"])] * 2


class Loud(Bank):
    """Answers only what is darker than white noise: what lies below 400 Hz must outweigh the rest; else not at all."""

    def represent(self, waveform, layers=()):
        low, high = nn.functional.conv1d(waveform, self.kernels).square().mean(dim=2).unbind(dim=1)
        value = nn.functional.relu(low - high)[:, None].repeat(1, 2)
        return value, dict.fromkeys(layers, value)


def test_other_noise_reaches_units_that_white_noise_does_not():
    encoder = Loud([200.0, 4000.0])
    encoder.kernels.data[1] *= 3.0
    found = filter_spectra(encoder, "bank", [0], steps=12)
    assert found.activation_before[0] == 0.0
    assert found.activation_after[0] > 0.0
    assert abs(found.peak_hz[0] - 200) < 50


class Broken(Bank):
    """Gives no number above some energy."""

    most = 0.0

    def represent(self, waveform, layers=()):
        energy = nn.functional.conv1d(waveform, self.kernels).square().mean(dim=2)
        energy = energy.masked_fill(energy > self.most, math.nan)
        return energy, dict.fromkeys(layers, energy)


@pytest.mark.parametrize("most", [0.5, 0.01, 0.0])
def test_values_that_are_not_finite_do_not_spread(most):
    """On the way up; at white noise already, so that darker noise must do; always."""
    encoder = Broken([1000.0])
    encoder.most = most
    found = filter_spectra(encoder, "bank", [0], steps=12)
    document = found.as_document()
    assert (document["activation_before"] == [None]) == (most < 0.5)
    assert (document["peak_hz"] == [None]) == (most == 0.0)
    if most > 0.0:
        assert 0.5 * most < found.activation_after[0] <= most
        assert np.isfinite(found.magnitude_db).all()


class Saturated(Bank):
    """Rises no further from some energy on."""

    def represent(self, waveform, layers=()):
        energy = nn.functional.conv1d(waveform, self.kernels).square().mean(dim=2).clamp(max=0.3)
        return energy, dict.fromkeys(layers, energy)


def test_an_ascent_ends_where_a_unit_is_saturated():
    found = filter_spectra(Saturated([1000.0]), "bank", [0], steps=12)
    assert found.activation_after[0] == pytest.approx(0.3)
    assert abs(found.peak_hz[0] - 1000) < 45


class Detached(Bank):
    """Leaves PyTorch's graph, in one of three ways."""

    way = ""

    def represent(self, waveform, layers=()):
        if self.way == "numpy":
            waveform = torch.from_numpy(waveform.cpu().numpy())
        values = waveform.detach() if self.way == "detach" else waveform
        energy = values.square().mean(dim=2)
        if self.way == "other":
            energy = (self.norm.weight.requires_grad_()[:1] + torch.zeros(len(waveform), 1)).clone()
        return energy, dict.fromkeys(layers, energy)


@pytest.mark.parametrize("way", ["numpy", "detach", "other"])
def test_encoders_without_a_gradient_are_refused(way):
    encoder = Detached([1000.0])
    encoder.way = way
    with pytest.raises(EncoderError, match="has no gradient with respect to its waveform"):
        filter_spectra(encoder, "bank", [0], steps=2)
    assert encoder.kernels.requires_grad


def test_what_is_asked_for_must_exist():
    encoder = Bank([1000.0])
    with pytest.raises(UserError, match="no unit 2: layer bank has 2, from 0 to 1"):
        filter_spectra(encoder, "bank", [0, 2])
    with pytest.raises(UserError, match="no unit -1: the representation has 2"):
        filter_spectra(encoder, None, [-1])
    with pytest.raises(EncoderError, match="no layer 'nope'; there are: bank"):
        filter_spectra(encoder, "nope", [0])
    with pytest.raises(UserError, match="at least one unit"):
        filter_spectra(encoder, "bank", [])


def test_features_and_learned_encoders_alike():
    torch.manual_seed(0)
    encoder = TUNe(filters=2, contractive=2, expansive=2, tail=4, plus=True, dim=16, window=6561)
    told = []
    found = filter_spectra(encoder, "tail_4", range(10), steps=6, advance=told.append)
    assert told == [8, 2]
    reached = np.isfinite(found.peak_hz)
    assert reached.sum() >= 5
    assert (found.activation_after[reached] > found.activation_before[reached]).all()
    assert found.peak_hz[reached].min() >= LOWEST_HZ
    # Features have no window of their own; this one grows with the weight of low frequencies.
    features = filter_spectra(Mfcc(coefficients=4), None, [1], steps=8)
    assert features.activation_after[0] > features.activation_before[0] + 10
    assert features.peak_hz[0] < 2000


def test_the_figure_says_its_numbers_and_is_small():
    frequencies = np.fft.rfftfreq(1024, 1 / RATE)[1:]
    peaks = np.sort(
        np.concatenate([np.geomspace(30, 400, 50), np.linspace(600, 1900, 150), np.linspace(3000, 11_000, 300)])
    )
    spectra = [np.maximum(-(((frequencies - peak) / 90) ** 2), -80).round(1).tolist() for peak in peaks]
    document = {
        "layer": "block_4 <&>",
        "units": list(range(503)),
        "frequencies_hz": frequencies.tolist(),
        "magnitude_db": [*spectra, None, None, None],
        "peak_hz": [*peaks.tolist(), None, None, None],
    }
    svg = draw_filter_spectra(document)
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    told = root.find(f"{space}desc").text
    assert "excite 503 units most" in told
    assert "between 30 Hz and 11,000 Hz" in told
    assert "50 below 500 Hz and 200 below 2,000 Hz" in told
    assert "Nothing excited 3 units, left blank" in told
    assert root.find(f"{space}title").text == "What excites the units of block_4 <&>"
    assert root.get("aria-labelledby").split() == ["filter-spectra-block-4-title", "filter-spectra-block-4-desc"]
    assert len(svg) < 150_000
    assert not root.findall(f".//{space}script")
    assert [image.get("{http://www.w3.org/1999/xlink}href")[:22] for image in root.iter(f"{space}image")] == [
        "data:image/png;base64,"
    ]
