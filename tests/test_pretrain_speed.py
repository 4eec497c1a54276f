"""`bench speed pretrain` measures what it says: rates of one batch, and their ratio."""

import pytest
from training_steps import plain

from benchmark import pretrain_speed
from benchmark.console import Silent
from benchmark.registry import load_registry


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
    assert 0 < sum(row["augmentation_share"].values()) < 1
    assert row["augmentation_share"]["pitch"] > row["augmentation_share"]["polarity"]
    assert row["peak_memory_bytes"] > 2**20
    lines = pretrain_speed.table(result).splitlines()
    assert any(line.startswith("plain ") and f"{row['ratio']:.0%}" in line for line in lines)


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
