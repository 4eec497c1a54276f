"""`bench new task`: from a folder of music to a task that runs at once, through the command line."""

import csv
import shutil

import numpy as np
import pytest
import soundfile
from conftest import bench, bench_json

from benchmark.data.own_files import OwnFile
from benchmark.data.proposed_classes import Labelled, propose_classes
from benchmark.data.proposed_split import propose_split
from benchmark.errors import UserError
from tasks import DatasetError


def song(path, hz, **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(11_025) / 11_025
    with soundfile.SoundFile(path, "w", 11_025, 1) as file:
        for tag, text in tags.items():
            setattr(file, tag, text)
        file.write(0.3 * np.sin(2 * np.pi * hz * t) + 0.02 * np.random.default_rng(hz).standard_normal(len(t)))


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Two genres of five artists each, of whom tags tell, with a copy and a file that is no audio."""
    root = tmp_path_factory.mktemp("music")
    for genre, hz in (("jazz", 300), ("rock", 1500)):
        for artist in range(5):
            for n in range(3):
                place = root / "My Music" / genre / f"{artist}{n}.flac"
                song(place, hz + 10 * artist + n, artist=f"{genre} {artist}", album="Best of")
    shutil.copy(root / "My Music/jazz/00.flac", root / "My Music/rock/copy.flac")
    (root / "My Music/rock/broken.wav").write_bytes(b"no audio")
    return root


def table(file):
    with file.open(newline="") as rows:
        return list(csv.DictReader(rows))


def test_a_folder_becomes_a_task_that_runs_at_once(music, tmp_path):
    shutil.copytree(music, tmp_path, dirs_exist_ok=True)
    (tmp_path / "registry.yaml").write_text("# mine\nencoders: {}\n")
    seen = bench_json("new", "task", "My Music", "--dry-run", cwd=tmp_path)
    assert (seen["task"], seen["files"], seen["written"]) == ("my-music", 31, [])
    assert not (tmp_path / "My Music/labels.csv").exists()

    done = bench("new", "task", "My Music", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "My Music: 31 audio files, 31 s"
    assert lines[1].startswith("labels: 2 classes by folders; there would be 10 by artist tags (--classes")
    assert "split: artists are kept together" in lines
    assert "- the same content in several classes: 'jazz/00.flac (jazz) = rock/copy.flac" in lines
    assert "- cannot be read: 'rock/broken.wav (not readable as audio (Format not" in lines
    assert lines[-3:] == [
        "wrote My Music/labels.csv",
        "wrote registry.yaml",
        "next: bench run --encoder mfcc --task my-music",
    ]
    assert max(map(len, lines)) <= 80

    rows = table(tmp_path / "My Music/labels.csv")
    assert (len(rows), set(rows[0])) == (31, {"path", "split", "artist", "album", "class"})
    artists = {split: {row["artist"] for row in rows if row["split"] == split} for split in ("train", "valid", "test")}
    assert all(artists.values())
    assert not (artists["train"] & artists["test"] or artists["train"] & artists["valid"])
    assert {(row["split"], row["class"]) for row in rows} == {
        (split, name) for split in artists for name in ("jazz", "rock")
    }
    told = {(row["label"], row["split"]): row for row in seen["rows"]}
    assert told["", "test"]["clips"] == sum(row["split"] == "test" for row in rows)
    assert told["", "test"]["artists"] == len(artists["test"])
    assert told["", "train"]["hours"] == pytest.approx(sum(row["split"] == "train" for row in rows) / 3600, rel=0.01)
    assert (tmp_path / "registry.yaml").read_text().startswith("# mine\n")

    (record,) = bench_json("run", "--encoder", "mfcc", "--task", "my-music", "--store", tmp_path / "s", cwd=tmp_path)
    assert record["n_scored"] == {split: sum(row["split"] == split for row in rows) for split in artists}
    assert record["metrics"]["accuracy"]["value"] > record["metrics"]["accuracy"]["floor"]

    # Once more changes nothing: what the user may have corrected is theirs.
    before = {file: file.read_bytes() for file in (tmp_path / "registry.yaml", tmp_path / "My Music/labels.csv")}
    again = bench("new", "task", "My Music", cwd=tmp_path)
    assert "nothing to write: registry.yaml has the task already" in again.stdout
    assert {file: file.read_bytes() for file in before} == before


def test_what_is_taken_or_cannot_be_written_leaves_nothing(music, tmp_path):
    shutil.copytree(music, tmp_path, dirs_exist_ok=True)
    for name, message in (("mtt", "'mtt' in bench already"), ("gtzan", "'gtzan' in bench already")):
        done = bench("new", "task", "My Music", "--as", name, cwd=tmp_path)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    (tmp_path / "registry.yaml").write_text("datasets: {my-music: {class: a:b, root: x}}\n")
    done = bench("new", "task", "My Music", cwd=tmp_path)
    assert "registry.yaml: has another dataset 'my-music'; choose a name with --as" in done.stderr
    (tmp_path / "other.yaml").write_text("tasks: {my-music: {}}\n")
    done = bench("new", "task", "My Music", "--registry", "other.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "My Music/labels.csv").exists()
    assert bench("new", "task", "nowhere", cwd=tmp_path).stderr.endswith("name one with audio files in it\n")


def test_a_table_of_the_users_is_taken_as_it_is(music, tmp_path):
    shutil.copytree(music, tmp_path, dirs_exist_ok=True)
    content = "Datei;filename;mood;year\n" + "".join(
        f"{n};{genre}/{n % 5}{n // 5}.FLAC;{('calm', 'wild')[genre == 'rock']};{1990 + n}\n"
        for genre in ("jazz", "rock")
        for n in range(15)
    )
    (tmp_path / "My Music/moods.csv").write_text(content)
    seen = bench_json("new", "task", "My Music", "--as", "moods", cwd=tmp_path)
    assert (seen["labels_from"], seen["written"]) == ("moods.csv, column 'mood' (multiclass)", ["registry.yaml"])
    assert seen["kept"] == ["the table has no split: 5 folds, and no column says who the artists are"]
    assert {row["label"]: row["clips"] for row in seen["rows"]} == {"calm": 15, "wild": 15, "": 30}
    assert "there and not in the table: 'rock/broken.wav', 'rock/copy.flac'" in seen["doubts"]
    assert (tmp_path / "My Music/moods.csv").read_text() == content
    (step,) = [
        step
        for step in bench_json(
            *("run", "--encoder", "mfcc", "--task", "moods", "--store", tmp_path / "s", "--dry-run"), cwd=tmp_path
        )
        if step["kind"] == "score"
    ]
    assert step["state"] == "to do"
    other = bench_json("new", "task", "My Music", "--as", "years", "--label", "year", cwd=tmp_path)
    assert other["labels_from"] == "moods.csv, column 'year' (regression)"


def files(*told):
    """Files of (path, artist, album, genre)."""
    return [OwnFile(path, 1.0, artist=artist, album=album, genre=genre) for path, artist, album, genre in told]


def test_folders_called_like_artists_give_way_to_genres():
    own = files(*((f"Ann {a}/{n}.mp3", f"Ann {a}", "", ("pop", "folk")[a % 2]) for a in range(4) for n in range(3)))
    found = propose_classes(own, "here")
    assert (found.origin, found.names, found.others) == ("genre", ["folk", "pop"], {"folders": 4, "artist": 4})
    assert propose_classes(own, "here", "artist").names == [f"Ann {a}" for a in range(4)]
    with pytest.raises(
        UserError, match=r"here: album tags do not make two classes; others do: --classes folders \(4\)"
    ):
        propose_classes(own, "here", "album")
    with pytest.raises(UserError, match="here: nothing tells classes"):
        propose_classes(files(("a.wav", "", "", ""), ("b.wav", "", "", "")), "here")


def labelled(*told):
    return [Labelled(OwnFile(f"{n}", 1.0), label, None, artist, album) for n, (label, artist, album) in enumerate(told)]


def test_what_is_kept_together_is_said_class_by_class():
    many = [("x", f"a{n % 6}", "") for n in range(18)]
    one = [("y", "b", f"album {n % 4}") for n in range(12)]
    alone = [("z", "c", "same") for _ in range(9)]
    found = propose_split(labelled(*many, *one, *alone, ("tiny", "d", "")), "here")
    assert found.kept == [
        "artists of 1 classes are kept together",
        "albums, not artists, are kept together in 1 classes: all files of 'y' are of one artist",
        "only copies of a file are kept together in 1 classes: all files of 'z' are of one artist",
    ]
    assert found.doubts == ["fewer than 3 files, and therefore in no split: 'tiny'"]
    split = np.array([one or "" for one in found.splits])
    assert split[-1] == ""
    for rows, groups in ((range(18), 6), (range(18, 30), 4)):
        names = np.array([(*many, *one)[row][1 if rows[0] == 0 else 2] for row in rows])
        assert all(len(set(split[list(rows)][names == name])) == 1 for name in set(names))
        assert len(set(names)) == groups
    for label in ("x", "y", "z"):
        own = split[[n for n, told in enumerate((*many, *one, *alone)) if told[0] == label]]
        assert set(own) == {"train", "valid", "test"}
    with pytest.raises(DatasetError, match="here: fewer than two classes have 3 files"):
        propose_split(labelled(*many), "here")


def test_splits_of_folders_are_kept_and_validation_is_taken_from_training():
    rows = [("xy"[n % 2], "test" if n >= 20 else "train", f"a{n % 10}") for n in range(30)]
    own = [Labelled(OwnFile(str(n), 1.0), label, split, artist, "") for n, (label, split, artist) in enumerate(rows)]
    found = propose_split(own, "here")
    assert [one == "test" for one in found.splits] == [row[1] == "test" for row in rows]
    told = list(zip(rows, found.splits, strict=True))
    validated, trained = ({row[2] for row, one in told if one == split} for split in ("valid", "train"))
    assert not validated & trained
    assert {row[0] for row, one in told if one == "valid"} == {"x", "y"}
    assert found.kept[0] == "splits are those of folders, and a part of train validates"
    whole = [*own, *(Labelled(OwnFile(f"v{n}", 1.0), "xy"[n % 2], "valid", "", "") for n in range(4))]
    assert propose_split(whole, "here").splits == [file.split for file in whole]
