"""Decoding: the faults of real files, the journal, and the samples themselves."""

import os
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from conftest import make_mtt, tone, write_mp3

from benchmark.audio.audio_source import Undecodable
from benchmark.audio.decoding import add_channels, decode, decode_blocks, decoded_length, to_int16
from benchmark.audio.one_shots import one_shot_seconds
from benchmark.audio.worker_decoding import PlannedClip, decode_all
from benchmark.console import Reporter
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.registry import Named
from benchmark.steps import KINDS, prepare
from benchmark.store.pcm import open_pcm
from tasks import DatasetError
from tasks.base import Clip
from tasks.magnatagatune import MagnaTagATune


def prepared(root: Path, work: Path, reporter: Reporter | None = None):
    entry = DatasetEntry.model_validate({"class": "tasks.magnatagatune:MagnaTagATune"})
    named = Named("magnatagatune", entry, Path("registry.yaml"), 1)
    step = KINDS["prepare"].step({"sample_rate": 22_050}, {}, "decode", {"dataset": named, "root": root})
    work.mkdir(exist_ok=True)
    facts = prepare.compute(step, {}, work, reporter or Reporter())
    return facts, open_pcm(work, {"spec": step.spec})


def test_every_broken_file_is_named_with_its_reason(tmp_path):
    root = tmp_path / "magnatagatune"
    files = make_mtt(root, {"0": 12}, seconds=3.0)
    good = {clip: path.read_bytes() for clip, path in files.items()}
    files["1"].write_bytes(b"")
    files["2"].write_bytes(good["2"][: len(good["2"]) // 2])  # cut short
    files["3"].write_bytes(good["3"][:1_752] if len(good["3"]) > 1_752 else good["3"][:600])  # stub
    files["4"].write_text("<html>not found</html>" * 100)
    soundfile.write(files["5"], tone(3, 16_000, 5), 16_000, format="WAV")  # WAV named .mp3
    files["6"].unlink()
    write_mp3(files["7"], np.stack([tone(3, 44_100, 7), tone(3, 44_100, 8)], axis=1), 44_100)
    write_mp3(files["8"], tone(3, 11_025, 8), 11_025)
    header = bytearray(good["9"])
    soundfile.write(files["9"], tone(3, 16_000, 9), 16_000, format="WAV")
    header = bytearray(files["9"].read_bytes())
    header[:44] = bytes(44)
    files["9"].write_bytes(bytes(header))
    write_mp3(files["10"], np.zeros(48_000, np.float32), 16_000)
    files["11"].unlink()
    files["11"].mkdir()

    facts, pcm = prepared(root, tmp_path / "work")

    reasons = {problem.id: (problem.reason.split(" (")[0].split(":")[0], problem.used) for problem in pcm.problems}
    assert reasons == {
        "1": ("empty file", False),
        "2": ("cut short", True),
        "3": ("stub", False),
        "4": ("not readable as audio", False),
        "6": ("missing", False),
        "9": ("not readable as audio", False),
        "10": ("digital silence", True),
        "11": ("not readable as audio", False),
    }
    assert [clip.id for clip in pcm.clips] == ["2", "5", "7", "8", "10", "12"]
    assert facts["unusable"] == 6
    assert facts["odd"] == 2
    lengths = {clip.id: clip.samples / 22_050 for clip in pcm.clips}
    for clip in ("5", "7", "8", "12"):
        assert lengths[clip] == pytest.approx(3.0, abs=0.11)  # MP3 pads to whole frames
    assert 1.0 <= lengths["2"] < 2.5
    assert not pcm.waveform(pcm.clips[4]).any()


def test_samples_are_those_of_the_reference_decoder(tmp_path):
    stereo = np.stack([tone(2, 44_100, 1), tone(2, 44_100, 2)], axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, 44_100, subtype="FLOAT")
    expected = soxr.resample(stereo.mean(axis=1), 44_100, 22_050)
    found = decode(tmp_path / "x.wav", 22_050).pcm
    assert found.dtype == np.int16
    np.testing.assert_allclose(found / 32_767, expected, atol=1.01 / 32_767)


def test_no_resampling_where_none_is_needed(tmp_path):
    samples = tone(1.5, 22_050, 3)
    soundfile.write(tmp_path / "x.wav", samples, 22_050, subtype="FLOAT")
    assert np.array_equal(decode(tmp_path / "x.wav", 22_050).pcm, to_int16(samples))


def test_the_sum_of_many_channels():
    frames = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    np.testing.assert_allclose(add_channels(frames, np.empty(100, np.float32)), frames.sum(axis=1), atol=1e-6)


def test_blocks_join_seamlessly(tmp_path):
    """Nine seconds are a dozen blocks; resampled whole or block by block, every sample is the same."""
    stereo = np.stack([tone(9, 44_100, 1), tone(9, 44_100, 2)], axis=1)
    for suffix in ("wav", "mp3", "flac", "ogg"):
        path = tmp_path / f"x.{suffix}"
        soundfile.write(path, stereo, 44_100)
        for rate in (22_050, 16_000, 44_100):
            frames, _ = soundfile.read(path, dtype="float32")
            mono = (frames[:, 0] + frames[:, 1]) * np.float32(0.5)
            expected = to_int16(mono if rate == 44_100 else soxr.resample(mono, 44_100, rate))
            assert np.array_equal(decode(path, rate).pcm, expected)
            blocks = list(decode_blocks(path, rate))
            assert len(blocks) > 8
            assert np.array_equal(np.concatenate(blocks), expected)
            assert decoded_length(path, rate) == len(expected)


@pytest.mark.parametrize(
    ("suffix", "subtype", "channels", "steps"),
    [
        ("au", "PCM_16", 1, 2**15),
        ("wav", "PCM_U8", 1, 2**7),
        ("wav", "PCM_24", 1, 2**23),
        ("wav", "FLOAT", 6, 2**23),
        ("aiff", "PCM_16", 3, 2**15),
        ("flac", "PCM_24", 2, 2**23),
    ],
)
def test_formats_depths_and_channels(tmp_path, suffix, subtype, channels, steps):
    frames = np.stack([tone(2, 22_050, n) for n in range(channels)], axis=1)
    path = tmp_path / f'It\'s "odd" [live] (2) — ñ.{suffix}'
    soundfile.write(path, frames, 22_050, subtype=subtype)
    found = decode(path, 22_050)
    assert found.remark == ""
    np.testing.assert_allclose(found.pcm / 32_767, frames.mean(axis=1), atol=1 / steps + 1 / 32_767)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bytes(4) + b"ftypM4A " + bytes(5000), "not readable as audio (an MP4 file)"),
        (b"<!DOCTYPE html><html></html>", "not readable as audio (a web page or other markup)"),
        (b"PK\3\4" + bytes(500), "not readable as audio (a zip archive)"),
        (bytes(5000), "not readable as audio (its header is all zeros)"),
        (bytes(44) + b"\xff\xfb\x90\0" + bytes(5000), "not readable as audio (its header is all zeros)"),
        (b"", "empty file (0 bytes)"),
        (None, "missing"),
    ],
)
def test_what_is_no_audio_is_called_what_it_is(tmp_path, content, reason):
    path = tmp_path / "x.mp3"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Undecodable) as error:
        decode(path, 22_050)
    assert str(error.value) == reason


