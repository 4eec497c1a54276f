"""Every TUNe variant of the registry: published counts, hand-written references, initialisation, layers, frames."""

import math

import pytest
import torch
from encoder_weights import chirps, published_state, seeded
from torch.nn import functional as F

from benchmark.encoding.windows import build_encoder
from benchmark.registry.registry import load_registry
from encoders import EncoderError
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe
from encoders.weights import save_weights

# Name -> parameters without head, parameters with the papers' 50-way head, buffer elements, dim; TUNe paper, Table 1,
# counted from the released classes.
TABLE_1 = {
    "tune_vanilla": (2_340_396, 2_366_046, 5_117, 512),
    "tune_contractive_1": (2_258_700, 2_284_350, 4_927, 512),
    "tune_contractive_2": (2_118_606, 2_144_256, 4_713, 512),
    "tune_contractive_3": (1_630_744, 1_656_394, 4_211, 512),
    "tune_expansive_1": (2_319_248, 2_344_898, 4_911, 512),
    "tune_expansive_2": (2_355_846, 2_381_496, 4_603, 512),
    "tune_expansive_3": (2_318_776, 2_344_426, 3_995, 512),
    "tune_tail_1": (2_295_912, 2_321_562, 5_294, 512),
    "tune_tail_2": (2_232_858, 2_258_508, 5_143, 512),
    "tune_tail_3": (2_241_186, 2_266_836, 5_240, 512),
    "tune_tail_4": (2_290_134, 2_315_784, 5_513, 512),
    "tune_tail_5": (2_096_970, 2_122_620, 5_530, 512),
    "tune_clmr_tail": (2_522_505, 2_548_155, 6_810, 512),
    "tune_plus": (2_220_390, 2_246_040, 5_530, 512),
    "tune_vanilla_small": (339_258, 364_908, 2_357, 512),
    "tune_plus_large": (7_407_132, 7_432_782, 10_242, 512),
    "tune_plus_256": (1_423_446, 1_436_296, 4_410, 256),
    "sample_cnn": (2_368_512, 2_394_162, 5_899, 512),
}
OTHER_SIZES = {"tune_plus_32": 246_606, "tune_plus_64": 332_142, "tune_plus_128": 582_486, "tune_plus_1024": 9_768_774}


def build(name):
    return build_encoder(load_registry().encoder(name), 0)


def tune(name):
    return TUNe(**load_registry().encoder(name).entry.args)


@pytest.mark.parametrize("name", TABLE_1)
def test_rows_of_table_1_have_their_published_counts(name):
    encoder = build(name)
    parameters, with_head, buffers, dim = TABLE_1[name]
    assert encoder.parameter_count() == parameters
    assert encoder.parameter_count() + torch.nn.Linear(encoder.dim, 50).weight.numel() + 50 == with_head
    assert sum(buffer.numel() for buffer in encoder.buffers()) == buffers
    assert (encoder.dim, encoder.window, encoder.sample_rate) == (dim, 59_049, 22_050)


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_other_representation_sizes_have_their_published_counts(name):
    encoder = build(name)
    assert encoder.parameter_count() == OTHER_SIZES[name]
    assert encoder.dim == int(name.rpartition("_")[2])


