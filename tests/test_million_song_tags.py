"""Tagging of the Million Song Dataset: every form of its splits, both trees of previews, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import bench, bench_json

from benchmark.registry.registry import load_registry
from tasks import DatasetError
from tasks.million_song_tags import SPLITS, TOP_TAGS, MillionSongTags, track_path
from tasks.standin import million_song, million_song_tags
from tasks.standin.recording import write_all

SHARED = Path(__file__).parents[2] / "shared" / "datasets" / "msd"
FEW = 24


@pytest.fixture(scope="module")
def tracks():
    """Songs of four artists, some in each part of the division by artists."""
    return million_song.compose(0)[:FEW]


@pytest.fixture(scope="module")
def made(tracks, tmp_path_factory):
    """A stand-in of a few songs: audio, and the files of all splits."""
    data = tmp_path_factory.mktemp("songs")
    root = data / "million_song"
    root.mkdir()
    pieces = million_song.recordings(tracks, 0)
    write_all(root, pieces)
    million_song_tags.write_tables(root, tracks, 0)
    return data


def copied(made, tmp_path) -> Path:
    """Its tables, with an empty file for each preview."""
    root = tmp_path / "million_song"
    for file in (made / "million_song").rglob("*"):
        if file.is_file():
            there = root / file.relative_to(made / "million_song")
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(b"" if file.suffix == ".mp3" else file.read_bytes())
    return root


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_its_tracks_and_tags(split, made, tracks):
    dataset = MillionSongTags(made / "million_song", split)
    dataset.check()
    task, clips = dataset.task(), {clip.id: clip for clip in dataset.clips()}
    assert sorted(task.clip_ids) == sorted(track.track_id for track in tracks)
    given = {track.track_id: {tag for tag, weight in track.tags.items() if weight >= 40} for track in tracks}
    for row, track in enumerate(task.clip_ids):
        said = {name for name, value in zip(task.label_names, task.labels[row], strict=True) if value}
        assert said == given[track] & set(task.label_names)
        assert clips[track].split == task.splits[row]
        assert (made / "million_song" / clips[track].path).is_file()
    by_id = {track.track_id: track for track in tracks}
    artists = {part: {by_id[t].artist_id for t, s in zip(task.clip_ids, task.splits, strict=True) if s == part}
               for part in ("train", "valid", "test")}  # fmt: skip
    if split == "cals":
        assert not artists["train"] & artists["test"]
        assert set(task.label_names) == set().union(*given.values())
    else:
        assert artists["train"] & artists["test"]
        assert len(task.label_names) == min(million_song_tags.LABELS[split], len(set().union(*given.values())))
    assert {clips[track.track_id].artist for track in tracks} == {track.artist_id for track in tracks}


def test_previews_are_found_in_either_tree_and_by_an_index(made, tracks, tmp_path):
    root = copied(made, tmp_path)
    first, second, third = (track.track_id for track in tracks[:3])
    numbered = {clip.id: clip.path for clip in MillionSongTags(root).clips()}
    assert numbered[first].endswith(f"{tracks[0].preview}.clip.mp3")
    there = root / track_path(first)
    there.parent.mkdir(parents=True)
    there.touch()
    (root / numbered[second]).unlink()
    paths = {clip.id: clip.path for clip in MillionSongTags(root).clips()}
    assert paths[first] == track_path(first)
    # What is not there is named where it would be.
    assert paths[second] == track_path(second)
    (root / "track_metadata.db").unlink()
    bare = {clip.id: clip for clip in MillionSongTags(root).clips()}
    assert bare[first].path == track_path(first)
    assert (bare[third].path, bare[third].artist) == (track_path(third), "")
    (root / "index_msd.tsv").write_text(f"{third}\t{numbered[third].removeprefix('audio/')}\n")
    assert {clip.id: clip.path for clip in MillionSongTags(root).clips()}[third] == numbered[third]


def test_lees_own_lists_as_text(made, tracks, tmp_path, monkeypatch):
    root = copied(made, tmp_path)
    own = MillionSongTags(root).task()
    for name in ("train", "val", "test"):
        (root / f"{name}_gt_msd.tsv").unlink()
    pickle = root / "filtered_list_train.cP"
    pickle.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(DatasetError, match="a pickle runs what it holds") as caught:
        MillionSongTags(root).check()
    assert 'python -c "import pickle' in str(caught.value)
    assert "> filtered_list_train.txt" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    monkeypatch.setattr("tasks.million_song_tags.LEE_TRAIN", int((own.splits == "train").sum()))
    of = {
        part: [t for t, s in zip(own.clip_ids, own.splits, strict=True) if s == part] for part in np.unique(own.splits)
    }
    (root / "filtered_list_train.txt").write_text("\n".join(of["train"] + of["valid"]))
    (root / "filtered_list_test.txt").write_text("\n".join(of["test"]) + "\n")
    (root / "50tagList.txt").write_text("\n".join(own.label_names) + "\n")
    vectors = {track: row.tolist() for track, row in zip(own.clip_ids, own.labels, strict=True)}
    (root / "msd_id_to_tag_vector.tsv").write_text("".join(f"{track}\t{row}\n" for track, row in vectors.items()))
    found = MillionSongTags(root)
    found.check()
    assert found.task().clip_ids == own.clip_ids
    assert (found.task().labels == own.labels).all()
    assert found.task().splits.tolist() == own.splits.tolist()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "val_gt_msd.tsv",
            lambda text: text.replace("[", "[2", 1),
            ":1: must have 30 numbers of 0 or 1 after the TAB",
        ),
        ("val_gt_msd.tsv", lambda text: text.replace("\t", " ", 1), "val_gt_msd.tsv:1: "),
        ("output_labels_msd.txt", lambda _: "MSD_LABELS = [x for x in y]", "must have a line MSD_LABELS"),
        ("output_labels_msd.txt", lambda _: "MSD_LABELS = " + "[" * 9999, "must have a line MSD_LABELS"),
        ("ecals_annotation/annotation.json", lambda _: "{", "annotation.json: not JSON"),
        ("ecals_annotation/annotation.json", lambda _: "{}", "must say the 'tag' of track"),
        ("ecals_annotation/ecals_track_split.json", lambda _: "[]", "must be an object"),
        ("ecals_annotation/ecals_track_split.json", lambda _: "{}", "must have a list 'train_track'"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_file_and_line(made, tmp_path, file, change, message):
    root = copied(made, tmp_path)
    (root / file).write_text(change((root / file).read_text()))
    with pytest.raises(DatasetError) as caught:
        MillionSongTags(root, "cals" if "ecals" in file else "lee").task()
    assert message in str(caught.value)
    assert str(root / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_track_in_two_parts_is_refused(made, tmp_path):
    root = copied(made, tmp_path)
    line = (root / "train_gt_msd.tsv").read_text().splitlines()[0]
    with (root / "test_gt_msd.tsv").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DatasetError, match=r"is in train and in test; a track has one part"):
        MillionSongTags(root).clips()
    with pytest.raises(DatasetError, match="no split 'msd'"):
        MillionSongTags(root, "msd")


def test_the_genuine_lists_have_the_form_that_is_read():
    if not SHARED.is_dir():
        pytest.skip("the genuine lists are not here")
    from tasks.million_song_tags import _names

    assert _names(SHARED / "output_labels_msd.txt") == TOP_TAGS
    assert sorted((SHARED / "50tagList.txt").read_text().split("\n")[:50]) == sorted(TOP_TAGS)
    text = gzip.decompress((SHARED / "filtered_list_test.txt.gz").read_bytes()).decode()
    assert len(text.split()) == 28_435


def test_it_is_run_reported_and_looked_at_from_the_command_line(made, tmp_path):
    places = ("--data", made, "--store", tmp_path / "s")
    records = bench_json("run", "--encoder", "mfcc", "--task", "msd", "--task", "msd-cals", *places)
    assert {record["task"]: record["n_scored"]["test"] for record in records}.keys() == {"msd", "msd-cals"}
    assert all(record["data"] == "real" for record in records)
    found = json.loads(bench("data", "status", "msd", "msd_cals", "--data", made, "--json").stdout)["datasets"]
    assert [one["state"] for one in found] == ["complete", "complete"]
    assert {count["published"] for count in found[0]["counts"]} == {201_680, 11_774, 28_435}
    # The corpus is the split's training tracks, whatever else the folder's other entries make of them.
    assert load_registry().corpus("msd").entry.splits == ("train",)
    leaks = [leak for one in found for leak in one["leaks"] if leak["group"] == "artist"]
    shared = {one["task"]: one["groups_shared"] for one in leaks if (one["split"], one["other"]) == ("test", "train")}
    assert shared["msd"] > 0
    assert shared["msd-cals"] == 0
