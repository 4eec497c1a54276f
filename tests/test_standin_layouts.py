"""The stand-ins of GTZAN, FMA, Billboard, EmoMusic and GiantSteps: the genuine layouts, quirks included."""

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.billboard import Billboard
from tasks.emomusic import EmoMusic
from tasks.fma import FmaMedium, FmaSmall
from tasks.giantsteps import GiantSteps
from tasks.gtzan import GENRES, Gtzan
from tasks.metrics.key import KEYS
from tasks.standin import billboard, composer, emomusic, fma, giantsteps, gtzan, recording

SEED = 0
MODULES = {"gtzan": gtzan, "fma": fma, "billboard": billboard, "emomusic": emomusic, "giantsteps": giantsteps}


def recordings(name, seed=SEED):
    """Everything of a stand-in that is to be recorded."""
    made = MODULES[name].compose(seed)
    if name == "gtzan":
        return made
    if name == "billboard":
        return billboard.recordings(*made)
    return [item.recording for item in made if item.recording is not None]


def name_only(root, piece):
    """In place of music, which takes longest."""
    (root / piece.path).write_text(piece.path)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """The five folders, with names of files in place of music."""
    roots = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "_write", name_only)
        patch.setattr(recording.os, "cpu_count", lambda: 1)
        for name, module in MODULES.items():
            roots[name] = tmp_path_factory.mktemp(name)
            module.write(roots[name], SEED)
    return roots


def artists_by_split(clips):
    splits = {}
    for clip in clips:
        splits.setdefault(clip.split, set()).add(clip.artist)
    return splits


# --- all


@pytest.mark.parametrize("name", MODULES)
def test_the_extent_is_what_is_written(name, trees):
    made = recordings(name)
    number, seconds = MODULES[name].extent()
    assert (number, seconds) == (len(made), sum(piece.seconds for piece in made))
    assert len({piece.path for piece in made}) == number
    assert all((trees[name] / piece.path).is_file() for piece in made)


@pytest.mark.parametrize("name", MODULES)
def test_same_seed_same_music_and_another_seed_other_music(name):
    assert repr(recordings(name)) == repr(recordings(name))
    one, other = ({repr(piece.song) for piece in recordings(name, seed)} for seed in (SEED, SEED + 1))
    assert one.isdisjoint(other)


def test_no_two_standins_play_the_same_song():
    seeds = [{piece.song.seed for piece in recordings(name)} for name in MODULES]
    assert all(len(found) == 1 for found in seeds)
    assert len(set.union(*seeds)) == len(MODULES)


def test_metadata_do_not_depend_on_the_process():
    code = (
        "from tasks.standin import emomusic, fma, giantsteps\n"
        "print([repr(module.compose(3)) for module in (emomusic, fma, giantsteps)])"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env={"PYTHONHASHSEED": "7"},
    )
    assert other.stdout.strip() == str([repr(module.compose(3)) for module in (emomusic, fma, giantsteps)])


@pytest.mark.parametrize(
    ("name", "format", "rate", "channels"),
    [
        ("gtzan", "WAV", 22_050, {1}),
        ("fma", "MP3", 44_100, {1, 2}),
        ("billboard", "FLAC", 44_100, {2}),
        ("emomusic", "MP3", 44_100, {1}),
        ("giantsteps", "MP3", 22_050, {1}),
    ],
)
def test_audio_is_in_the_genuine_format(name, format, rate, channels, tmp_path):
    # Three on end: every kind of FMA's files is among them.
    some = sorted(recordings(name), key=lambda piece: piece.song.index)[:3]
    recording.write_all(tmp_path, some, workers=1)
    found = set()
    for piece in some:
        info = soundfile.info(tmp_path / piece.path)
        assert (info.format, info.samplerate) == (format, rate)
        found.add(info.channels)
        samples, _ = soundfile.read(tmp_path / piece.path, always_2d=True)
        assert piece.seconds * rate <= len(samples) <= piece.seconds * rate + (3 * 1152 if format == "MP3" else 0)
        assert 0.002 < np.sqrt(np.mean(samples**2)) < 0.6
        np.testing.assert_array_equal(recording.pcm(piece), recording.pcm(piece))
    assert found == channels