def test_a_folder_in_the_place_of_a_file_is_called_one(tmp_path):
    (tmp_path / "x.mp3").mkdir()
    with pytest.raises(Undecodable, match=r"^not readable as audio \(Is a directory\)$"):
        decode(tmp_path / "x.mp3", 22_050)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(2, 16_000, 1), 16_000)
    (tmp_path / "x.wav").chmod(0)
    with pytest.raises(Undecodable, match=r"^not readable as audio \(Permission denied\)$"):
        decode(tmp_path / "x.wav", 22_050)


def test_stubs_are_told_by_the_promised_length_or_by_a_minimum_without_one(tmp_path):
    path = tmp_path / "x.mp3"
    write_mp3(path, tone(3, 44_100, 1), 44_100)
    stub = path.read_bytes()[:1_752]
    path.write_bytes(stub)
    for promised in (None, 29.1):
        with pytest.raises(Undecodable, match=r"stub: only 0\.\d+ s decode from 1752 bytes"):
            decode(path, 22_050, promised)
    soundfile.write(tmp_path / "x.wav", tone(2, 16_000, 1), 16_000)
    with pytest.raises(Undecodable, match=r"stub: only 2\.000 s"):
        decode(tmp_path / "x.wav", 16_000, 29.1)
    assert decode(tmp_path / "x.wav", 16_000, 15.0).remark == "cut short: 2.0 s of 15.0 s"
    assert decode(tmp_path / "x.wav", 16_000).remark == ""
    soundfile.write(tmp_path / "short.wav", tone(0.5, 16_000, 1), 16_000)
    assert len(decode(tmp_path / "short.wav", 16_000, 0.5).pcm) == 8_000


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac", "ogg", "mp3"])
def test_a_whole_file_may_be_shorter_than_a_second_and_half_of_one_may_not(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, tone(0.3, 44_100, 1), 44_100)
    assert len(decode(path, 22_050).pcm) == pytest.approx(0.3 * 22_050, abs=1)
    assert one_shot_seconds(path) == pytest.approx(0.3, abs=1e-3)
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])
    with pytest.raises(Undecodable, match="stub: only 0|not readable"):
        decode(path, 22_050)
    soundfile.write(path, tone(3, 44_100, 1), 44_100)
    assert one_shot_seconds(path) is None


