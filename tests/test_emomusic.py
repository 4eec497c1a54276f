"""EmoMusic's loader: on small trees in the genuine layout, and on the genuine tables where they are at hand."""

import csv
import hashlib
import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tasks import DatasetError
from tasks.emomusic import EmoMusic
from tasks.metrics import macro, r2

GENUINE = Path(__file__).parents[2] / "shared" / "datasets" / "emomusic"

HEADER = (
    '"song_id","file_name","Artist","Song title","start of the segment (min.sec)","end of the segment (min.sec)",'
    '"Genre","Mediaeval 2013 set"'
)
# As published: TABs inside the quotes, seconds without their final zero.
ROWS = [
    '2,"\t2.mp3","The New Mystikal Troubadours\t","\tTonight  A Lonely Century\t","\t0.48\t","\t1.33\t","\tBlues\t",'
    '"development"',
    '3,"\t3.mp3","Kevin MacLeod\t","\tDD Groove\t","\t0.2\t","\t1.05\t","\tBlues\t","evaluation"',
    '4,"\t4.mp3","Kevin MacLeod\t","\tSlow, ""Burn""\t","\t1.29\t","\t2.14\t","\tBlues\t","development"',
    '7,"\t7.mp3","Solo 99\t","\tX\t","\t0.02\t","\t0.47\t","\tRock\t","development"',
]
STATIC = [
    "song_id,mean_arousal,std_arousal,mean_valence,std_valence",
    "2,3.1,0.99443,3,0.66667",
    "4,5.7,1.4944,5.5,1.7159",
    "3,3.5,1.8409,3.3,1.7029",
    "7,9,0,1,0",
]


def layout(root, songs=(HEADER, *ROWS), static=STATIC, tables="annotations", line_end="\n"):
    (root / "clips_45seconds").mkdir(parents=True, exist_ok=True)
    (root / tables).mkdir(exist_ok=True)
    (root / tables / "songs_info.csv").write_text(line_end.join(songs) + line_end, newline="")
    (root / tables / "static_annotations.csv").write_text(line_end.join(static) + line_end, newline="")
    return EmoMusic(root)


@pytest.mark.parametrize("tables", ["annotations", "."])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_tabs_in_quotes_and_lost_zeros(tmp_path, tables, line_end):
    dataset = layout(tmp_path, tables=tables, line_end=line_end)
    dataset.check()
    clips = dataset.clips()
    assert [clip.id for clip in clips] == ["2", "3", "4", "7"]
    assert [clip.path for clip in clips] == [f"clips_45seconds/{n}.mp3" for n in (2, 3, 4, 7)]
    assert [clip.seconds for clip in clips] == [45.0] * 4
    assert clips[0].artist == "The New Mystikal Troubadours"
    assert clips[2].recording == 'Kevin MacLeod / Slow, "Burn"'
    assert [clip.split for clip in clips] == ["valid", "test", "valid", "train"]
    assert set(dataset.tables()) == {tmp_path / tables / "songs_info.csv", tmp_path / tables / "static_annotations.csv"}


def test_annotations_win_over_tables_beside_the_audio(tmp_path):
    layout(tmp_path, songs=[HEADER], static=STATIC[:1], tables=".")
    assert len(layout(tmp_path).clips()) == 4


def test_labels_follow_the_songs_not_the_other_table(tmp_path):
    task = layout(tmp_path).task()
    assert task.kind == "regression"
    assert task.clip_ids == ("2", "3", "4", "7")
    assert task.label_names == ("arousal", "valence")
    assert task.labels.tolist() == [[3.1, 3.0], [3.5, 3.3], [5.7, 5.5], [9.0, 1.0]]
    assert task.groups.tolist() == ["2", "3", "4", "7"]