def test_resampled_music_is_the_same_music():
    piece = recordings("emomusic")[0]
    plain = recording.pcm(recording.Recording(piece.path, piece.song, 0, 2, recording.Encoding("WAV", 22_050)))
    twice = recording.pcm(recording.Recording(piece.path, piece.song, 0, 2, recording.Encoding("WAV", 44_100)))
    assert len(twice) == 2 * len(plain)
    # Resampling keeps every second sample, but for its filter's passband.
    assert np.corrcoef(plain, twice[::2])[0, 1] > 0.999


def test_stereo_is_louder_on_one_side():
    piece = recordings("billboard")[0]
    samples = recording.pcm(recording.Recording(piece.path, piece.song, 0, 1, piece.encoding)).astype(float)
    assert samples.shape == (44_100, 2)
    levels = np.abs(samples).sum(axis=0)
    assert recording.BALANCE[0] - 0.01 <= levels.min() / levels.max() <= 1
    assert np.corrcoef(samples.T)[0, 1] > 0.99


# --- one by one


def test_gtzan_has_published_names_in_the_published_split(trees):
    dataset = Gtzan(trees["gtzan"])
    dataset.check()
    task = dataset.task()
    here = {clip.id for clip in dataset.clips() if (dataset.root / clip.path).is_file()}
    rows = [row for row, clip in enumerate(task.clip_ids) if clip in here]
    assert Counter(task.splits[rows].tolist()) == {"train": 120, "valid": 30, "test": 60}
    assert Counter(task.labels[rows, 0].tolist()) == dict.fromkeys(range(10), 21)
    # One that the fault filter removes, of each genre of which it removes any: all but blues and rock.
    assert len(here) == 218
    assert {clip.partition(".")[0] for clip in here - set(task.clip_ids)} == set(GENRES) - {"blues", "rock"}


def test_gtzan_shares_no_artist_between_splits(trees):
    split = {clip.path: clip.split for clip in Gtzan(trees["gtzan"]).clips()}
    splits = {}
    for piece in recordings("gtzan"):
        splits.setdefault(repr(piece.song.artist), set()).add(split[piece.path])
    assert len(splits) == 10 * 9 + 8
    assert all(len(found) == 1 for found in splits.values())


def test_one_tree_of_fma_serves_both_sizes(trees):
    small, medium = FmaSmall(trees["fma"]), FmaMedium(trees["fma"])
    for dataset, sizes in ((small, (48, 16, 40)), (medium, (80, 26, 60))):
        dataset.check()
        task = dataset.task()
        assert Counter(task.splits.tolist()) == dict(zip(("train", "valid", "test"), sizes, strict=True))
        assert set(task.labels[task.splits == "test", 0]) == set(range(len(dataset.GENRES)))
        assert {clip.path for clip in dataset.clips()} == {
            path.relative_to(dataset.root).as_posix() for path in dataset.audio_files()
        }
        artists = artists_by_split(dataset.clips())
        assert artists["train"].isdisjoint(artists["valid"] | artists["test"])
        assert artists["valid"].isdisjoint(artists["test"])


def test_fma_has_the_genuine_table_and_two_of_the_broken_files(trees):
    root = trees["fma"]
    with (root / "fma_metadata/tracks.csv").open(newline="", encoding="utf-8") as file:
        groups, names, third, *rows = csv.reader(file)
    assert len(groups) == len(names) == 53
    assert Counter(groups) == {"": 1, "album": 13, "artist": 17, "set": 2, "track": 20}
    assert third == ["track_id", *[""] * 52]
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)
    subset = groups.index("set") + 1
    assert names[subset] == "subset"
    assert Counter(row[subset] for row in rows) == {"small": 106, "medium": 62, "large": 8}
    bad = {clip.id for clip in FmaSmall(root).clips() if clip.split is None}
    assert bad == {"133297", "98565"}
    found = FmaMedium(root).checksums()
    assert len(found) == 168
    for path, checksum in found.items():
        assert checksum == f"sha1:{hashlib.sha1((root / path).read_bytes()).hexdigest()}"