def test_odd_levels_are_remarked_and_used(tmp_path):
    path = tmp_path / "x.wav"
    remarks = {}
    loud = 3 * tone(2, 16_000, 1)
    for name, samples in (("quiet", 2e-4 * loud), ("loud", 8 * loud), ("a few peaks", loud)):
        soundfile.write(path, np.clip(samples, -1, 1), 16_000, subtype="PCM_24")
        found = decode(path, 16_000)
        remarks[name] = found.remark
        assert len(found.pcm) == 32_000
    peak = -20 * np.log10(np.abs(2e-4 * loud).max())
    assert remarks["quiet"] == f"nearly silent: its peak lies {peak:.0f} dB below full scale"
    share = np.mean(np.abs(8 * loud) >= 1)
    assert remarks["loud"] == f"clipped: {share:.1%} of its samples are at full scale"
    assert remarks["a few peaks"] == ""


def test_decoders_are_silent_in_worker_processes_and_where_the_user_reads(tmp_path):
    path = tmp_path / "x.mp3"
    write_mp3(path, tone(3, 44_100, 1), 44_100)
    content = path.read_bytes()
    path.write_bytes(content[:3_000] + os.urandom(2_000) + content[5_000:8_000])
    script = (
        "import sys; from pathlib import Path; from benchmark.audio.audio_source import Undecodable\n"
        "from benchmark.audio.decoding import decode_blocks\n"
        "try: print(sum(map(len, decode_blocks(Path(sys.argv[1]), 22_050))))\n"
        "except Undecodable as error: print(error)\n"
        "print('heard', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert done.stderr == "heard\n"


def test_loud_samples_are_clipped_not_wrapped():
    assert to_int16(np.array([1.5, -1.5, 0.5], np.float32)).tolist() == [32_767, -32_767, 16_384]


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    samples = tone(2, 16_000, 0)
    samples[100] = np.nan
    soundfile.write(tmp_path / "x.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(Undecodable, match="not finite"):
        decode(tmp_path / "x.wav", 22_050)


class Interrupting(Reporter):
    """Presses Ctrl-C when a number of clips is written."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    @contextmanager
    def progress(self, *_):
        def advance(_):
            self.after -= 1
            if not self.after:
                raise KeyboardInterrupt

        yield advance


def test_an_interrupted_preparation_goes_on(tmp_path):
    root = tmp_path / "magnatagatune"
    files = make_mtt(root, {"0": 9})
    files["3"].write_bytes(b"")
    _, whole = prepared(root, tmp_path / "whole")

    work = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        prepared(root, work, Interrupting(after=5))
    assert len((work / prepare.JOURNAL).read_text().splitlines()) == 5
    # A kill can leave half a line, and half a clip of samples, besides.
    with (work / prepare.JOURNAL).open("a") as journal:
        journal.write('{"clip": {"id": "6", "pa')
    with (work / "pcm.int16").open("ab") as samples:
        samples.write(b"x" * 777)
    for path in list(files.values())[:2]:
        path.unlink()  # clips already in the journal are not read again
    _, resumed = prepared(root, work)
    assert [c.digest for c in resumed.clips] == [c.digest for c in whole.clips]
    assert np.array_equal(resumed.samples, whole.samples)
    assert resumed.problems == whole.problems
    assert sorted(os.listdir(work)) == ["clips.jsonl", "journal.jsonl", "pcm.int16", "problems.jsonl"]


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    """Peak resident memory of the process that writes: 20 and 200 clips of 10 s, 9 and 88 MB decoded."""
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, tone(10, 22_050, 1), 22_050)
    script = tmp_path / "memory.py"
    script.write_text(
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from benchmark.console import Reporter\n"
        "from benchmark.registry.entries import DatasetEntry\n"
        "from benchmark.registry.registry import Named\n"
        "from benchmark.steps import prepare\n"
        "if __name__ == '__main__':\n"
        "    entry = DatasetEntry.model_validate({'class': 'tasks.folder:AudioFolder'})\n"
        "    context = {'dataset': Named('x', entry, Path('r'), 1), 'root': Path(sys.argv[1])}\n"
        "    step = prepare.KIND.step({'sample_rate': 22_050}, {}, 'decode', context)\n"
        "    facts = prepare.compute(step, {}, Path(sys.argv[2]), Reporter())\n"
        "    print(facts['clips'], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    peaks = {}
    for count in (20, 200):
        root = tmp_path / str(count)
        root.mkdir()
        for number in range(count):
            (root / f"{number}.wav").hardlink_to(clip)
        work = tmp_path / f"work-{count}"
        work.mkdir()
        command = [sys.executable, script, root, work]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        clips, peaks[count] = map(int, done.stdout.split())
        assert clips == count
    assert peaks[200] - peaks[20] < 30, peaks


def test_a_file_that_kills_the_decoder_is_told_from_its_neighbours(tmp_path):
    root = tmp_path / "magnatagatune"
    make_mtt(root, {"0": 6})
    dataset_clips = MagnaTagATune(root).clips()
    clips = [*dataset_clips[:2], _Deadly(dataset_clips[2]), *dataset_clips[3:]]
    outcomes = list(decode_all(root, list(map(PlannedClip, clips)), 22_050))
    assert [outcome.failure for outcome in outcomes] == ["", "", "crashes the decoder", "", "", ""]


class _Deadly:
    """Stands for a clip; reading its path ends the worker process, as a crash in a decoder does."""

    def __init__(self, clip):
        self.id = clip.id
        self.seconds = None

    @property
    def path(self):
        os._exit(11)


@pytest.mark.parametrize(
    "name", ["whole.wav", "whole.flac", "other-rate.wav", "other-rate.flac", "song.mp3", "song.ogg"]
)
@pytest.mark.parametrize("excerpt", [(0.0, 1.0), (1.23456, 4.0), (3.3, 7.77777), (5.0, 8.0)])
def test_an_excerpt_is_a_slice_of_the_whole_file(tmp_path, name, excerpt):
    file, rate = tmp_path / name, 16_000
    wave = 0.3 * np.random.default_rng(0).standard_normal((8 * 22_050, 2)).astype(np.float32).cumsum(axis=0) / 30
    wave = np.sin(wave)
    if name.endswith("mp3"):
        write_mp3(file, wave, 22_050)
    else:
        soundfile.write(
            file, wave[: 8 * rate] if name.startswith("whole") else wave, rate if "whole" in name else 22_050
        )
    every = decode(file, rate).pcm
    found = decode(file, rate, excerpt[1] - excerpt[0], excerpt)
    begin, end = (round(bound * rate) for bound in excerpt)
    assert np.array_equal(found.pcm, every[begin:end])
    assert len(found.pcm) == end - begin
    assert found.remark == ""


def test_an_excerpt_beyond_the_end_of_its_file_is_a_problem(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(3, 16_000, 0), 16_000)
    found = decode(tmp_path / "a.wav", 16_000, 2.0, (2.0, 4.0))
    assert len(found.pcm) == 16_000
    assert found.remark == "cut short: the file ends 1.0 s before the excerpt does, at 4 s"
    for rate in (16_000, 8_000):
        with pytest.raises(Undecodable, match=r"excerpt: begins at 3.5 s, and the file ends at 3.0 s"):
            decode(tmp_path / "a.wav", rate, 2.0, (3.5, 4.0))
    with pytest.raises(Undecodable, match="missing"):
        decode(tmp_path / "b.wav", 16_000, 2.0, (0.0, 2.0))


def test_an_excerpt_costs_its_own_memory(tmp_path):
    """Ten seconds of ten minutes, read and resampled, hold far less than the file."""
    soundfile.write(tmp_path / "long.flac", np.tile(tone(10, 44_100, 0), 60), 44_100)
    tracemalloc.start()
    decode(tmp_path / "long.flac", 22_050, 10.0, (300.0, 310.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2 * 10 * 22_050 + (1 << 21)


@pytest.mark.parametrize("excerpt", [(-1.0, 2.0), (2.0, 2.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_an_excerpt_that_is_none_is_refused(excerpt):
    with pytest.raises(DatasetError, match="clip a: its excerpt must begin at 0 s or later and end after that"):
        Clip("a", "a.wav", None, excerpt=excerpt)
