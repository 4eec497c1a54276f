"""`bench resources` and `bench speed forward`: the published figures of the encoders, and rates that are measured."""

import pytest
import torch
from conftest import bench_json

from benchmark.console import Reporter
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.forecast import resources
from benchmark.forecast.resources import Unbuilt, activation_bytes, measure_all, multiply_adds, resources_table
from benchmark.registry.registry import load_registry
from benchmark.speed.forward import forward_ratio
from encoders.features import Mfcc
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe

# Parameters without and with the 50-way head that Table S3 of the TUNe appendix counts, buffers, GFLOP of a forward
# pass, MiB kept for the backward pass and MiB of weights with that head: counted from the released classes.
PUBLISHED = {
    "tune_plus": (2_220_390, 2_246_040, 5_530, 1.666, 62.8, 8.568),
    "tune_vanilla": (2_340_396, 2_366_046, 5_117, 10.592, 175.2, 9.026),
    "sample_cnn": (2_368_512, 2_394_162, 5_899, 3.457, 67.5, 9.133),
    "tune_contractive_3": (1_630_744, 1_656_394, 4_211, 0.457, 25.7, 6.319),
}


SMALL = dict(filters=2, contractive=1, expansive=1, tail=1, dim=4, window=9)


@pytest.fixture
def untimed(monkeypatch):
    """Without the search for the fastest batch: nine windows a second forward, three in training."""
    monkeypatch.setattr(
        resources, "_fastest", lambda encoder, run, first, largest: (9.0 if run is resources._forward else 3.0, 2)
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_figures_of_table_s3(name, untimed):
    parameters, with_head, buffers, gflop, mebibytes, weights = PUBLISHED[name]
    named = load_registry().encoder(name)
    [row] = measure_all([named], Reporter())
    assert row.encoder == name
    assert row.parameters == row.trainable_parameters == parameters
    assert row.buffers == buffers
    assert (row.dim, row.window, row.samples, row.sample_rate) == (512, 59_049, 59_049, 22_050)
    assert 2 * row.multiply_adds / 1e9 == pytest.approx(gflop, abs=5e-4)
    assert row.activation_bytes / 2**20 == pytest.approx(mebibytes, abs=0.06)
    assert row.weight_bytes == 4 * parameters
    assert (row.weight_bytes + 4 * 50 * 513) / 2**20 == pytest.approx(weights, abs=6e-4)
    assert (row.windows_per_second_forward, row.windows_per_second_training) == (9, 3)
    table = resources_table([row]).splitlines()
    assert "with 50-way head" in table[0]
    assert f"{with_head:,}" in table[1]


def test_a_count_by_hand():
    """One convolution of a strided stem: outputs x taps x channels; kept: the input, and its output twice over."""
    encoder = TUNe(**SMALL)
    # contractive 9*3*1*2, bottleneck 3*3*2*4, up 3*3*4*2, expansive 9*3*4*2, tail 3*3*2*4
    assert multiply_adds(encoder) == 54 + 72 + 72 + 216 + 72


def test_what_does_not_learn_keeps_nothing_and_has_no_training_rate(untimed):
    assert activation_bytes(Mfcc()) == 0
    named = load_registry().encoder("mfcc")
    [row] = measure_all([named], Reporter())
    assert (row.window, row.samples) == (None, 59_049)
    assert (row.parameters, row.windows_per_second_training, row.batch_training) == (0, None, None)


def test_a_frozen_part_is_counted_but_not_trained(untimed):
    encoder = SampleCNN()
    for parameter in encoder.blocks[:10].parameters():
        parameter.requires_grad_(False)
    row = resources.measure("frozen", encoder)
    assert row.parameters == 2_368_512
    assert row.trainable_parameters == 512 * 512 * 3 + 3 * 512


def test_what_cannot_be_built_says_why(tmp_path, untimed):
    (tmp_path / "registry.yaml").write_text("encoders:\n  gone: {class: 'no_such_module:Gone'}\n")
    registry = load_registry([tmp_path])
    small = registry.encoder("mfcc")
    rows = measure_all([registry.encoder("gone"), small], Reporter())
    assert isinstance(rows[0], Unbuilt)
    assert "no_such_module" in rows[0].error
    assert rows[1].encoder == "mfcc"
    assert "gone: cannot be measured" in resources_table(rows)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless `clock.advance(seconds)` is called."""

    class Clock:
        now = 0.0

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(resources, "perf_counter", lambda: clock.now)
    return clock


def test_batches_grow_until_the_rate_does_not(clock):
    tried = []

    def run(encoder, views):
        tried.append(len(views))
        clock.advance(0.004 * max(1, len(views) / 8))

    assert resources._fastest(TUNe(**SMALL), run, 1, 1024) == (pytest.approx(2000), 8)
    assert max(tried) == 32


def test_batches_stop_growing_when_time_is_up(clock):
    tried = []

    def run(encoder, views):
        tried.append(len(views))
        clock.advance(0.6)

    assert resources._fastest(TUNe(**SMALL), run, 1, 1024) == (pytest.approx(2 / 0.6), 2)
    assert tried == [1, 1, 2, 2]


def test_batches_stop_growing_where_memory_ends(clock):
    def run(encoder, views):
        if len(views) > 4:
            raise torch.OutOfMemoryError
        clock.advance(0.004)

    assert resources._fastest(TUNe(**SMALL), run, 2, 1024)[1] == 4
    assert resources._fastest(TUNe(**SMALL), run, 1, 2)[1] == 2


def test_the_command_measures_what_it_is_asked_for():
    rows = bench_json("resources", "--encoder", "tune_contractive_3", "--encoder", "mfcc")
    assert [row["encoder"] for row in rows] == ["tune_contractive_3", "mfcc"]
    keys = {
        *("encoder", "parameters", "trainable_parameters", "buffers", "dim", "window", "sample_rate", "samples"),
        *("multiply_adds", "activation_bytes", "weight_bytes", "windows_per_second_forward", "device"),
        *("windows_per_second_training", "batch_forward", "batch_training"),
    }
    assert all(set(row) == keys for row in rows)
    learning, features = rows
    assert learning["batch_training"] >= 2
    assert min(learning["windows_per_second_forward"], learning["windows_per_second_training"]) > 0
    assert features["windows_per_second_training"] is None


@pytest.mark.parametrize("name", ["tune_plus", "tune_contractive_3", "sample_cnn_8k"])
def test_plain_layers_give_the_same_values(name):
    found = forward_ratio(name, build_encoder(load_registry().encoder(name), 0), rounds=1)
    assert found["difference"] == 0
    assert found["ratio"] == found["ours_seconds"] / found["plain_seconds"]


def test_speed_forward_has_the_worst_ratio_first(tiny_registry):
    other = "encoders:\n  other: {class: 'encoders.tune:TUNe', args: {filters: 2, dim: 16, window: 6561}}\n"
    tiny_registry.write_text(tiny_registry.read_text().replace("encoders:\n", other, 1))
    found = bench_json("speed", "forward", "--encoder", "tiny", "--encoder", "other", "--registry", tiny_registry)
    assert found["ratio"] == max(row["ratio"] for row in found["encoders"])
    assert [row["encoder"] for row in found["encoders"]] == ["tiny", "other"]
    assert [row["batch"] for row in found["encoders"]] == [8, 8]


@pytest.mark.slow
def test_a_call_is_claimed_to_cost_at_most_three_percent_more_than_plain_layers():
    """Whether it does is for `bench speed forward` on an idle machine to say."""
    found = bench_json("speed", "forward")
    assert [row["encoder"] for row in found["encoders"]] == ["tune_plus", "tune_tail_5", "sample_cnn"]
    assert found["limit"] == 1.03


def test_speed_forward_needs_plain_code():
    with pytest.raises(UserError, match="no plain code"):
        forward_ratio("mfcc", Mfcc())