def test_the_stub_of_fma_decodes_to_next_to_nothing(tmp_path, monkeypatch):
    tracks = [track for track in fma.compose(SEED) if track.recording is not None][:1]
    monkeypatch.setattr(fma, "compose", lambda seed: tracks)
    fma.write(tmp_path, SEED)
    stub = tmp_path / "fma_medium/133/133297.mp3"
    assert stub.stat().st_size == 1752
    assert len(soundfile.read(stub)[0]) < 0.1 * 44_100


def test_every_song_of_billboard_is_found_once(trees):
    dataset = Billboard(trees["billboard"])
    dataset.check()
    assert dataset.unused_files() == {}
    assert len(dataset.clips()) == 64
    assert {count.what: count.found for count in dataset.counts()} == {
        "slots": 96,
        "filled slots": 80,
        "different songs": 76,
        "songs with audio": 64,
    }
    # By decade, artist and title, as mirdata has it.
    for path in dataset.audio_files():
        kind, decade, artist, title, name = path.relative_to(dataset.root).parts
        assert (kind, name) == ("audio", "audio.flac")
        assert decade in {"1950s", "1960s", "1970s", "1980s", "1990s"}
        assert artist.startswith("artist ")
        assert title.startswith("title ")


def test_chords_of_billboard_are_those_that_are_played(trees):
    root = trees["billboard"]
    slots, songs = billboard.compose(SEED)
    filled = [slot for slot in slots if slot.song is not None]
    assert sorted(path.name for path in (root / "McGill-Billboard").iterdir()) == [f"{s.number:04d}" for s in filled]
    swapped = 0
    for slot in filled:
        text = (root / f"McGill-Billboard/{slot.number:04d}/salami_chords.txt").read_text()
        title, artist, metre, tonic, blank, *events = text.splitlines()
        assert (metre, blank) == ("# metre: 4/4", "")
        swapped += artist.startswith("# artist: title ") and title.startswith("# title: artist ")
        song = songs[slot.song]
        names = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
        assert tonic == f"# tonic: {names[song.tonic]}"
        times = [float(event.partition("\t")[0]) for event in events]
        assert times == sorted(times)
        assert events[0] == "0.0\tsilence"
        assert events[-1].endswith("\tend")
        assert times[2] - times[1] == pytest.approx(4 * 4 * 60 / song.tempo, abs=0.002)
        if 0 in song.progression:
            assert f"{names[song.tonic]}:{'maj' if song.major else 'min'}" in events[1]
    assert 1 <= swapped <= 2


def test_emomusic_has_tables_in_the_genuine_dialect(trees):
    lines = (trees["emomusic"] / "annotations/songs_info.csv").read_text().splitlines()
    assert lines[0].startswith('"song_id","file_name","Artist","Song title","start of the segment (min.sec)",')
    number, file, artist, title, start, end, genre, part = lines[1].split(",")
    assert file == f'"\t{number}.mp3"'
    assert artist[-2:] == title[-2:] == start[-2:] == end[-2:] == genre[-2:] == '\t"'
    assert part in ('"development"', '"evaluation"')
    assert [emomusic._minutes(seconds) for seconds in (2, 20, 60, 65)] == ["0.02", "0.2", "1", "1.05"]
    static = (trees["emomusic"] / "annotations/static_annotations.csv").read_text().splitlines()
    assert static[0] == "song_id,mean_arousal,std_arousal,mean_valence,std_valence"
    assert len(static) == len(lines) == 201


def test_emomusic_has_its_splits_and_two_artists_on_both_sides(trees):
    dataset = EmoMusic(trees["emomusic"])
    dataset.check()
    assert Counter(dataset.task().splits.tolist()) == {"train": 120, "valid": 32, "test": 48}
    assert Counter(dataset.task(split="mediaeval").splits.tolist()) == {"train": 136, "valid": 16, "test": 48}
    assert {clip.seconds for clip in dataset.clips()} == {6.0}
    artists = artists_by_split(dataset.clips())
    assert len(artists["train"] & artists["test"]) == 2
    assert artists["valid"].isdisjoint(artists["train"] | artists["test"])


