"""`bench speed pretrain` measures what it says: rates of one batch, and their ratio."""

import pytest
from training_steps import plain

from benchmark.console import Silent
from benchmark.pretraining.methods.multi_source import MultiSourceModule
from benchmark.pretraining.trained import TrainedModule
from benchmark.registry.overrides import override
from benchmark.registry.registry import load_registry
from benchmark.speed import pretrain as pretrain_speed


def test_rates_and_shares_belong_together(monkeypatch):
    monkeypatch.setattr(pretrain_speed, "ROUND", 0.05)
    monkeypatch.setattr(pretrain_speed, "CLIP_SECONDS", 1.0)
    result = pretrain_speed.measure(Silent(), [plain(window=6561)], load_registry().recipe("tune").entry, 4, 2)
    (row,) = result["encoders"]
    assert result["ratio"] == row["ratio"] == row["clips_per_second"] / row["bare_clips_per_second"]
    for name, rate in (("bare_range", "bare_clips_per_second"), ("range", "clips_per_second")):
        low, high = row[name]
        assert 0 < low <= row[rate] <= high
    assert row["epochs_per_hour"] == pytest.approx(row["clips_per_second"] * 3600 / 18_704)
    assert (result["batch"], result["target"]) in ((4, 0.7), (4, 0.9))
    assert list(row["augmentation_share"]) == ["polarity", "noise", "gain", "filter", "delay", "pitch", "reverb"]
    assert min(row["augmentation_share"].values()) >= 0
    assert row["peak_memory_bytes"] > 2**20
    lines = pretrain_speed.table(result).splitlines()
    assert any(line.startswith("plain ") and f"{row['ratio']:.0%}" in line for line in lines)


def test_a_front_end_and_what_changes_features_have_shares(monkeypatch):
    monkeypatch.setattr(pretrain_speed, "ROUND", 0.05)
    monkeypatch.setattr(pretrain_speed, "CLIP_SECONDS", 1.0)
    recipe = load_registry().recipe("mule-demo").entry
    result = pretrain_speed.measure(Silent(), [plain("Parted", window=2187)], recipe, 4, 2)
    (row,) = result["encoders"]
    assert list(row["augmentation_share"]) == ["front end", "mixup"]
    assert min(row["augmentation_share"].values()) > 0
    assert row["steps_a_round"] >= pretrain_speed.ROUND_STEPS
    assert result["target"] in (pretrain_speed.CPU_FEATURES_TARGET, pretrain_speed.GPU_TARGET)
    lines = pretrain_speed.table(result).splitlines()
    share = sum(row["augmentation_share"].values())
    assert f"front end and changes of features {share:.1%} of a step, limit 10%" in lines
    if row["ratio_processor"] is not None:
        assert row["ratio_processor"] > 0
        assert any(line.startswith("plain ") and f"{row['ratio_processor']:.0%}" in line for line in lines)


def test_the_bare_model_is_brought_back_to_the_device(monkeypatch):
    """Lightning leaves the encoder, which both kinds of turn share, on the CPU: played by a change of precision."""
    monkeypatch.setattr(TrainedModule, "cpu", lambda self: self.double())
    monkeypatch.setattr(TrainedModule, "to", lambda self, where: self.float())
    monkeypatch.setattr(pretrain_speed, "ROUND", 0.05)
    monkeypatch.setattr(pretrain_speed, "CLIP_SECONDS", 1.0)
    result = pretrain_speed.measure(Silent(), [plain(window=6561)], load_registry().recipe("tune").entry, 4, 2)
    assert result["encoders"][0]["clips_per_second"] > 0


def test_a_slow_start_does_not_shorten_the_rounds(monkeypatch):
    began = []

    def seconds(function, times, where):
        """The first step takes a second, every other one a hundredth."""
        began.extend(function() for _ in range(times))
        return 0.01 * times if len(began) > times else 1.0

    monkeypatch.setattr(pretrain_speed, "_seconds", seconds)
    monkeypatch.setattr(pretrain_speed, "ROUND", 0.05)
    monkeypatch.setattr(pretrain_speed, "CLIP_SECONDS", 1.0)
    result = pretrain_speed.measure(Silent(), [plain(window=6561)], load_registry().recipe("tune").entry, 4, 1)
    assert result["encoders"][0]["steps_a_round"] == 5


def test_what_proves_nothing_is_called_so(monkeypatch):
    """Rounds that disagree, or a single one, are no ground for a claim."""
    assert pretrain_speed._unsteadiness([1.0, 1.1, 1.05]) < pretrain_speed.STEADY
    assert pretrain_speed._unsteadiness([1.0, 1.4, 1.05]) > pretrain_speed.STEADY
    assert pretrain_speed._unsteadiness([1.0]) > pretrain_speed.STEADY
    monkeypatch.setattr(pretrain_speed, "ROUND", 0.05)
    monkeypatch.setattr(pretrain_speed, "CLIP_SECONDS", 1.0)
    result = pretrain_speed.measure(Silent(), [plain(window=6561)], load_registry().recipe("tune").entry, 4, 1)
    assert result["encoders"][0]["unsteady"]
    assert "UNSTEADY: plain:" in pretrain_speed.table(result)


def test_published_rates_are_those_of_the_table():
    """TUNe+ did 17.48 epochs an hour: 90.4 clips a second of 194 batches of 96."""
    assert pretrain_speed.PUBLISHED["tune_plus"] * 194 * 96 / 3600 == pytest.approx(90.4, abs=0.05)
    assert min(pretrain_speed.PUBLISHED.values()) == 16.39


def test_training_on_sources_is_timed_beside_steps_of_the_same_sources(monkeypatch):
    monkeypatch.setattr(pretrain_speed, "ROUND", 0.05)
    monkeypatch.setattr(pretrain_speed, "CLIP_SECONDS", 1.0)
    taken = []
    loss = MultiSourceModule.loss
    monkeypatch.setattr(
        MultiSourceModule, "loss", lambda self, place, *given: taken.append(place) or loss(self, place, *given)
    )
    recipe = override(load_registry().recipe("kim2020-demo").entry, {"sources": ("self", "tag", "year")})
    result = pretrain_speed.measure(Silent(), [plain(window=6561)], recipe, 4, 2)
    (row,) = result["encoders"]
    assert result["ratio"] == row["clips_per_second"] / row["bare_clips_per_second"]
    assert row["steps_a_round"] % 3 == 0
    assert row["augmentation_share"] == {}
    assert (result["batch"], result["batch_of"]) == (4, "crops")
    # One step and a cycle to begin with; then as many of each source in either kind of turn.
    assert [taken[4:].count(place) for place in range(3)] == [2 * row["steps_a_round"]] * 3
    assert "4 crops a step" in pretrain_speed.table(result)