class Reference:
    """The pieces of TUNe, on weights under their published names."""

    def __init__(self, encoder):
        self.state = published_state(encoder)

    def block(self, name, x):
        s = self.state
        x = F.conv1d(x, s[f"{name}.layers.0.weight"], s[f"{name}.layers.0.bias"], padding=1)
        return F.relu(self.normed(f"{name}.layers.1", x))

    def normed(self, name, x):
        weight, bias, mean, var = (
            self.state[f"{name}.{part}"].view(1, -1, 1) for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def up(self, name, skip, below):
        up = F.conv_transpose1d(below, self.state[f"{name}.weight"], self.state[f"{name}.bias"], stride=3)
        return torch.cat([up, skip], dim=1)


def pool(x):
    return F.max_pool1d(x, 3)


def contractive_2(r, x):
    s0 = r.block("conv1", x)
    s1 = r.block("conv2", pool(s0))
    s2 = r.block("conv3", pool(s1))
    s3 = r.block("conv4", pool(s2))
    s4 = r.block("conv5", pool(s3))
    s5 = r.block("deeperDown1", pool(s4))
    x = r.block("deeperDown2", pool(s5))
    x = r.block("deeperUp2", r.up("transposedDeeper2", s5, x))
    x = r.block("deeperUp1", r.up("transposedDeeper1", s4, x))
    x = r.block("conv6", r.up("transposedConv6", s3, x))
    x = r.block("conv7", r.up("transposedConv7", s2, x))
    x = r.block("conv8", r.up("transposedConv8", s1, x))
    x = r.block("conv9", r.up("transposedConv9", s0, x))
    for n in (1, 2, 3, 4):
        x = r.block(f"convDown{n}", pool(x))
    assert x.shape[2] == 729
    return x.mean(dim=2)


def down_four(r, x):
    s0 = r.block("conv1", x)
    s1 = r.block("conv2", pool(s0))
    s2 = r.block("conv3", pool(s1))
    s3 = r.block("conv4", pool(s2))
    return s0, s1, s2, s3, r.block("conv5", pool(s3))


def expansive_2(r, x):
    _, _, s2, s3, x = down_four(r, x)
    x = r.block("conv6", r.up("transposedConv6", s3, x))
    x = r.block("conv7", r.up("transposedConv7", s2, x))
    x = r.block("convDown3", pool(x))
    x = r.block("convDown4", pool(x))
    assert x.shape[2] == 729
    return x.mean(dim=2)


def clmr_tail(r, x):
    s0, s1, s2, s3, x = down_four(r, x)
    x = r.block("conv6", r.up("transposedConv6", s3, x))
    x = r.block("conv7", r.up("transposedConv7", s2, x))
    x = r.block("conv8", r.up("transposedConv8", s1, x))
    x = r.block("conv9", r.up("transposedConv9", s0, x))
    assert x.shape[1:] == (1, 59_049)
    for n in range(11):
        name = f"model_down.sequential.{n}"
        stem = dict(stride=3) if n == 0 else dict(padding=1)
        x = F.conv1d(x, r.state[f"{name}.0.weight"], r.state[f"{name}.0.bias"], **stem)
        x = F.relu(r.normed(f"{name}.1", x))
        x = pool(x) if 1 <= n <= 9 else x
    return x.squeeze(2)


def plus_256(r, x):
    s0, s1, s2, s3, bottleneck = down_four(r, x)
    e3 = r.block("conv6", r.up("transposedConv6", s3, bottleneck))
    e2 = r.block("conv7", r.up("transposedConv7", s2, e3))
    e1 = r.block("conv8", r.up("transposedConv8", s1, e2))
    e0 = r.block("conv9", r.up("transposedConv9", s0, e1))
    x = r.block("convDown1", torch.cat([pool(e0), e1], dim=1))
    x = r.block("convDown2", torch.cat([pool(x), e2], dim=1))
    x = r.block("convDown3", torch.cat([pool(x), e3], dim=1))
    x = r.block("convDown4", torch.cat([pool(x), bottleneck], dim=1))
    for n in (5, 6, 7, 8, 9):
        x = r.block(f"convDown{n}", pool(x))
    assert x.shape[2] == 3
    return x.mean(dim=2)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("tune_contractive_2", contractive_2),
        ("tune_expansive_2", expansive_2),
        ("tune_clmr_tail", clmr_tail),
        ("tune_plus_256", plus_256),
    ],
)
def test_variants_compute_what_is_written_out_by_hand(name, reference):
    encoder = seeded(tune(name), 5).double()
    waveform = chirps(59_049)[:1].double()
    with torch.inference_mode():
        expected = reference(Reference(encoder), waveform)
        assert expected.std() > 0.01
        torch.testing.assert_close(encoder(waveform), expected, rtol=1e-9, atol=1e-9)


def test_layers_are_the_taps_of_the_appendix():
    encoder = seeded(tune("tune_plus"), 2)
    names = (
        *("contractive_0", "contractive_1", "contractive_2", "contractive_3", "bottleneck"),
        *("expansive_3", "expansive_2", "expansive_1", "expansive_0"),
        *(f"tail_{j}" for j in range(1, 10)),
    )
    assert encoder.layers() == names
    assert len(names[:-1]) == 17
    with torch.inference_mode():
        representation, outputs = encoder.represent(chirps(59_049)[:1], names)
    torch.testing.assert_close(outputs["tail_9"], representation)
    widths = [output.shape[1] for output in outputs.values()]
    assert widths == [11, 22, 44, 88, 176, 88, 44, 22, 11, 22, 44, 88, 176, 352, 352, 352, 352, 512]


