"""Target tasks of the multi-source study: their published layouts, their lists where at hand, and faults in them."""

import gzip
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import bench, bench_json

from tasks import DatasetError
from tasks.extended_ballroom import GENRES, TABLE, ExtendedBallroom, kim_tracks
from tasks.folds import divide
from tasks.irmas import INSTRUMENTS, Irmas, read_songs, validates
from tasks.lastfm import ITEMS, PLAYS, TRIPLETS, USERS, LastFm, _divided, _Plays, _read_hash

GENUINE = Path(__file__).parents[2] / "shared" / "datasets" / "kim2019"
genuine = pytest.mark.skipif(not GENUINE.is_dir(), reason="the genuine lists are not here")


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def complaint(call):
    with pytest.raises(DatasetError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- Extended Ballroom


def ballroom(root, *nodes, home="."):
    """A table with the nodes given for each dance, a line each, and an empty file a track."""
    write(root, {f"{home}/{TABLE}": "\n".join(['<?xml version="1.0"?>', "<ballroom>", *nodes, "</ballroom>"])})
    return ExtendedBallroom(root)


def dances(per_genre, repeats=""):
    """The first listed tracks of every dance; the second one of each repeats the first."""
    nodes = []
    for genre in GENRES:
        ids = sorted(name.partition("/")[2] for name in kim_tracks() if name.startswith(f"{genre}/"))[:per_genre]
        nodes.append(f"<{genre}>")
        for place, track in enumerate(ids):
            inner = f'<{repeats} id="{ids[0]}"/>' if repeats and place == 1 else ""
            nodes.append(f'<song id="{track}" title="t" bpm="120">{inner}</song>')
        nodes.append(f"</{genre}>")
    return nodes


@pytest.mark.parametrize("home", [".", "extendedballroom_v1.1"])
@pytest.mark.parametrize("repeats", ["exact", "version", "karaoke", "time"])
def test_repeated_dances_stay_in_one_of_five_folds_that_are_alike(tmp_path, home, repeats):
    dataset = ballroom(tmp_path, *dances(10, repeats), home=home)
    task = divide(dataset.task(), dataset, 5)
    assert task.folds.shape == (5, 130)
    tested = (task.folds == "test").argmax(axis=0)
    assert ((task.folds == "test").sum(axis=0) == 1).all()
    groups = {}
    for group, fold in zip(task.groups.tolist(), tested.tolist(), strict=True):
        groups.setdefault(group, set()).add(fold)
    assert all(len(folds) == 1 for folds in groups.values())
    assert Counter(Counter(task.groups.tolist()).values()) == {2: 13, 1: 104}
    for number in range(13):
        assert sorted(np.bincount(tested[task.labels[:, 0] == number], minlength=5))[0] >= 1
    assert dataset.clips()[0].path == ("" if home == "." else f"{home}/") + "Chacha/100701.mp3"


def test_repeats_are_linked_through_others_and_by_attributes(tmp_path):
    dataset = ballroom(
        tmp_path,
        '<Chacha><song id="3" version="2"/><song id="2"><exact id="1"/></song><song id="1"/><song id="9"/></Chacha>',
        '<Rumba><song id="5"><time id="3"/></song></Rumba>',
    )
    assert {clip.id: clip.recording for clip in dataset.clips()} == {
        **dict.fromkeys(["Chacha/3", "Chacha/2", "Chacha/1", "Rumba/5"], "1"),
        "Chacha/9": "9",
    }
    assert dataset.task(tracks="all").labels[:, 0].tolist() == [0, 0, 0, 0, GENRES.index("Rumba")]
    assert "holds none of the 3,390 tracks" in complaint(dataset.task)


def test_the_audio_is_checked_by_the_digest_in_the_table(tmp_path):
    digest = hashlib.md5(b"x").hexdigest()
    dataset = ballroom(tmp_path, f'<Jive><song id="1" hash="{digest}"/><song id="2" hash="?"/></Jive>')
    assert dataset.checksums() == {"Jive/1.mp3": f"md5:{digest}"}


@pytest.mark.parametrize(
    ("nodes", "line", "message"),
    [
        (["<Polka>", "</Polka>"], 3, "'Polka' is none of the dances Chacha,"),
        (["<Jive>", '<song id="a1"/>', "</Jive>"], 4, "id of a track must be a number, not 'a1'"),
        (["<Jive>", "<song/>", "</Jive>"], 4, "id of a track must be a number, not ''"),
        (["<Jive>", '<song id="1"/>', '<song id="1"/>', "</Jive>"], 5, "track Jive/1 is already in line 4"),
        (["<Jive>", '<song id="1"><exact/></song>', "</Jive>"], 4, "exact of track Jive/1 names no id"),
        (["<Jive>", '<song id="1">', "</Jive>"], 5, "not XML: mismatched tag"),
        ([], 1, "the table names no track"),
    ],
)
def test_a_malformed_table_is_named_by_line(tmp_path, nodes, line, message):
    dataset = ballroom(tmp_path, *nodes)
    found = complaint(dataset.clips)
    assert found.startswith(f"{tmp_path / TABLE}:{line}: ")
    assert message in found


@genuine
def test_the_listed_dances_are_the_studys():
    rows = [row.split("\t") for row in (GENUINE / "extended_ballroom_3390.tsv").read_text().splitlines()]
    listed = kim_tracks()
    assert {f"{genre}/{path.rpartition('/')[2].removesuffix('.mp3')}" for _, path, _, genre in rows} == listed
    counts = Counter(name.partition("/")[0] for name in listed)
    assert (len(listed), counts["Rumba"], counts["Wcswing"], set(counts)) == (3_390, 416, 23, set(GENRES))


# --- IRMAS


def irmas(root, names, texts=()):
    write(root, {f"IRMAS-TrainingData/{name}": "" for name in names})
    for path, content in dict(texts).items():
        write(root, {f"{path}.txt": content, f"{path}.wav": ""})
    return Irmas(root)


def test_songs_of_instruments_are_on_one_side(tmp_path):
    songs = read_songs()
    of = {split: [song for song, (name, part) in songs.items() if (name, part) == ("cel", split)] for split in
          ("train", "valid", "test")}  # fmt: skip
    names = [f"cel/[cel][cla]{of['train'][0]}__1.wav", f"cel/008__[cel][nod][cla]{of['train'][0]}__2.wav"]
    names += [f"cel/[cel][---][pop_roc]{of[split][0]}__1.wav" for split in ("valid", "test")]
    odd = ["cel/notes.wav", f"cel/[flu][cla]{of['train'][0]}__1.wav", "cel/[cel][cla]9999__1.wav"]
    dataset = irmas(
        tmp_path, [*names, *odd], {"Part1/a-1": "cel\t\nvoi\t\r\n", "IRMAS-TestingData-Part2/Part2/a-2": "gel"}
    )
    dataset.check()
    task = dataset.task()
    assert dict(zip(task.clip_ids, task.splits.tolist(), strict=True)) == {
        f"cel/{Path(name).stem}": split for name, split in zip(names, ("train", "train", "valid", "test"), strict=True)
    }
    assert task.labels[:, 0].tolist() == [0] * 4
    assert set(dataset.unused_files().values()) == {
        "not called like an excerpt, as [cel][cla]0001__1.wav is",
        "name and folder disagree: flu and cel",
        "no song of that number: cel 9999",
    }
    both = dataset.task(labels="all")
    assert both.kind == "multilabel"
    assert both.splits.tolist().count("test") == 2
    rows = dict(zip(both.clip_ids, both.labels.tolist(), strict=True))
    assert [place for place, held in enumerate(rows["Part1/a-1"]) if held] == [0, 10]
    assert [place for place, held in enumerate(rows["Part2/a-2"]) if held] == [4]
    assert [clip.recording for clip in dataset.clips()][-2:] == ["Part1/a", "Part2/a"]
    # A tested song of the first task trains for the second, unless it validates.
    held = dict(zip(both.clip_ids, both.splits.tolist(), strict=True))[f"cel/{Path(names[-1]).stem}"]
    assert held == ("valid" if validates(of["test"][0]) else "train")


def test_what_is_wrong_in_the_test_part_is_named(tmp_path):
    name = next(f"cel/[cel][cla]{song}__1.wav" for song, (one, _) in read_songs().items() if one == "cel")
    alone = irmas(tmp_path / "alone", [name])
    assert "nothing of the test part, folders Part1, Part2, Part3, is there" in complaint(
        lambda: alone.task(labels="all")
    )
    for number, (text, line, message) in enumerate(
        [("cel\ndrums\n", 2, "'drums' is none of the instruments cel,"), ("\n", 1, "names no instrument")]
    ):
        root = tmp_path / str(number)
        dataset = irmas(root, [name], {"Part1/b-1": text})
        found = complaint(lambda dataset=dataset: dataset.task(labels="all"))
        assert found.startswith(f"{root / 'Part1/b-1.txt'}:{line}: {message}")
    (root / "Part1/b-1.txt").unlink()
    assert "b-1.txt, which names its instruments, is not beside it" in complaint(Irmas(root).clips)


@genuine
def test_the_songs_are_the_studys():
    rows = [row.split("\t") for row in (GENUINE / "irmas_train_6705.tsv").read_text().splitlines()]
    songs = read_songs()
    counts = Counter()
    for _, path, split, instrument in rows:
        song = path.rpartition("__")[0].rpartition("]")[2]
        assert (songs[song][0], songs[song][1] == "test") == (instrument, split == "test")
        counts[split] += 1
    assert counts == {"train": 5_698, "test": 1_007}
    assert (len(songs), {name for name, _ in songs.values()}) == (2_261, set(INSTRUMENTS))


# --- Last.fm 1K


def play(user, track, artist="a"):
    return f'{user}\t2008-01-01T00:00:00Z\t{artist}\tname\t{track}\tsome "song"\n'


def lastfm(root, lines, tracks, **files):
    write(root, {PLAYS: "".join(lines), **{f"audio/{track}.mp3": "" for track in tracks}, **files})
    return LastFm(root)


def everyone(users=6, tracks=12):
    """Everybody plays every track, each one track more often."""
    return [
        play(f"user_{user}", f"t{track:02}", f"artist {track // 3}")
        for user in range(users)
        for track in range(tracks)
        for _ in range(1 + (track == user))
    ]


def test_plays_are_counted_and_tracks_held_out(tmp_path):
    lines = [*everyone(), play("user_0", ""), play("user_0", "not here"), "\n", play("user_9", "t00")]
    dataset = lastfm(tmp_path, lines, [*(f"t{track:02}" for track in range(12)), "unheard"])
    dataset.check()
    task = dataset.task()
    assert task.clip_ids == tuple(f"t{track:02}" for track in range(12))
    assert task.label_names == tuple(f"user_{user}" for user in range(6))
    assert (task.labels.toarray() == 1 + np.eye(12, 6)).all()
    assert Counter(task.splits.tolist()) == {"test": 2, "valid": 1, "train": 9}
    others = [dataset.task(draw=str(draw)).splits.tolist() for draw in range(5)]
    assert others[0] == task.splits.tolist()
    assert len({tuple(one) for one in others}) > 2
    assert Counter(dataset.task(held_out="0.5").splits.tolist())["test"] == 6
    artists = dataset.task(by="artist", held_out="0.25").splits.reshape(4, 3)
    assert all(len(set(own)) == 1 for own in artists.tolist())
    assert set(artists[:, 0]) == {"train", "valid", "test"}
    assert dataset.unused_files() == {"audio/unheard.mp3": "nobody plays a track of that name"}
    assert [clip.artist for clip in dataset.clips()][:4] == ["artist 0"] * 3 + ["artist 1"]


def test_rare_listeners_and_tracks_are_left_out_until_none_is_left_to(tmp_path):
    """The rare track goes, then the listener for whom it was the fifth."""
    rare = [play("late", f"t{track:02}") for track in range(4)] + [play("late", "rare")]
    dataset = lastfm(tmp_path, [*everyone(), *rare], [*(f"t{track:02}" for track in range(12)), "rare"])
    assert "rare" not in dataset.task().clip_ids
    assert "late" not in dataset.task().label_names
    assert dataset.unused_files()["audio/rare.mp3"].startswith("too few listeners")
    assert len(dataset.task(fewest="6").clip_ids) == 12
    found = complaint(lambda: dataset.task(fewest="7"))
    assert found.startswith(f"{tmp_path / PLAYS}: of 13 tracks that there are plays and audio of, 0 are played by 7")


def test_who_plays_nothing_but_tested_tracks_is_no_label(tmp_path):
    tracks = [f"t{track:02}" for track in range(12)]
    whole = lastfm(tmp_path / "whole", everyone(), tracks).task(held_out="0.5")
    tested = [track for track, split in zip(whole.clip_ids, whole.splits, strict=True) if split == "test"]
    trained = [track for track, split in zip(whole.clip_ids, whole.splits, strict=True) if split == "train"]
    lines = [*everyone(), *(play("new", track) for track in tested), *(play("old", track) for track in trained)]
    dataset = lastfm(tmp_path / "more", lines, tracks)
    task = dataset.task(held_out="0.5")
    assert ("new" in task.label_names, "old" in task.label_names) == (False, True)
    assert not task.labels[task.splits == "test"][:, [task.label_names.index("old")]].nnz
    assert {count.what: count.found for count in dataset.counts()}["lastfm tracks"] == 12


def test_the_studys_lists_and_triplets_are_read(tmp_path):
    tracks = [f"t{track:02}" for track in range(12)]
    lists = {
        ITEMS: "".join(f"{track},{row}\n" for row, track in enumerate(reversed(tracks[:10]))),
        USERS: "".join(f"user_{user},{user}\n" for user in range(5)),
    }
    dataset = lastfm(tmp_path, everyone(), tracks, **lists)
    task = dataset.task()
    assert (task.clip_ids, len(task.label_names)) == (tuple(tracks[:10]), 5)
    (tmp_path / TRIPLETS).write_text("".join(f"{u},{9 - t},{1 + (t == u)}\n" for u in range(5) for t in range(10)))
    assert [table.name for table in LastFm(tmp_path).tables()] == [TRIPLETS, ITEMS, USERS]
    same = LastFm(tmp_path).task()
    assert (same.labels != task.labels).nnz == 0
    assert same.splits.tolist() == task.splits.tolist()


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        (PLAYS, play("u", "t00") + "u\tt\n", 2, "2 fields where a play has six, in TABs"),
        (PLAYS, play("", "t00"), 1, "the listener is empty"),
        (PLAYS, play("u", "elsewhere"), None, "none of its 1 plays is of a track that there is a recording of"),
        (PLAYS, "", None, "none of its 0 plays"),
        (ITEMS, "t00,0\nt01\n", 2, "must be an id, a comma and a row number, not 't01'"),
        (ITEMS, "t00,0\nt01,1\nt00,2\n", 3, "id 't00' is already in line 1"),
        (USERS, "user_0,0\nuser_1,0\n", 2, "row 0 is already in line 1"),
        (TRIPLETS, "0,0,2\n0,1\n", 2, "must be row of a user, row of an item and plays, not '0,1'"),
        (TRIPLETS, "0,0,2\n7,0,1\n", 2, f"user 7 is not in {USERS}"),
        (TRIPLETS, "0,0,2\n0,0,1\n", 2, "user 0 and item 0 are there twice"),
        (TRIPLETS, "0,0,0\n", 1, "plays must be at least 1, not '0'"),
    ],
)
def test_malformed_plays_are_named_by_file_and_line(tmp_path, name, content, line, message):
    files = {ITEMS: "t00,0\nt01,1\n", USERS: "user_0,0\n"} if name == TRIPLETS else {}
    dataset = lastfm(tmp_path, everyone(), ["t00", "t01", "t02"], **files, **{name: content})
    found = complaint(dataset.task)
    assert found.startswith(f"{tmp_path / name}:{'' if line is None else f'{line}:'} {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": "1"}, "held_out must be a share between 0 and 1, not '1'"),
        ({"held_out": "most"}, "held_out must be a share between 0 and 1, not 'most'"),
        ({"by": "album"}, "by must be 'track' or 'artist', not 'album'"),
        ({"fewest": "4"}, "fewest must be a whole number from 5 on, not '4'"),
        ({"folds": "5"}, "no option 'folds'; there are 'held_out', 'draw', 'by', 'fewest'"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    dataset = lastfm(tmp_path, everyone(), [f"t{track:02}" for track in range(12)])
    assert message in complaint(lambda: dataset.task(**options))


def test_one_artist_cannot_be_divided(tmp_path):
    lines = [play(f"u{user}", f"t{track:02}") for user in range(5) for track in range(8)]
    dataset = lastfm(tmp_path, lines, [f"t{track:02}" for track in range(8)])
    assert "1 artists are too few to be divided into three parts" in complaint(lambda: dataset.task(by="artist"))


@genuine
def test_the_lists_are_the_studys_and_a_fifth_and_a_twentieth_are_held_out(tmp_path):
    items = tmp_path / ITEMS
    items.write_bytes(gzip.decompress((GENUINE / "lastfm1k_items_27093.csv.gz").read_bytes()))
    rows = _read_hash(items)
    assert sorted(rows.values()) == list(range(27_093))
    assert sorted(_read_hash(GENUINE / "lastfm1k_users_985.csv").values()) == list(range(985))
    plays = _Plays(None, tuple(sorted(rows)), (), ())
    assert Counter(_divided(plays, 0.2, "0", "track").tolist())["test"] == 5_419
    assert Counter(_divided(plays, 0.05, "0", "track").tolist())["test"] == 1_355


# --- From the command line


def recommend(root):
    """Twelve tracks, of which two groups of listeners play the high or the low ones."""
    tracks = [f"t{track:02}" for track in range(24)]
    rng = np.random.default_rng(0)
    lines = []
    for user in range(14):
        for place, track in enumerate(tracks):
            if (place % 2 == user % 2 and rng.random() < 0.8) or rng.random() < 0.1:
                lines += [play(f"user_{user:02}", track)] * int(rng.integers(1, 4))
    lastfm(root, lines, [])
    (root / "audio").mkdir()
    for place, track in enumerate(tracks):
        tone = np.sin(2 * np.pi * (220, 1760)[place % 2] * 2 ** (place / 60) * np.arange(66_150) / 22_050)
        soundfile.write(root / f"audio/{track}.wav", 0.2 * tone + 0.01 * rng.normal(size=len(tone)), 22_050)


def test_new_tracks_are_recommended_from_the_command_line(tmp_path):
    recommend(tmp_path / "data" / "lastfm")
    common = ("run", "--encoder", "mfcc", "--data", tmp_path / "data", "--store", tmp_path / "store")
    for task in ("lastfm", "lastfm-released"):
        (record,) = bench_json(*common, "--task", task)
        score = record["metrics"]["ndcg_500_catalogue"]
        assert record["data"] == "real"
        assert record["metrics"]["ndcg_500"]["value"] >= score["value"]
        assert score["units"] + len(record["unscored_labels"]) == 14
        assert score["lower"] <= score["value"] <= score["upper"]
        assert 0 < score["floor"] < 1
        assert record["selection"]["chosen"]["factors"] == 50
        assert record["selection"]["train_clips"] == sum(record["n_scored"][split] for split in ("train", "valid"))
        if task == "lastfm":
            assert record["n_scored"]["test"] == 5
            assert score["value"] > score["floor"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "lastfm", "--protocol", "linear"], "predicts interactions: what is missing is a factorisation"),
        (
            ["--task", "gtzan", "--protocol", "kim-wmf"],
            "a factorisation predicts what users play, and these labels are",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_at_planning(words, message, tmp_path):
    result = bench("run", "--encoder", "mfcc", *words, "--store", tmp_path / "store")
    assert result.returncode == 2
    assert message in result.stderr
    assert not list((tmp_path / "store").rglob("*.npz"))
