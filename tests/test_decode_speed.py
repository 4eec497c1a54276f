"""`bench speed decode`: that it measures, and that what it compares yields the same samples."""

import sys

import numpy as np
import pytest
from conftest import bench

from benchmark import libraries
from benchmark.console import Silent
from benchmark.errors import UserError
from benchmark.speed import decode as decode_speed


def test_without_librosa_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"librosa is not installed .*: pip install 'bench-music\[speed\]'"):
        decode_speed.measure(Silent())


@pytest.mark.slow
def test_the_numbers(tmp_path, monkeypatch):
    librosa = pytest.importorskip("librosa", reason="the extra `speed` is not installed")
    del librosa
    monkeypatch.setattr(decode_speed, "SECONDS", 5)
    result = decode_speed.measure(Silent(), files=1, repeats=2, pool_clips=6)
    for suffix in ("mp3", "wav"):
        rates = result["formats"][suffix]
        assert result[f"ratio_{suffix}"] == pytest.approx(rates["ours"]["cpu"] / rates["librosa"]["cpu"])
    assert {"scaling", "crop_microseconds", "load"} <= result.keys()
    assert result["formats"]["wav"]["kbit_per_second"] == pytest.approx(1_411.2, rel=1e-3)
    assert 64 < result["formats"]["mp3"]["kbit_per_second"] < 320
    text = decode_speed.table(result)
    assert f"ratio {result['ratio_mp3']:.2f}" in text
    for suffix in ("mp3", "wav"):
        (path,) = decode_speed._write(tmp_path, suffix, 1)
        ours, theirs = decode_speed._ours(path), decode_speed._librosa()(path)
        np.testing.assert_allclose(ours, theirs, atol=1)
        assert np.abs(ours).max() > 3_000


def test_the_command_is_there():
    done = bench("speed", "decode", "--help")
    assert done.returncode == 0
    assert "--repeats" in done.stdout
