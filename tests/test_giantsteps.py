"""GiantSteps' loader: on small trees in the genuine layout, and on the genuine annotations where they are at hand."""

import csv
import hashlib
import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tasks import DatasetError
from tasks.giantsteps import GiantSteps
from tasks.metrics import accuracy, key_weighted, key_weighted_mirex
from tasks.metrics.key import KEYS

GENUINE = Path(__file__).parents[2] / "shared" / "datasets"

TESTED = {"10089": "D major", "101069": "E minor", "99": "Db major"}
# Song -> key, confidence and comment, artists, title; as written in the published files.
TRAINED = {
    "5061": ("D# minor", "2", "", "Philippe Van Mullem", "Canopy"),
    "5881": ("A major", "2", "mixolydian scale", "Brainbashers, Lance Madden", "Realness"),
    "7217": ("C# major ", "2", "", "Lance Madden", "Try"),
    "8000": ("-", "0", "", "Nobody", "Noise"),
    "8001": ("F minor / G# major", "2", "", "Somebody", "Both"),
    "8002": ("A-A# minor", "0", "", "Somebody", "Between"),
    "8003": (" ", "0", "", "Somebody", "Nothing"),
    "8004": ("C minor", "1", "but\u2026 perhaps not", "Somebody", "Perhaps"),
    "9000": ("C minor", "2", "", "Öne", "Sure"),
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def write_tested(folder, keys=None):
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    for song, key in (keys or TESTED).items():
        # No line end, as published.
        write(folder / "annotations" / "key" / f"{song}.LOFI.key", key)
        header = "#@format: key\ttimestamp(float)\tkey(string)\n"
        write(folder / "annotations" / "giantsteps" / f"{song}.LOFI.key", f"{header}key 0 {key}\n")


def write_trained(folder, songs=None, table=True, files=True):
    songs = songs or TRAINED
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    notes = folder / "annotations"
    rows = ["ID\tARTIST\tSONG TITLE\tMIX", *(f"{song}\t{row[3]}\t{row[4]}\tOriginal" for song, row in songs.items())]
    write(notes / "beatport_metadata.txt", "\n".join(rows) + "\n")
    if table:
        rows = ["ID\tMANUAL KEY\tC", *(f"{song}\t{row[0]}\t{row[1]}" for song, row in songs.items())]
        write(notes / "annotations.txt", "\n".join(rows) + "\n")
    if files:
        for song, (key, confidence, comment, *_) in songs.items():
            fields = f"{key.lower()}\t{confidence}\t{comment}\n"
            write(notes / "key" / f"{song}.LOFI.key", fields)
            write(notes / "giantsteps" / f"{song}.LOFI.key", f"#@format: key\t...\nkey\t0\t{fields}")
        write(notes / "key" / "id.LOFI.key", "manual key\tc\tcomments\n")


def layout(root, key="giantsteps-key-dataset", mtg="giantsteps-mtg-key-dataset", **how):
    write_tested(root / key)
    write_trained(root / mtg, **how)
    return GiantSteps(root)


def lot(artist):
    return int(hashlib.sha1(artist.lower().encode()).hexdigest(), 16) % 116


@pytest.mark.parametrize(
    ("key", "mtg"),
    [
        ("giantsteps-key-dataset", "giantsteps-mtg-key-dataset"),
        ("giantsteps_key", "giantsteps_mtg_key"),
        ("giantsteps-key-dataset-c8cb8aad", "giantsteps-mtg-key-dataset-master"),
    ],
)
@pytest.mark.parametrize("how", [{}, {"table": False}, {"files": False}])
def test_reads_what_is_there(tmp_path, key, mtg, how):
    dataset = layout(tmp_path, key, mtg, **how)
    dataset.check()
    clips = {clip.id: clip for clip in dataset.clips()}
    assert set(clips) == {*TESTED, *TRAINED}
    assert clips["99"].path == f"{key}/audio/99.LOFI.mp3"
    assert clips["5061"].path == f"{mtg}/audio/5061.LOFI.mp3"
    assert all(clips[song].split == "test" for song in TESTED)
    unsure = {song for song in TRAINED if clips[song].split is None}
    assert unsure == {"8000", "8001", "8002", "8003", "8004"}
    assert clips["5881"].artist == "Brainbashers, Lance Madden"
    assert clips["5881"].recording == "Brainbashers, Lance Madden / Realness"

    task = dataset.task()
    assert task.kind == "multiclass"
    assert task.label_names == KEYS
    found = {song: KEYS[label] for song, label in zip(task.clip_ids, task.labels[:, 0], strict=True)}
    assert found == {**TESTED, "5061": "Eb minor", "5881": "A major", "7217": "Db major", "9000": "C minor"}
    assert task.groups.tolist() == list(task.clip_ids)


def test_classes_are_spelt_with_flats_majors_first():
    assert len(KEYS) == len(set(KEYS)) == 24
    assert (KEYS[0], KEYS[1], KEYS[11], KEYS[12], KEYS[23]) == ("C major", "Db major", "B major", "C minor", "B minor")


def test_the_split_keeps_artists_and_their_collaborators_together(tmp_path):
    names = [f"DJ {number}" for number in range(200)]
    alone = [name for name in names if lot(name) < 100]
    held_out = next(name for name in names if lot(name) >= 100)
    songs = {
        # Two steps from the artist that is held out, through songs in between.
        "1": ("C minor", "2", "", alone[0], "t"),
        "2": ("C minor", "2", "", f"{alone[0]}, {alone[1]}", "t"),
        "3": ("C minor", "2", "", f"{alone[1]}, {held_out.upper()}", "t"),
        "4": ("C minor", "2", "", alone[2], "t"),
        # In doubt, and still a link.
        "5": ("-", "0", "", f"{alone[3]}, {held_out}", "t"),
        "6": ("C minor", "2", "", alone[3], "t"),
    }
    write_tested(tmp_path / "giantsteps_key")
    write_trained(tmp_path / "giantsteps_mtg_key", songs)
    splits = {clip.id: clip.split for clip in GiantSteps(tmp_path).clips() if clip.id in songs}
    assert splits == {"1": "valid", "2": "valid", "3": "valid", "4": "train", "5": None, "6": "valid"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("annotations/annotations.txt", "ID\tMANUAL KEY\tC\n5061\tD minor\t2\n", "5061.LOFI.key:1: Eb minor with"),
        ("annotations/annotations.txt", "ID\tMANUAL KEY\tC\n5061\tD# minor\t1\n", "says Eb minor with confidence 1"),
        (
            "annotations/giantsteps/5061.LOFI.key",
            "#\nkey\t0\td minor\t2\t\n",
            "5061.LOFI.key:2: D minor with",
        ),
        (
            "annotations/annotations.txt",
            "ID\tMANUAL KEY\tC\n5061\tH minor\t2\n",
            "txt:2: 'H minor' is no key",
        ),
        ("annotations/annotations.txt", "ID\tMANUAL KEY\tC\n5061\tA\t2\n", "annotations.txt:2: 'A' is no key"),
        ("annotations/annotations.txt", "ID\tMANUAL KEY\tC\n5061\tA major\t\n", "the confidence must be 0, 1 or 2"),
        (
            "annotations/annotations.txt",
            "ID\tMANUAL KEY\tC\n1\t-\t0\n1\t-\t0\n",
            "txt:3: song 1 is already",
        ),
        ("annotations/annotations.txt", "ID\tMANUAL KEY\tC\nx\t-\t0\n", "annotations.txt:2: ID must be a number"),
        ("annotations/annotations.txt", "ID\tKEY\tC\n", "annotations.txt:1: no column 'MANUAL KEY'"),
        ("annotations/annotations.txt", "ID\tMANUAL KEY\tC\n42\tA minor\t2\n", "song 42 is not in"),
        ("annotations/annotations.txt", "ID\tMANUAL KEY\tC\n99\tA minor\t2\n", "song 99 is a test song too"),
        (
            "annotations/beatport_metadata.txt",
            "ID\tARTIST\tSONG TITLE\n1\t\tx\n",
            "metadata.txt:2: song 1 has",
        ),
        ("annotations/giantsteps/5061.LOFI.key", "#\nC minor\n", "5061.LOFI.key:2: must look like 'key 0 C minor'"),
    ],
)
def test_contradictions_and_malformed_files_are_named(tmp_path, file, content, message):
    dataset = layout(tmp_path)
    write(tmp_path / "giantsteps-mtg-key-dataset" / file, content)
    with pytest.raises(DatasetError) as raised:
        dataset.task()
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["-", "", "C minor / D minor"])
def test_a_test_song_needs_one_key(tmp_path, key):
    dataset = layout(tmp_path)
    write_tested(tmp_path / "giantsteps-key-dataset", {"99": key})
    with pytest.raises(DatasetError, match=r"99\.LOFI\.key:1: a test song must have a single key"):
        dataset.clips()