def test_one_target_alone_is_its_column(tmp_path):
    dataset = layout(tmp_path)
    both = dataset.task()
    for column, target in enumerate(("arousal", "valence")):
        task = dataset.task(target=target)
        assert task.label_names == (target,)
        assert task.labels.tolist() == both.labels[:, [column]].tolist()
        assert task.splits.tolist() == both.splits.tolist()
    with pytest.raises(DatasetError, match="target must be 'arousal' or 'valence', not 'anger'"):
        dataset.task(target="anger")


def test_the_splits_differ_in_the_artists_they_hold_out(tmp_path):
    artists = [f"Artist number {letter}" for letter in "abcdefghij"] * 2
    rows = [
        f'{n},"\t{n}.mp3","{artist.upper() if n > 9 else artist} {n}!\t","\tT{n}\t","\t0.2\t","\t1.05\t","\tPop\t",'
        '"development"'
        for n, artist in enumerate(artists)
    ]
    static = [STATIC[0], *(f"{n},{1 + n % 9},0,5,0" for n in range(len(rows)))]
    dataset = layout(tmp_path, [HEADER, *rows], static)
    lots = [int(hashlib.sha1(artist.lower().encode()).hexdigest(), 16) % 10 for artist in artists]
    jukemir = [{8: "valid", 9: "valid"}.get(lot, "train") for lot in lots]
    assert dataset.task().splits.tolist() == dataset.task(split="jukemir").splits.tolist() == jukemir
    mediaeval = ["valid" if lot == 9 else "train" for lot in lots]
    assert dataset.task(split="mediaeval").splits.tolist() == mediaeval
    assert {"valid", "train"} == set(jukemir)
    with pytest.raises(DatasetError, match="split must be 'jukemir' or 'mediaeval', not 'kim'"):
        dataset.task(split="kim")
    with pytest.raises(DatasetError, match="no option 'untagged'"):
        dataset.task(untagged="keep")


def swap(row, old, new):
    assert old in row
    return row.replace(old, new)


