"""Frames in time: rising and inside for any length, means of their layers, and where an impulse says that they are."""

import pytest
import torch
from encoder_weights import chirps, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders import EncoderError
from encoders.features import HOP, Chroma, Mfcc
from encoders.sample_cnn import SampleCNN
from encoders.time_grid import TimeGrid
from encoders.tune import TUNe

RATE = 22_050
#: CLMR's shapes for other rates, with kernels that are even or five.
RATES = {
    16_000: dict(pools=[3, 3, 3, 3, 3, 3, 5, 2, 2], sample_rate=16_000),
    8_000: dict(pools=[3, 3, 3, 2, 2, 4, 4, 2, 2], sample_rate=8_000),
}
NETWORKS = {
    "tune": lambda: TUNe(filters=2, tail=6, window=6_561),
    "tune plus": lambda: TUNe(filters=2, tail=7, plus=True, window=6_561),
    "short ascent": lambda: TUNe(filters=2, expansive=2, tail=3, window=6_561),
    "a tail that leaves a rest": lambda: TUNe(filters=2, tail=6, window=8_100),
    "clmr tail": lambda: TUNe(filters=2, tail="sample_cnn"),
    "sample cnn": SampleCNN,
    "sample cnn 16k": lambda: SampleCNN(**RATES[16_000]),
    "sample cnn 8k": lambda: SampleCNN(**RATES[8_000]),
}


def check_times(values, seconds, duration):
    assert seconds.dtype == torch.float64
    assert seconds.shape == (values.shape[1],)
    assert (seconds.diff() > 0).all()
    assert seconds[0] >= 0
    assert seconds[-1] <= duration


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_every_layer_is_the_mean_of_its_frames(name):
    encoder = seeded(NETWORKS[name](), 4)
    waveform = chirps(encoder.window)[:1]
    representation, outputs = encoder.represent(waveform, encoder.layers())
    for layer, expected in [(None, representation), *outputs.items()]:
        values, seconds = encoder.frames(waveform, layer)
        check_times(values, seconds, encoder.window / encoder.sample_rate)
        torch.testing.assert_close(values.mean(dim=1), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(EncoderError, match="no layer 'nope'; there are: "):
        encoder.frames(waveform, "nope")
    with pytest.raises(EncoderError, match=f"{encoder.window} samples, not {encoder.window + 1}"):
        encoder.frames(torch.zeros(1, 1, encoder.window + 1))


def averaging(encoder):
    """`encoder` with triangles for kernels and no offsets: nothing but its shape decides where it responds.

    What has been through the bottleneck knows no finer place than that has, so skip connections are made to dominate.
    """
    for name, parameter in encoder.named_parameters():
        kernel = 1 + torch.arange(parameter.shape[-1])
        kernel = torch.minimum(kernel, kernel.flip(0))
        if parameter.ndim == 3:
            scale = 1e-3 if name.startswith("up.") else 1
            parameter.data.copy_((scale * kernel / kernel.sum()).expand_as(parameter))
        elif name.endswith("bias"):
            parameter.data.zero_()
    return encoder.eval()


def responses(encoder, quiet, places, layer=None):
    """Seconds where frames differ most with a click at each of the samples `places` of a waveform [T], and the hop."""
    waveforms = quiet.repeat(1 + len(places), 1, 1)
    for row, place in enumerate(places, start=1):
        waveforms[row, 0, place] += 1.0
    values, seconds = encoder.frames(waveforms, layer)
    strength = (values[1:] - values[:1]).norm(dim=2)
    most = strength >= (1 - 1e-4) * strength.amax(dim=1, keepdim=True)
    hop = float(seconds.diff().median()) if len(seconds) > 1 else len(quiet) / encoder.sample_rate
    return [float(seconds[row].mean()) for row in most], hop


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_layers_of_networks_respond_where_they_say(name):
    encoder = averaging(NETWORKS[name]())
    places = [int(share * encoder.window) for share in (0.11, 0.62, 0.87)]
    for layer in encoder.layers():
        found, hop = responses(encoder, torch.zeros(encoder.window), places, layer)
        for place, second in zip(places, found, strict=True):
            assert abs(second - (place + 0.5) / encoder.sample_rate) < hop, (layer, place)


@pytest.mark.parametrize("feature", [Mfcc, Chroma])
@torch.inference_mode()
def test_features_respond_where_they_say(feature):
    places = [50_000, 66_150, 81_111]
    # Chroma is in proportion to the strongest class, so silence would make far traces of the click strong.
    tone = 0.1 * torch.sin(2 * torch.pi * 440 * torch.arange(6 * RATE) / RATE)
    found, hop = responses(feature().eval(), tone, places)
    assert hop == pytest.approx(HOP / RATE)
    for place, second in zip(places, found, strict=True):
        assert abs(second - place / RATE) < hop


@settings(max_examples=25)
@given(samples=st.integers(1, 40_000), feature=st.sampled_from([Mfcc(), Chroma(), Chroma(sample_rate=8_000)]))
@torch.inference_mode()
def test_frames_of_features_lie_inside_clips_of_any_length(samples, feature):
    values, seconds = feature.eval().frames(chirps(samples))
    check_times(values, seconds, samples / feature.sample_rate)
    assert len(seconds) == 1 + samples // HOP


@settings(max_examples=15)
@given(contractive=st.integers(1, 4), parts=st.integers(1, 40), data=st.data())
@torch.inference_mode()
def test_frames_of_networks_lie_inside_windows_of_any_length(contractive, parts, data):
    window = parts * 3**contractive
    expansive = data.draw(st.integers(1, contractive))
    most = max(n for n in range(1, 9) if n == 1 or 3 ** (contractive - expansive + n) <= window)
    encoder = TUNe(
        filters=1,
        contractive=contractive,
        expansive=expansive,
        tail=data.draw(st.integers(1, most)),
        dim=3,
        window=window,
    ).eval()
    waveform = chirps(window)
    for layer in (None, *encoder.layers()):
        values, seconds = encoder.frames(waveform, layer)
        check_times(values, seconds, window / encoder.sample_rate)
        torch.testing.assert_close(values.mean(dim=1), encoder(waveform, layer), rtol=1e-4, atol=1e-6)


@given(
    steps=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(0, 4)), max_size=6),
    count=st.integers(1, 20),
)
def test_a_grid_is_the_mean_place_of_what_a_chain_reads(steps, count):
    """Against averages of places themselves, which convolutions with equal weights compute."""
    places = 0.5 + torch.arange(-4_000, 8_000, dtype=torch.float64)[None, None]
    zero = 4_000
    grid = TimeGrid()
    for kernel, stride, padding in steps:
        grid = grid.convolved(kernel, stride, padding)
        places = places[..., (zero - padding) % stride :]
        zero = (zero - padding) // stride
        places = torch.nn.functional.avg_pool1d(places, kernel, stride)
        if places.shape[2] < zero + count or zero < 0:
            return
    expected = places[0, 0, zero : zero + count]
    torch.testing.assert_close(grid.seconds(count, 100), expected / 100)


def test_what_hops_leave_over_is_parted_between_the_ends():
    assert TimeGrid.centred(1_000, 10, 100) == TimeGrid(50, 100)
    assert TimeGrid.centred(1_060, 10, 100) == TimeGrid(80, 100)
    assert TimeGrid.centred(1_000, 11, 100) == TimeGrid(0, 100)
    assert TimeGrid.equal_parts(1_000, 4) == TimeGrid(125, 250)