def test_the_frames_of_tune_average_to_its_representation():
    encoder = seeded(tune("tune_tail_4"), 2)
    waveform = chirps(59_049)
    with torch.inference_mode():
        values, seconds = encoder.frames(waveform)
        torch.testing.assert_close(values.mean(dim=1), encoder(waveform))
    assert values.shape == (2, 9, 512)
    hop = 59_049 / 9 / 22_050
    torch.testing.assert_close(seconds, (torch.arange(9, dtype=torch.float64) + 0.5) * hop)


def test_an_encoder_without_frames_puts_its_value_at_the_centre():
    encoder = seeded(SampleCNN(), 2)
    waveform = chirps(59_049)
    with torch.inference_mode():
        values, seconds = encoder.frames(waveform)
        assert torch.equal(values[:, 0], encoder(waveform))
    assert seconds.tolist() == pytest.approx([59_049 / 22_050 / 2])


@pytest.mark.parametrize("encoder", [tune("tune_vanilla_small"), tune("tune_clmr_tail"), SampleCNN()], ids=type)
def test_a_waveform_of_another_length_has_no_frames(encoder):
    with pytest.raises(EncoderError, match="59049 samples, not 59050"):
        encoder.frames(torch.zeros(1, 1, 59_050))


def bound_of(weight, gain):
    """Half-width of a uniform Kaiming initialisation over the fan-in."""
    return gain * math.sqrt(3 / (weight.shape[1] * weight.shape[2]))


def test_blocks_start_from_kaiming_weights_and_the_rest_from_defaults():
    """He initialisation in TUNe's blocks only: PyTorch's own is narrower by the square root of six."""
    torch.manual_seed(0)
    encoder = TUNe(filters=10, tail="sample_cnn")
    for block in (*encoder.contractive, encoder.bottleneck, *encoder.expansive):
        bound = bound_of(block.conv.weight, math.sqrt(2))
        assert 0.8 * bound < block.conv.weight.abs().max() <= bound
        assert block.conv.bias.abs().max() <= 1 / math.sqrt(block.conv.weight[0].numel())
        assert (block.norm.eps, block.norm.momentum) == (1e-5, 0.1)
    for block in encoder.tail.blocks:
        bound = bound_of(block.conv.weight, math.sqrt(1 / 3))
        assert 0.9 * bound < block.conv.weight.abs().max() <= bound
    for up in encoder.up:  # the fan-in of a transposed convolution is counted over its outputs
        bound = bound_of(up.weight, math.sqrt(1 / 3))
        assert 0.9 * bound < up.weight.abs().max() <= bound
    kaiming = SampleCNN(initialisation="kaiming").blocks[5].conv.weight
    assert 0.95 * bound_of(kaiming, math.sqrt(2)) < kaiming.abs().max() <= bound_of(kaiming, math.sqrt(2))


def test_a_frozen_tail_keeps_its_weights_and_moves_its_statistics(tmp_path):
    pretrained = seeded(SampleCNN(), 4)
    save_weights(pretrained, tmp_path / "s.safetensors")
    encoder = TUNe(filters=10, tail="sample_cnn", freeze_tail=True, tail_weights=tmp_path / "s.safetensors")
    assert encoder.parameter_count() == 2_522_505
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == 153_993
    encoder.train()
    optimiser = torch.optim.Adam(encoder.parameters(), 1e-3, weight_decay=1e-2)
    before = encoder.contractive[0].conv.weight.clone()
    encoder(chirps(59_049)).square().mean().backward()
    optimiser.step()
    for key, tensor in pretrained.state_dict().items():
        now = encoder.tail.state_dict()[key]
        moved = key.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(now, tensor) != moved, key
    assert not torch.equal(encoder.contractive[0].conv.weight, before)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (dict(tail="sample_cnn", freeze_tail=True), "needs pretrained SampleCNN weights"),
        (dict(tail="sample_cnn", expansive=3), "needs expansive = contractive"),
        (dict(tail="sample_cnn", window=19_683), "takes 59049 samples at 22050 Hz"),
        (dict(tail=9, freeze_tail=True), "are for tail: sample_cnn"),
        (dict(tail="sample_rnn"), "a number of blocks or sample_cnn, not 'sample_rnn'"),
    ],
)
def test_impossible_clmr_tails_are_refused(args, message):
    with pytest.raises(EncoderError, match=message):
        TUNe(filters=10, **args)