@pytest.mark.parametrize(
    ("songs", "static", "table", "line", "message"),
    [
        ([HEADER, ROWS[0], swap(ROWS[1], "evaluation", "test")], STATIC, 0, 3, "must be development or evaluation"),
        (
            [HEADER, ROWS[0], swap(ROWS[1], "0.2\t", "0.75\t")],
            STATIC,
            0,
            3,
            "look like 1.05 (min.sec), not '0.75'",
        ),
        ([HEADER, swap(ROWS[0], "1.33", "0.48")], STATIC, 0, 2, "the segment ends at 0.48"),
        ([HEADER, swap(ROWS[0], "2.mp3", "../2.mp3")], STATIC, 0, 2, "file_name must be the name of a file"),
        ([HEADER, ROWS[0], ROWS[0]], STATIC, 0, 3, "song_id '2' is already in line 2"),
        ([HEADER, ROWS[0], swap(ROWS[1], "3.mp3", "2.mp3")], STATIC, 0, 3, "file_name '2.mp3' is already in line 2"),
        ([swap(HEADER, "Artist", "Art"), *ROWS], STATIC, 0, 1, "no column 'Artist'"),
        ([HEADER, *ROWS], STATIC[:-1], 0, 5, "song_id '7' is not in static_annotations.csv"),
        ([HEADER, *ROWS[:-1]], STATIC, 1, 5, "song_id '7' is not in songs_info.csv"),
        ([HEADER, *ROWS], [*STATIC, STATIC[1]], 1, 6, "song_id '2' is there twice"),
        ([HEADER, *ROWS], [STATIC[0], "2,3.1,0.9,nan,0.6"], 1, 2, "mean_valence must be a number from 1 to 9"),
        ([HEADER, *ROWS], [STATIC[0], "2,0.5,0.9,3,0.6"], 1, 2, "mean_arousal must be a number from 1 to 9, not '0.5'"),
        ([HEADER, *ROWS], [STATIC[0], "2,3.1"], 1, 2, "2 fields where the header has 5"),
    ],
)
def test_malformed_tables_are_named_by_file_and_line(tmp_path, songs, static, table, line, message):
    dataset = layout(tmp_path, songs, static)
    with pytest.raises(DatasetError) as raised:
        dataset.task()
    assert str(raised.value).startswith(f"{dataset.tables()[table]}:{line}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_check_names_what_is_missing_and_how_to_get_it(tmp_path):
    dataset = EmoMusic(tmp_path / "emomusic")
    for make, missing in (
        (lambda: None, "emomusic: no such folder"),
        (lambda: (dataset.root / "clips_45seconds").mkdir(parents=True), "annotations/songs_info.csv: no such table"),
        (lambda: (layout(dataset.root), shutil.rmtree(dataset.root / "clips_45seconds")), "clips_45seconds: no such"),
    ):
        make()
        with pytest.raises(DatasetError, match=missing) as raised:
            dataset.check()
        assert "cvml.unige.ch" in str(raised.value)
    (dataset.root / "clips_45seconds").mkdir()
    dataset.check()


@pytest.mark.skipif(not GENUINE.is_dir(), reason="the genuine tables are not at hand")
class TestGenuineTables:
    @pytest.fixture
    def dataset(self, tmp_path):
        (tmp_path / "annotations").mkdir()
        for name in ("songs_info.csv", "static_annotations.csv"):
            shutil.copyfile(GENUINE / name, tmp_path / "annotations" / name)
        return EmoMusic(tmp_path)

    def test_counts_are_the_published_ones(self, dataset):
        counts = dataset.counts()
        assert len(counts) == 6
        assert [count.found for count in counts] == [count.published for count in counts]
        assert {clip.seconds for clip in dataset.clips()} == {45.0}

    def test_split_and_targets_are_jukemirs_song_by_song(self, dataset):
        task = dataset.task()
        published = list(csv.DictReader(io.StringIO((GENUINE / "jukemir_split.csv").read_text())))
        assert dict(zip(task.clip_ids, task.splits.tolist(), strict=True)) == {
            row["song_id"]: row["split"] for row in published
        }
        development = task.labels[task.splits != "test"]
        scaled = (task.labels - development.mean(axis=0)) / development.std(axis=0)
        theirs = {row["song_id"]: (float(row["arousal_z"]), float(row["valence_z"])) for row in published}
        np.testing.assert_allclose(scaled, [theirs[song_id] for song_id in task.clip_ids], atol=1e-9)
        np.testing.assert_allclose(development.mean(axis=0), [4.756, 4.974], atol=5e-4)
        np.testing.assert_allclose(development.std(axis=0), [1.386, 1.255], atol=5e-4)

    def test_artists_straddle_the_test_split_and_no_other(self, dataset):
        clips = dataset.clips()
        artists = {s: {clip.artist for clip in clips if clip.split == s} for s in ("train", "valid")}
        assert not artists["train"] & artists["valid"]
        tested = [clip.artist for clip in clips if clip.split == "test"]
        assert sum(artist in artists["train"] for artist in tested) == 52
        assert sum(artist in artists["train"] | artists["valid"] for artist in tested) == 65

    def test_mediaeval_holds_out_fewer_songs(self, dataset):
        task, jukemir = dataset.task(split="mediaeval"), dataset.task()
        assert Counter(task.splits.tolist()) == {"train": 539, "valid": 80, "test": 125}
        assert ((task.splits == "test") == (jukemir.splits == "test")).all()
        assert (jukemir.splits[task.splits == "valid"] == "valid").all()

    def test_the_training_mean_explains_less_than_nothing(self, dataset):
        task = dataset.task()
        test, train = (task.labels[task.splits == split] for split in ("test", "train"))
        floors = r2(test, np.broadcast_to(r2.constant(train, 2), test.shape))
        np.testing.assert_allclose(floors, [-0.016, -0.021], atol=5e-4)
        assert macro(floors) == pytest.approx(-0.01812, abs=1e-5)
