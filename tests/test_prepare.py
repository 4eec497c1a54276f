"""Decoding: the faults of real files, the journal, and the samples themselves."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from conftest import make_mtt, tone, write_mp3

from benchmark.audio import Undecodable, decode, downmix, to_int16
from benchmark.console import Reporter
from benchmark.entries import DatasetEntry
from benchmark.pcm import open_pcm
from benchmark.plan import Step
from benchmark.registry import Named
from benchmark.steps import prepare


def prepared(root: Path, work: Path):
    entry = DatasetEntry.model_validate({"class": "tasks.magnatagatune:MagnaTagATune"})
    named = Named("magnatagatune", entry, Path("registry.yaml"), 1)
    step = Step("prepare", {"sample_rate": 22_050}, {}, "decode", {"dataset": named, "root": root})
    work.mkdir(exist_ok=True)
    facts = prepare.compute(step, {}, work, Reporter())
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


def test_downmix_of_many_channels():
    frames = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    np.testing.assert_allclose(downmix(frames), frames.mean(axis=1), atol=1e-6)


def test_loud_samples_are_clipped_not_wrapped():
    assert to_int16(np.array([1.5, -1.5, 0.5], np.float32)).tolist() == [32_767, -32_767, 16_384]


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    samples = tone(2, 16_000, 0)
    samples[100] = np.nan
    soundfile.write(tmp_path / "x.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(Undecodable, match="not finite"):
        decode(tmp_path / "x.wav", 22_050)


def test_an_interrupted_preparation_goes_on(tmp_path):
    root = tmp_path / "magnatagatune"
    files = make_mtt(root, {"0": 9})
    files["3"].write_bytes(b"")
    _, whole = prepared(root, tmp_path / "whole")

    work = tmp_path / "part"
    work.mkdir()
    # What a kill leaves: some clips journalled, then half a clip of samples and half a line.
    journal = []
    original = Path.unlink
    prepared_lines = _journal_of(root, tmp_path / "spy", monkeypatched=original)
    journal = prepared_lines[:5]
    end = max(2 * (entry["clip"]["start"] + entry["clip"]["samples"]) for entry in journal if entry["clip"])
    import json

    (work / prepare.JOURNAL).write_text("".join(json.dumps(e) + "\n" for e in journal) + '{"clip": {"id": "6", "pa')
    (work / "pcm.int16").write_bytes((tmp_path / "whole" / "pcm.int16").read_bytes()[: end + 777])
    for path in list(files.values())[:2]:
        original(path)  # clips already in the journal are not read again
    _, resumed = prepared(root, work)
    assert [c.digest for c in resumed.clips] == [c.digest for c in whole.clips]
    assert np.array_equal(resumed.samples, whole.samples)
    assert resumed.problems == whole.problems
    assert sorted(os.listdir(work)) == ["clips.jsonl", "pcm.int16", "problems.jsonl"]


def _journal_of(root: Path, work: Path, monkeypatched) -> list[dict]:
    """Entries that a preparation journals, read just before it removes the journal."""
    import json

    kept: list[dict] = []
    with pytest.MonkeyPatch.context() as patch:

        def keep(self, missing_ok=False):
            if self.name == prepare.JOURNAL:
                kept.extend(json.loads(line) for line in self.read_text().splitlines())
            monkeypatched(self, missing_ok=missing_ok)

        patch.setattr(Path, "unlink", keep)
        prepared(root, work)
    return kept


def test_a_file_that_kills_the_decoder_is_told_from_its_neighbours(tmp_path):
    root = tmp_path / "magnatagatune"
    make_mtt(root, {"0": 6})
    dataset_clips = prepare.load_class(
        Named("m", DatasetEntry.model_validate({"class": "tasks.magnatagatune:MagnaTagATune"}), Path("r.yaml"), 1)
    )(root).clips()
    outcomes = list(
        prepare._decode_all(root, [*dataset_clips[:2], _Deadly(dataset_clips[2]), *dataset_clips[3:]], 22_050)
    )
    assert [outcome.failure for outcome in outcomes] == ["", "", "crashes the decoder", "", "", ""]


class _Deadly:
    """Stands for a clip; reading its path ends the worker process, as a crash in a decoder does."""

    def __init__(self, clip):
        self.id = clip.id
        self.seconds = None

    @property
    def path(self):
        os._exit(11)