def test_two_copies_of_a_corpus_are_refused(tmp_path):
    dataset = layout(tmp_path)
    write_tested(tmp_path / "giantsteps_key")
    with pytest.raises(DatasetError, match="giantsteps-key-dataset and giantsteps_key are the same corpus"):
        dataset.check()


def test_check_names_what_is_missing_and_how_to_get_it(tmp_path):
    dataset = layout(tmp_path)
    dataset.check()
    for path, message in (
        ("giantsteps-mtg-key-dataset/annotations/beatport_metadata.txt", "no such table"),
        ("giantsteps-mtg-key-dataset/audio", "no such folder of audio"),
        ("giantsteps-mtg-key-dataset", "giantsteps-mtg-key-dataset: no such folder"),
        ("giantsteps-key-dataset/annotations", "annotations: holds no keys"),
    ):
        whole = tmp_path / path
        whole.unlink() if whole.is_file() else shutil.rmtree(whole)
        with pytest.raises(DatasetError, match=message) as raised:
            dataset.check()
        assert "audio_dl.sh" in str(raised.value)
    with pytest.raises(DatasetError, match="no option 'split'"):
        dataset.task(split="jukemir")


def test_checksums_are_those_of_the_tree(tmp_path):
    dataset = layout(tmp_path)
    assert dataset.checksums() == {}
    write(tmp_path / "giantsteps-key-dataset/md5/99.LOFI.md5", "4E7abe2aba492646a24971445325ea5b\n")
    write(tmp_path / "giantsteps-mtg-key-dataset/md5/5061.LOFI.md5", "fdd21098f7d2ed6845e593068e96be7f  5061.mp3\n")
    assert dataset.checksums() == {
        "giantsteps-key-dataset/audio/99.LOFI.mp3": "md5:4e7abe2aba492646a24971445325ea5b",
        "giantsteps-mtg-key-dataset/audio/5061.LOFI.mp3": "md5:fdd21098f7d2ed6845e593068e96be7f",
    }
    write(tmp_path / "giantsteps-key-dataset/md5/99.LOFI.md5", "<html>\n")
    with pytest.raises(DatasetError, match=r"99\.LOFI\.md5:1: must hold an MD5"):
        dataset.checksums()