def test_emotion_follows_from_the_music(trees):
    labels = EmoMusic(trees["emomusic"]).task().labels
    songs = [excerpt.recording.song for excerpt in emomusic.compose(SEED)]
    for column, name, noise in ((0, "arousal", 0.35), (1, "valence", 0.4)):
        truth = [getattr(song, name) for song in songs]
        expected = 1 / np.hypot(1, noise)
        assert np.corrcoef(labels[:, column], truth)[0, 1] == pytest.approx(expected, abs=0.04)
    assert labels.mean(axis=0) == pytest.approx([4.76, 4.97], abs=0.15)
    assert labels.std(axis=0) == pytest.approx([1.39, 1.25], abs=0.15)


def test_giantsteps_has_two_songs_to_test_and_five_to_learn_of_each_key(trees):
    dataset = GiantSteps(trees["giantsteps"])
    dataset.check()
    task = dataset.task()
    for split, number in (("train", 4), ("valid", 1), ("test", 2)):
        assert Counter(task.labels[task.splits == split, 0].tolist()) == dict.fromkeys(range(24), number)
    assert sum(clip.split is None for clip in dataset.clips()) == 8
    artists = artists_by_split(clip for clip in dataset.clips() if clip.split in ("train", "valid"))
    single = {split: {name for both in names for name in both.split(", ")} for split, names in artists.items()}
    assert single["train"].isdisjoint(single["valid"])
    assert any(", " in both for both in artists["train"])
    key = {str(track.track_id): track.recording.song for track in giantsteps.compose(SEED)}
    for clip, label in zip(task.clip_ids, task.labels[:, 0], strict=True):
        tonic, mode = KEYS[label].split()
        assert giantsteps._PITCH_CLASSES[key[clip].tonic] == tonic
        assert key[clip].major == (mode == "major")


def test_giantsteps_has_files_as_published(trees):
    tested, trained = (trees["giantsteps"] / name for name in ("giantsteps-key-dataset", "giantsteps-mtg-key-dataset"))
    keys = [path.read_bytes() for path in (tested / "annotations/key").iterdir()]
    assert {key.decode() for key in keys} == set(KEYS)
    lines = (trained / "annotations/annotations.txt").read_bytes().split(b"\n")
    assert lines[0] == b"ID\tMANUAL KEY\tC"
    written = [line.split(b"\t")[1:] for line in lines[1:-1]]
    assert len(written) == 128
    for odd in ([b"-", b"0"], [b" ", b"0"], [b"A / B minor", b"2"], [b"A-A# minor", b"0"], [b"D# major", b"1"]):
        assert odd in written
    assert sum(key.endswith((b"or ", b"or  ")) for key, _ in written) == 1
    assert not any(b"b" in key.partition(b" ")[0][1:] for key, _ in written)
    for line in lines[1:-1]:
        number, key, sure = line.split(b"\t")
        file = trained / f"annotations/key/{number.decode()}.LOFI.key"
        assert file.read_bytes() == (key.rstrip(b" ") or b" ").lower() + b"\t" + sure + b"\t\n"
    for folder in (tested, trained):
        files = {path.name for path in (folder / "audio").iterdir()}
        for path in (folder / "md5").iterdir():
            audio = folder / "audio" / f"{path.stem}.mp3"
            assert path.read_text() == hashlib.md5(audio.read_bytes()).hexdigest() + "\n"
            files.remove(audio.name)
        assert not files


def test_a_given_key_changes_nothing_else():
    by, on = composer.artist(1, 0, "techno"), composer.album(1, 0)
    free = composer.song(1, 0, by, on)
    asked = composer.song(1, 0, by, on, ((free.tonic + 5) % 12, free.major))
    assert asked.tonic == (free.tonic + 5) % 12
    same = set(free.__slots__) - {"tonic"}
    assert all(getattr(asked, name) == getattr(free, name) for name in same)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_all_of_it_is_music(name, tmp_path):
    MODULES[name].write(tmp_path, SEED)
    for piece in recordings(name):
        samples, rate = soundfile.read(tmp_path / piece.path, always_2d=True)
        assert len(samples) >= piece.seconds * rate
        assert 0.002 < np.sqrt(np.mean(samples**2)) < 0.6
        assert np.abs(samples).max() <= 1
