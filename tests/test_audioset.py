"""AudioSet's published tables, audio as people have cut it, and a stand-in whose sounds are told apart."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from tasks import DatasetError
from tasks.audioset import BALANCED, CLASSES, EVALUATION, UNBALANCED, AudioSet, is_held_out
from tasks.standin import audioset as standin
from tasks.standin.sounds import KINDS, sound

HEADER = (
    "# num_ytids=2, num_segs=2, num_unique_labels=2, num_positive_labels=3\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
)


def copy(root, balanced=(), evaluation=(), unbalanced=(), audio=()):
    (root / "audio").mkdir(parents=True)
    with (root / CLASSES).open("w", newline="") as file:
        names = ["Speech", "Male speech, man speaking", "Dog"]
        csv.writer(file).writerows(
            [("index", "mid", "display_name"), *((i, f"/m/{i}", n) for i, n in enumerate(names))]
        )
    for name, lines in ((BALANCED, balanced), (EVALUATION, evaluation), (UNBALANCED, unbalanced)):
        if lines:
            (root / name).write_text(HEADER + "".join(f"{line}\n" for line in lines))
    for name in audio:
        path = root / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return AudioSet(root)


LINES = ['--aE2O5G5WE, 0.000, 10.000, "/m/0,/m/2"', 'YbcDeFgHiJk, 30.000, 38.500, "/m/1"']


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["--aE2O5G5WE.wav", "YbcDeFgHiJk.flac"], ["audio/--aE2O5G5WE.wav", "audio/YbcDeFgHiJk.flac"]),
        (["Y--aE2O5G5WE.wav", "YYbcDeFgHiJk.wav"], ["audio/Y--aE2O5G5WE.wav", "audio/YYbcDeFgHiJk.wav"]),
        (
            ["eval/--aE2O5G5WE_0_10000.flac", "x/y/YbcDeFgHiJk_30.000.wav"],
            ["audio/eval/--aE2O5G5WE_0_10000.flac", "audio/x/y/YbcDeFgHiJk_30.000.wav"],
        ),
        (["--aE2O5G5WEx.wav", "other.txt"], ["audio/--aE2O5G5WE.wav", "audio/YbcDeFgHiJk.wav"]),
    ],
    ids=["plain", "prefix", "times", "none"],
)
def test_audio_is_found_under_the_names_it_is_cut_as(names, expected, tmp_path):
    dataset = copy(tmp_path / "audioset", evaluation=LINES, audio=names)
    dataset.check()
    assert [clip.path for clip in dataset.clips()] == expected
    assert [(clip.id, clip.seconds, clip.split) for clip in dataset.clips()] == [
        ("--aE2O5G5WE", 10.0, "test"),
        ("YbcDeFgHiJk", 8.5, "test"),
    ]


def test_labels_are_tags_in_the_order_of_their_table_and_a_part_of_training_validates(tmp_path):
    videos = [f"video{n:06}" for n in range(400)]
    train = [f'{video}, 0.000, 10.000, "/m/{n % 3}"' for n, video in enumerate(videos[:300])]
    more = [f'{video}, 0.000, 10.000, "/m/0,/m/1"' for video in videos[300:]]
    dataset = copy(tmp_path / "audioset", balanced=train, unbalanced=more, evaluation=LINES)
    task = dataset.task()
    assert task.label_names == ("Speech", "Male speech, man speaking", "Dog")
    assert len(task.clip_ids) == 302
    assert task.labels[list(task.clip_ids).index("--aE2O5G5WE")].tolist() == [1, 0, 1]
    splits = dict(zip(task.clip_ids, task.splits.tolist(), strict=True))
    assert {video for video in videos[:300] if splits[video] == "valid"} == {v for v in videos[:300] if is_held_out(v)}
    assert 5 <= Counter(splits.values())["valid"] <= 28
    assert len(dataset.task(train="all").clip_ids) == 402
    with pytest.raises(DatasetError, match="train must be 'balanced' or 'all', not 'none'"):
        dataset.task(train="none")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--aE2O5G5WE, 0.000, 10.000", "3: 3 fields where a segment has four"),
        ("short, 0.000, 10.000, \"/m/0\"", "3: 'short' is no id of a video"),
        ("--aE2O5G5WE, zero, 10.000, \"/m/0\"", "3: 'zero' and '10.000' are no beginning and end"),
        ("--aE2O5G5WE, 10.000, 10.000, \"/m/0\"", "3: the segment from 10.000 to 10.000 s has no length"),
        ("--aE2O5G5WE, nan, 10.000, \"/m/0\"", "3: the segment from nan to 10.000 s has no length"),
        ("--aE2O5G5WE, 0.000, 10.000, \"/m/9\"", "3: label '/m/9' is not in class_labels_indices.csv"),
        ("--aE2O5G5WE, 0.000, 10.000, \"\"", "3: the segment has no label"),
        (f"{LINES[0]}\n{LINES[0]}", "4: video --aE2O5G5WE is there twice"),
        ('--aE2O5G5WE, 0.000, 10.000, "/m/0', "3: unexpected end of data"),
    ],
)  # fmt: skip
def test_lines_that_mean_nothing_are_named(line, said, tmp_path):
    with pytest.raises(DatasetError, match=f"eval_segments.csv:{said}"):
        copy(tmp_path / "audioset", evaluation=[line]).clips()


def test_what_is_missing_is_named_one_by_one(tmp_path):
    dataset = copy(tmp_path / "audioset", evaluation=LINES)
    dataset.check()
    (dataset.root / "audio").rmdir()
    with pytest.raises(DatasetError, match="audio: no such folder"):
        AudioSet(dataset.root).check()
    (dataset.root / EVALUATION).unlink()
    with pytest.raises(DatasetError, match="none of balanced_train_segments.csv, .*eval_segments.csv is there"):
        AudioSet(dataset.root).check()


def test_the_standins_labels_are_those_of_its_sounds_and_every_split_has_each():
    segments = standin.compose(0)
    assert Counter(segment.table for segment in segments) == standin.SEGMENTS
    split = [
        "test" if segment.table == EVALUATION else "valid" if is_held_out(segment.video) else "train"
        for segment in segments
    ]
    assert Counter(split) == {"train": 156, "valid": 24, "test": 60}
    for name in ("train", "valid", "test"):
        heard = {kind for segment, own in zip(segments, split, strict=True) if own == name for kind in segment.sounds}
        assert heard == {*KINDS, standin.MUSIC}
    assert segments == standin.compose(0) != standin.compose(1)


def test_sounds_are_told_apart_by_their_spectra():
    def described(kind, seed):
        samples = sound(kind, np.random.default_rng(seed), 2.5, 16_000)
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.1)
        frames = np.abs(np.fft.rfft(samples[: 62 * 512].reshape(62, 512) * np.hanning(512), axis=1)) ** 2
        bands = np.log(frames.reshape(62, -1)[:, 1:].reshape(62, 16, 16).sum(axis=2) + 1e-8)
        return np.concatenate([bands.mean(axis=0), bands.std(axis=0), np.abs(np.diff(bands, axis=0)).mean(axis=0)])

    train = [(described(kind, seed), kind) for kind in KINDS for seed in range(12)]
    test = [(described(kind, seed), kind) for kind in KINDS for seed in range(12, 18)]
    features, kinds = np.array([x for x, _ in train]), np.array([kind for _, kind in train])
    scale = features.std(axis=0)
    right = [kinds[np.square((features - x) / scale).sum(axis=1).argmin()] == kind for x, kind in test]
    assert np.mean(right) > 0.8
    np.testing.assert_array_equal(
        sound("rain", np.random.default_rng(3), 1, 8_000), sound("rain", np.random.default_rng(3), 1, 8_000)
    )