@pytest.mark.skipif(not (GENUINE / "giantsteps_mtg_key").is_dir(), reason="the genuine annotations are not at hand")
class TestGenuineAnnotations:
    @pytest.fixture(scope="class")
    @staticmethod
    def dataset(tmp_path_factory):
        root = tmp_path_factory.mktemp("giantsteps")
        tested, trained = root / "giantsteps-key-dataset", root / "giantsteps-mtg-key-dataset"
        for row in csv.DictReader(io.StringIO((GENUINE / "giantsteps_key/giantsteps_key.csv").read_text())):
            write(tested / f"annotations/key/{row['id']}.LOFI.key", row["key"])
            write(tested / f"md5/{row['id']}.LOFI.md5", row["md5"] + "\n")
        for row in csv.DictReader(io.StringIO((GENUINE / "giantsteps_mtg_key/files.csv").read_text())):
            contents = row["key_file_contents"].replace("|", "\t") + "\n"
            write(trained / f"annotations/key/{row['id']}.LOFI.key", contents)
            write(trained / f"md5/{row['id']}.LOFI.md5", row["md5"] + "\n")
        for name in ("annotations.txt", "beatport_metadata.txt"):
            shutil.copyfile(GENUINE / "giantsteps_mtg_key" / name, trained / "annotations" / name)
        for folder in (tested, trained):
            (folder / "audio").mkdir()
        return GiantSteps(root)

    def test_counts_are_the_published_ones(self, dataset):
        dataset.check()
        counts = dataset.counts()
        assert len(counts) == 5
        assert [count.found for count in counts] == [count.published for count in counts]

    def test_split_and_keys_are_jukemirs_song_by_song(self, dataset):
        task = dataset.task()
        rows = list(csv.DictReader(io.StringIO((GENUINE / "giantsteps_mtg_key/jukemir_split.csv").read_text())))
        assert len(task.clip_ids) == len(rows) == 1_763
        found = zip(task.clip_ids, task.splits.tolist(), task.labels[:, 0], strict=True)
        assert {song: (split, KEYS[label]) for song, split, label in found} == {
            row["id"]: (row["split"], row["key"]) for row in rows
        }

    def test_artists_do_not_straddle_training_and_validation(self, dataset):
        artists = {split: set() for split in ("train", "valid")}
        for clip in dataset.clips():
            if clip.split in artists:
                artists[clip.split] |= set(clip.artist.split(", "))
        assert artists["train"]
        assert not artists["train"] & artists["valid"]

    def test_the_same_audio_straddles_training_and_validation_once(self, dataset):
        sums = dataset.checksums()
        assert len(sums) == 604 + 1_486
        splits = {clip.path: clip.split for clip in dataset.clips()}
        twice = {digest for digest, number in Counter(sums.values()).items() if number > 1}
        pairs = [{splits[path] for path, digest in sums.items() if digest == found} for found in twice]
        assert len(pairs) == 9
        assert sum(pair == {"train", "valid"} for pair in pairs) == 1

    def test_the_best_constant_is_c_minor(self, dataset):
        task = dataset.task()
        test, train = (task.labels[task.splits == split] for split in ("test", "train"))
        for metric, floor in ((key_weighted, 0.1576), (key_weighted_mirex, 0.2089), (accuracy, 0.0877)):
            constant = metric.constant(train, 24)
            assert KEYS[int(np.argmax(constant))] == "C minor"
            assert metric(test, np.broadcast_to(constant, (604, 24)))[0] == pytest.approx(floor, abs=5e-5)
