"""`bench encode`: the harness's windows of anyone's files, in little memory, and all or nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from conftest import bench, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.audio.decoding import decode, decode_blocks, decoded_length
from benchmark.commands.encoders import encode
from benchmark.console import Reporter
from benchmark.encoding.encode_files import encode_files, open_files, stream_windows
from benchmark.encoding.windows import BatchEncoder, build_encoder, cut_windows
from benchmark.errors import UserError
from benchmark.registry.registry import load_registry
from encoders import EncoderError
from encoders.tune import TUNe
from encoders.weights import save_weights

REGISTRY = """
encoders:
  tiny:
    class: encoders.tune:TUNe
    args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 6561}
"""


@pytest.fixture
def registry(tmp_path) -> Path:
    file = tmp_path / "encoders.yaml"
    file.write_text(REGISTRY)
    return file


def tiny() -> TUNe:
    return TUNe(filters=2, contractive=2, expansive=2, tail=4, dim=16, window=6561)


def write(path: Path, seconds: float, rate: int, channels: int = 1, **format) -> Path:
    mono = tone(seconds, rate, 1)
    frames = np.stack([mono * (1 - 0.3 * c) for c in range(channels)], axis=1)
    soundfile.write(path, frames, rate, **format)
    return path


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", 8_000, 1), ("a.wav", 44_100, 2), ("a.flac", 22_050, 3), ("a.ogg", 48_000, 2), ("a.mp3", 16_000, 1)],
)
def test_blocks_are_the_whole_decode(tmp_path, name, rate, channels):
    """Against the whole file, resampled in one piece; another order of additions moves a rounding now and then."""
    file = write(tmp_path / name, 7.3, rate, channels)
    frames, _ = soundfile.read(file, always_2d=True)
    whole = np.rint(soxr.resample(frames.mean(axis=1).astype(np.float32), rate, 22_050) * 32_767)
    blocks = np.concatenate(list(decode_blocks(file, 22_050)))
    np.testing.assert_array_equal(blocks, decode(file, 22_050).pcm)
    assert decoded_length(file, 22_050) == len(blocks) == len(whole)
    differences = np.abs(blocks - whole)
    assert differences.max() <= 1
    assert (differences > 0).mean() < 0.01


@settings(max_examples=60)
@given(
    samples=st.integers(1, 40_000),
    lengths=st.lists(st.integers(1, 9_000), min_size=1, max_size=8),
    window=st.sampled_from([None, 6_561]),
)
def test_streamed_windows_are_the_windows_of_the_whole(samples, lengths, window):
    class AnyLength:
        pass

    encoder = AnyLength()
    encoder.window, encoder.max_window = window, window or 7_000
    pcm = np.random.default_rng(samples).integers(-32_767, 32_767, samples).astype(np.int16)
    cuts = np.cumsum(np.resize(lengths, samples // min(lengths) + 1))
    found = list(stream_windows(np.split(pcm, cuts[cuts < samples]), samples, encoder))
    expected = cut_windows(pcm, encoder)
    assert len(found) == len(expected)
    for window_found, window_expected in zip(found, expected, strict=True):
        np.testing.assert_array_equal(window_found.pcm, window_expected)


@pytest.mark.parametrize("name", ["tiny", "mfcc"])
def test_embeddings_are_those_of_the_harness(tmp_path, registry, name, capfd):
    files = [write(tmp_path / "a.wav", 5.0, 44_100, 2), write(tmp_path / "b.flac", 2.0, 22_050)]
    output = tmp_path / "out.npz"
    encode(files, encoder=name, output=output, registry_files=[registry], seed=3, untrained=name == "tiny")
    streams = capfd.readouterr()
    assert streams.out == ""
    encoder = build_encoder(load_registry([registry]).encoder(name), 3)
    windows = [cut_windows(decode(file, 22_050).pcm, encoder) for file in files]
    expected = np.concatenate([BatchEncoder(encoder)(of_file) for of_file in windows])
    with np.load(output) as found:
        assert set(found.files) == {"embeddings", "clip", "seconds", "files"}
        assert found["embeddings"].dtype == np.float32
        np.testing.assert_allclose(found["embeddings"], expected, rtol=1e-4, atol=1e-5)
        counts = [len(of_file) for of_file in windows]
        assert found["clip"].tolist() == np.repeat([0, 1], counts).tolist()
        assert found["files"].tolist() == [str(file) for file in files]
        starts = [k * 6_561 / 22_050 for n in counts for k in range(n)] if name == "tiny" else [0.0, 0.0]
        np.testing.assert_allclose(found["seconds"], starts)
    assert ("UNTRAINED" in streams.err and "seed 3" in streams.err) == (name == "tiny")


def test_23_milliseconds_are_one_window(tmp_path, registry):
    file = write(tmp_path / "short.wav", 0.023, 22_050)
    for name in ("tiny", "mfcc"):
        output = tmp_path / f"{name}.npz"
        encode([file], encoder=name, output=output, registry_files=[registry], untrained=name == "tiny")
        with np.load(output) as found:
            assert len(found["embeddings"]) == 1
            assert np.isfinite(found["embeddings"]).all()
            assert found["seconds"].tolist() == [0.0]
    encoder = build_encoder(load_registry([registry]).encoder("tiny"), 0)
    padded = np.pad(np.concatenate(list(decode_blocks(file, 22_050))), (0, 6_561 - 507))
    with np.load(tmp_path / "tiny.npz") as found:
        np.testing.assert_allclose(found["embeddings"], BatchEncoder(encoder)([padded]), rtol=1e-5, atol=1e-7)


def test_frames_and_layer(tmp_path):
    file = write(tmp_path / "a.wav", 1.0, 22_050)
    encoder = build_encoder(load_registry().encoder("mfcc"), 0)
    tune = tiny()
    windows = cut_windows(decode(file, 22_050).pcm, tune)
    for any_encoder in (tune, encoder):
        output = tmp_path / "out.npz"
        reporter = Reporter()
        encode_files(open_files([file], any_encoder, reporter), any_encoder, output, reporter, frames=True)
        values, offsets = BatchEncoder(any_encoder).frames(cut_windows(decode(file, 22_050).pcm, any_encoder))
        starts = np.arange(len(values)) * (tune.window / 22_050)
        with np.load(output) as found:
            np.testing.assert_allclose(found["embeddings"], values.reshape(-1, values.shape[2]), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found["seconds"], (starts[:, None] + offsets).ravel())
            assert (np.diff(found["seconds"]) > 0).all()
    encode_files(open_files([file], tune, reporter), tune, tmp_path / "layer.npz", reporter, layer="bottleneck")
    with np.load(tmp_path / "layer.npz") as found:
        expected = BatchEncoder(tune).layers(windows, ["bottleneck"])["bottleneck"]
        np.testing.assert_allclose(found["embeddings"], expected, rtol=1e-5, atol=1e-7)
        assert found["embeddings"].shape == (3, 8)
    encode_files(
        open_files([file], tune, reporter), tune, tmp_path / "both.npz", reporter, layer="bottleneck", frames=True
    )
    with np.load(tmp_path / "both.npz") as both:
        count = len(both["seconds"]) // 3
        assert count > 1
        averaged = both["embeddings"].reshape(3, count, 8).mean(axis=1)
        np.testing.assert_allclose(averaged, expected, rtol=1e-4, atol=1e-6)
        assert (np.diff(both["seconds"]) > 0).all()


def test_weights_of_a_file(tmp_path, registry, capsys):
    file = write(tmp_path / "a.wav", 1.0, 22_050)
    trained = build_encoder(load_registry([registry]).encoder("tiny"), 11)
    save_weights(trained, tmp_path / "encoder.safetensors")
    output = tmp_path / "out.npz"
    encode([file], encoder="tiny", output=output, weights=tmp_path / "encoder.safetensors", registry_files=[registry])
    assert "UNTRAINED" not in capsys.readouterr().err
    expected = BatchEncoder(trained)(cut_windows(decode(file, 22_050).pcm, trained))
    with np.load(output) as found:
        np.testing.assert_allclose(found["embeddings"], expected, rtol=1e-5, atol=1e-7)


def test_the_command_line(tmp_path, registry):
    file = write(tmp_path / "a.wav", 1.0, 22_050)
    output = tmp_path / "out.npz"
    result = bench("encode", file, "--encoder", "tiny", "--untrained", "--output", output, "--registry", registry)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == f"{output}: 3 embeddings of size 16"
    with np.load(output) as found:
        assert found["embeddings"].shape == (3, 16)


def test_a_broken_file_is_one_line_and_leaves_nothing(tmp_path, registry):
    good = write(tmp_path / "good.wav", 1.0, 22_050)
    bad = tmp_path / "bad.mp3"
    write(bad, 3.0, 22_050, format="MP3")
    bad.write_bytes(bad.read_bytes()[:7])
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "out.npz"
    result = bench("encode", good, bad, "--encoder", "tiny", "--untrained", "-o", output, "--registry", registry)
    assert result.returncode == 2
    *_, last = result.stderr.splitlines()
    assert last.startswith(f"bench: {bad}: not readable as audio")
    assert "Traceback" not in result.stderr
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files": ["none.wav"]}, ["none.wav", "there is no such file"]),
        ({"files": ["empty.wav"]}, ["empty.wav", "0 bytes"]),
        ({"files": ["header.wav"]}, ["header.wav", "no audio"]),
        ({"files": ["nan.wav"]}, ["nan.wav", "not finite"]),
        ({"encoder": "tin"}, ["unknown encoder 'tin'", "'tiny'"]),
        ({"layer": "bottle"}, ["unknown layer of tiny 'bottle'", "'bottleneck'"]),
        ({"weights": Path("w.safetensors")}, ["w.safetensors", "no such file"]),
        (
            {"untrained": False, "store_path": Path("s")},
            ["s: holds no trained weights of tiny", "--untrained", "bench run"],
        ),
        ({"weights": Path("w.pt"), "untrained": True}, ["--untrained and --weights name different weights"]),
        ({"weights": Path("w.pt"), "recipe": "demo"}, ["--recipe and --weights name different weights"]),
        ({"encoder": "mfcc", "recipe": "demo", "untrained": False}, ["no recipe trains it; leave out --recipe"]),
        ({"output": Path("no/out.npz")}, ["no/out.npz", "there is no folder no"]),
        ({"output": Path("folder")}, ["folder", "is a folder"]),
    ],
    ids=str,
)
def test_what_a_user_can_put_right(tmp_path, registry, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good.wav", 1.0, 22_050)
    Path("empty.wav").touch()
    soundfile.write("header.wav", np.zeros(0), 22_050)
    soundfile.write("nan.wav", np.full(22_050, np.nan), 22_050, subtype="FLOAT")
    Path("folder").mkdir()
    arguments = {"encoder": "tiny", "output": Path("out.npz"), "registry_files": [registry], **changes}
    arguments.setdefault("untrained", "weights" not in changes)
    before = set(tmp_path.iterdir())
    with pytest.raises((UserError, EncoderError)) as raised:
        encode([Path("good.wav"), *map(Path, arguments.pop("files", []))], **arguments)
    assert all(word in str(raised.value) for word in words), raised.value
    assert set(tmp_path.iterdir()) == before


def test_an_encoder_without_finite_values_writes_nothing(tmp_path):
    file = write(tmp_path / "a.wav", 1.0, 22_050)
    encoder = tiny()
    encoder.tail[-1].conv.weight.data.fill_(float("nan"))
    output = tmp_path / "out.npz"
    output.write_bytes(b"from before")
    reporter = Reporter()
    with pytest.raises(Exception, match="not finite"):
        encode_files(open_files([file], encoder, reporter), encoder, output, reporter)
    assert output.read_bytes() == b"from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "out.npz"]


MEASURE = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from benchmark.console import Reporter
from benchmark.encoding.encode_files import encode_files, open_files
from encoders.features import Mfcc
reporter, encoder = Reporter(), Mfcc()
short, long, output = map(Path, sys.argv[1:])
encode_files(open_files([short], encoder, reporter), encoder, output, reporter)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows, dim = encode_files(open_files([long], encoder, reporter), encoder, output, reporter)
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def growth(tmp_path: Path, minutes: int) -> tuple[int, float]:
    """Rows, and by how much peak memory grows from encoding four minutes to encoding `minutes` of them [MiB]."""
    rng = np.random.default_rng(0)
    files = [tmp_path / "short.wav", tmp_path / "long.wav"]
    for file, length in zip(files, (4, minutes), strict=True):
        with soundfile.SoundFile(file, "w", 8_000, 1) as audio:
            for _ in range(length):
                audio.write(rng.integers(-8_000, 8_000, 60 * 8_000).astype(np.int16))
    command = [sys.executable, "-c", MEASURE, *map(str, files), str(tmp_path / "out.npz")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, kilobytes = map(int, result.stdout.split())
    return rows, kilobytes / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units")
def test_twenty_minutes_take_the_memory_of_four(tmp_path):
    """As a whole they would be 50 MiB of int16 at 22,050 Hz and 101 MiB of float32."""
    rows, megabytes = growth(tmp_path, 20)
    assert rows == 20
    assert megabytes < 48


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units")
def test_an_hour_takes_the_memory_of_four_minutes(tmp_path):
    """As a whole it would be 151 MiB of int16 at 22,050 Hz and 303 MiB of float32."""
    rows, megabytes = growth(tmp_path, 60)
    assert rows == 60
    assert megabytes < 48
