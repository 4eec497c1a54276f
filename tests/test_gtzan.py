"""GTZAN's loader: the layouts in circulation, the two splits, and files that are missing, broken or foreign."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import bench, tone

from benchmark.audio.audio_source import Undecodable
from benchmark.audio.decoding import decode
from tasks import DatasetError
from tasks.gtzan import EXCERPTS, GENRES, SPLIT_LIST, Gtzan

SHARED = Path(__file__).parents[2] / "shared" / "datasets"


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return Gtzan(root)


def path_of(dataset, clip_id):
    return {clip.id: clip.path for clip in dataset.clips()}[clip_id]


def unnamed(dataset):
    named = {dataset.root / clip.path for clip in dataset.clips()}
    return [file.relative_to(dataset.root).as_posix() for file in dataset.audio_files() if file not in named]


@pytest.mark.parametrize("home", ["genres/", "genres_original/", "Data/genres_original/", "gtzan_genre/genres/", ""])
@pytest.mark.parametrize("suffix", [".wav", ".au", ".WAV", ".flac"])
def test_every_layout_in_circulation_is_read(tmp_path, home, suffix):
    dataset = touch(tmp_path, f"{home}blues/blues.00007{suffix}", f"{home}rock/rock.00099{suffix}")
    dataset.check()
    assert path_of(dataset, "blues.00007") == f"{home}blues/blues.00007{suffix}"
    # What is missing is said to belong beside what is there, in the same format.
    assert path_of(dataset, "jazz.00054") == f"{home}jazz/jazz.00054{suffix}"
    assert unnamed(dataset) == []
    assert len(dataset.audio_files()) == 2


@pytest.mark.parametrize("folder", ["hiphop", "hip-hop", "hip_hop", "Hip-Hop"])
@pytest.mark.parametrize("name", ["hiphop", "hip-hop"])
def test_hip_hop_is_hiphop(tmp_path, folder, name):
    dataset = touch(tmp_path, f"genres/{folder}/{name}.00003.wav")
    assert path_of(dataset, "hiphop.00003") == f"genres/{folder}/{name}.00003.wav"
    assert "hiphop.00003" in dataset.task(faulty="keep").clip_ids


def test_one_copy_is_read_and_the_rest_is_not_named(tmp_path):
    dataset = touch(
        tmp_path,
        "genres/blues/blues.00000.au",
        "genres/blues/blues.00000.wav",
        "genres/blues/blues.00001.au",
        "genres/blues/blues.00100.wav",
        "genres/blues/blues.1.wav",
        "genres/blues/jazz.00001.wav",
        "genres/blues/blues.00002.txt",
        "genres/bextract_single.mf",
        "Data/genres_original/jazz/jazz.00002.wav",
        "notes.txt",
    )
    assert path_of(dataset, "blues.00000") == "genres/blues/blues.00000.wav"
    assert path_of(dataset, "blues.00001") == "genres/blues/blues.00001.au"
    assert path_of(dataset, "jazz.00002") == "genres/jazz/jazz.00002.wav"
    assert unnamed(dataset) == [
        "Data/genres_original/jazz/jazz.00002.wav",
        "genres/bextract_single.mf",
        "genres/blues/blues.00000.au",
        "genres/blues/blues.00002.txt",
        "genres/blues/blues.00100.wav",
        "genres/blues/blues.1.wav",
        "genres/blues/jazz.00001.wav",
    ]


def test_all_thousand_are_clips_and_three_kinds_of_split(tmp_path):
    clips = touch(tmp_path, "genres/pop/pop.00000.wav").clips()
    assert [clip.id for clip in clips] == [f"{genre}.{number:05d}" for genre in GENRES for number in range(100)]
    assert Counter(clip.split for clip in clips) == {"train": 443, "valid": 197, "test": 290, None: 70}


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, {"train": 443, "valid": 197, "test": 290}),
        ({"faulty": "drop"}, {"train": 443, "valid": 197, "test": 290}),
        ({"faulty": "keep"}, {"train": 478, "valid": 211, "test": 311}),
    ],
)
def test_sizes_of_both_splits(tmp_path, options, sizes):
    task = Gtzan(tmp_path).task(**options)
    assert Counter(task.splits.tolist()) == sizes
    assert task.label_names == GENRES
    assert [GENRES[label] for label in task.labels[:, 0]] == [clip.split(".")[0] for clip in task.clip_ids]


def test_known_facts_of_the_filtered_split(tmp_path):
    task = Gtzan(tmp_path).task()
    tested = np.bincount(task.labels[task.splits == "test", 0])
    assert (tested.min(), tested.max()) == (26, 32)
    assert np.bincount(task.labels[task.splits == "valid", 0])[GENRES.index("pop")] == 13
    assert tested.max() / tested.sum() == pytest.approx(0.110, abs=5e-4)
    assert dict(zip(task.clip_ids, task.splits, strict=True))["jazz.00054"] == "train"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published lists are not at hand")
def test_the_shipped_list_is_the_published_ones(tmp_path):
    task, whole = Gtzan(tmp_path).task(), Gtzan(tmp_path).task(faulty="keep")
    for split in ("train", "valid", "test"):
        lines = (SHARED / "gtzan" / f"{split}_filtered.txt").read_text().split()
        published = {Path(line).stem for line in lines}
        assert {clip for clip, of in zip(task.clip_ids, task.splits, strict=True) if of == split} == published
    rows = [line.split("\t") for line in (SHARED / "kim2019" / "gtzan_1000.tsv").read_text().splitlines()]
    kim = {Path(path).stem: split for _, path, split, _ in rows}
    assert dict(zip(whole.clip_ids, whole.splits.tolist(), strict=True)) == kim
    removed = set((SHARED / "gtzan" / "removed_by_fault_filter.txt").read_text().split())
    assert set(whole.clip_ids) - set(task.clip_ids) == removed


def test_a_partial_copy_may_say_what_it_holds(tmp_path):
    dataset = touch(tmp_path, "genres/pop/pop.00000.wav", "genres/metal/metal.00001.wav")
    (tmp_path / EXCERPTS).write_bytes(b"pop.00000\r\nmetal.00002\r\n\r\n")
    assert [clip.id for clip in dataset.clips()] == ["metal.00002", "pop.00000"]
    assert dataset.task(faulty="keep").clip_ids == ("metal.00002", "pop.00000")
    assert [file.name for file in dataset.tables()] == [EXCERPTS]
    (tmp_path / EXCERPTS).write_text("pop.00000\npop.00100\n")
    with pytest.raises(DatasetError, match=r"excerpts\.txt:2: 'pop\.00100' is no excerpt"):
        Gtzan(tmp_path).clips()


def test_counts_are_of_the_files_that_are_there(tmp_path):
    dataset = touch(tmp_path, "genres/jazz/jazz.00054.wav", "genres/classical/classical.00042.wav")
    rows = {count.what: (count.published, count.found) for count in dataset.counts()}
    assert rows["excerpts"] == (1000, 2)
    assert rows["gtzan train clips"] == (443, 1)
    assert sum(found for what, (_, found) in rows.items() if what.startswith("gtzan-all ")) == 2


def test_complaints(tmp_path):
    with pytest.raises(DatasetError, match="faulty must be 'drop' or 'keep', not 'both'"):
        Gtzan(tmp_path).task(faulty="both")
    with pytest.raises(DatasetError, match="no option 'split'"):
        Gtzan(tmp_path).task(split="x")
    (tmp_path / "genres").mkdir()
    with pytest.raises(DatasetError, match="none of the genre folders blues to rock is there"):
        Gtzan(tmp_path).check()


def test_the_list_is_small_and_sorted():
    lines = SPLIT_LIST.read_text().splitlines()
    assert len(lines) == 1001
    assert lines[1:] == sorted(lines[1:])
    assert SPLIT_LIST.stat().st_size < 25_000


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Data folder with all test clips of two genres and some others, in several formats, and some broken files."""
    data = tmp_path_factory.mktemp("data")
    root = data / "gtzan"
    audio = tone(1.5, 22_050, 1)
    for clip in Gtzan(root).clips():
        genre, number = clip.id.split(".")
        if clip.split == "test" or int(number) % 20 == 4:
            file = root / "Data" / "genres_original" / genre / f"{clip.id}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            shifted = np.roll(audio, int(number))
            if genre == "rock":
                soundfile.write(file.with_suffix(".au"), shifted, 22_050, format="AU", subtype="PCM_16")
            else:
                soundfile.write(file, shifted, 22_050, subtype="PCM_16")
    jazz = root / "Data" / "genres_original" / "jazz" / "jazz.00054.wav"
    soundfile.write(jazz, audio, 22_050)
    jazz.write_bytes(bytes(44) + jazz.read_bytes()[44:])
    (root / "Data" / "genres_original" / "blues" / "blues.00004.wav").write_bytes(b"")
    return data


def test_a_broken_training_file_is_named_and_left_out(broken, tmp_path):
    result = bench("run", "--encoder", "mfcc", "--task", "gtzan", "--data", broken, "--store", tmp_path / "s", "--json")
    assert result.returncode == 0, result.stderr
    assert "Data/genres_original/jazz/jazz.00054.wav: not readable as audio" in result.stderr
    assert "Data/genres_original/blues/blues.00004.wav: empty file (0 bytes); left out" in result.stderr
    files = len(Gtzan(broken / "gtzan").audio_files())
    assert f"{1000 - files} clips are missing" in result.stderr
    (record,) = json.loads(result.stdout)
    assert record["n_expected"] == {"train": 443, "valid": 197, "test": 290}
    assert (record["n_scored"]["test"], record["test_clips_lost"]) == (290, {})
    assert set(record["metrics"]["macro_f1"]["per_label"]) == set(GENRES)


def test_au_and_zeroed_headers(broken):
    rock = next((broken / "gtzan").rglob("rock.*.au"))
    assert len(decode(rock, 22_050).pcm) == int(1.5 * 22_050)
    with pytest.raises(Undecodable, match="not readable as audio"):
        decode(broken / "gtzan/Data/genres_original/jazz/jazz.00054.wav", 22_050)
