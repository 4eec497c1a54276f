"""The Million Song Dataset's tables as sources, and the stand-in's songs, of which each source tells something else."""

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_REGISTRY, bench, bench_json, make_mtt
from json_types import DOCUMENTS, complaints
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict

from tasks import DatasetError
from tasks.million_song import GENRES, LYRICS, METADATA, PLAYS, TAGS, TEMPOS, YEARS, MillionSong, split_of
from tasks.sources.reduction import reduce
from tasks.standin import composer, million_song, renderer, tagger
from tasks.standin.recording import write_all

FACTORS = 10


def written(root, tracks):
    """The tables of tracks, and an empty file for each preview."""
    root.mkdir(exist_ok=True)
    for piece in million_song.recordings(tracks, 0):
        file = root / piece.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    million_song.write_tables(root, tracks)
    return MillionSong(root)


@pytest.fixture(scope="module")
def tracks():
    return million_song.compose(0)


@pytest.fixture(scope="module")
def dataset(tracks, tmp_path_factory):
    return written(tmp_path_factory.mktemp("songs"), tracks)


@pytest.fixture
def few(tracks, tmp_path):
    return written(tmp_path / "few", tracks[:12])


# --- the stand-in


@pytest.fixture(scope="module")
def explained(tracks, dataset):
    """R² of what is true of songs, from the factors of each source, for artists that the fit has not seen."""
    of = {track.track_id: track for track in tracks}
    own = [of[clip.id] for clip in dataset.clips()]
    artists = np.array([track.artist_id for track in own])
    families = np.unique([million_song.FAMILY[track.song.genre] for track in own])
    truths = {
        "tempo": [[track.song.tempo] for track in own],
        "energy": [[track.song.energy] for track in own],
        "valence": [[track.song.valence] for track in own],
        "year": [[track.year] for track in own],
        "sung": [[not tagger.SINGERS.isdisjoint(track.song.instruments)] for track in own],
        "family": [million_song.FAMILY[track.song.genre] == families for track in own],
    }
    found = {}
    for source in dataset.sources():
        reduced = reduce(dataset.source(source), np.ones(len(own), bool), FACTORS)
        rows = reduced.labelled
        for truth, values in truths.items():
            y = np.asarray(values, float)[rows]
            said = cross_val_predict(Ridge(0.01), reduced.factors[rows], y, cv=GroupKFold(5), groups=artists[rows])
            spread = ((y - y.mean(axis=0)) ** 2).sum()
            found[source, truth] = 1 - ((y - said.reshape(y.shape)) ** 2).sum() / spread if spread else 0.0
    return found


def ranked(explained, truth):
    scores = {source: score for (source, of), score in explained.items() if of == truth}
    return sorted(scores, key=scores.get, reverse=True)


def test_each_source_teaches_something_of_its_own(explained):
    assert ranked(explained, "tempo")[0] == "bpm"
    assert explained["bpm", "tempo"] > 0.6
    assert max(explained["bpm", truth] for truth in ("energy", "valence", "year", "sung", "family")) < 0.15
    assert ranked(explained, "year")[0] == "year"
    assert max(explained["year", truth] for truth in ("tempo", "energy", "valence", "sung", "family")) < 0.1
    assert ranked(explained, "energy")[0] == "taste"
    assert ranked(explained, "valence")[:2] == ["taste", "lyrics"]
    assert explained["lyrics", "valence"] > 0.35
    assert ranked(explained, "sung")[:2] == ["tag", "artist"]
    assert explained["tag", "sung"] > 0.8
    assert ranked(explained, "family")[0] == "cdr_tag"
    assert explained["tag", "tempo"] > 0.2
    assert explained["taste", "tempo"] < 0.2


def test_artists_have_songs_enough_and_are_in_one_part(tracks, dataset):
    clips = dataset.clips()
    splits, songs = {}, {}
    for clip in clips:
        splits.setdefault(clip.artist, set()).add(clip.split)
        songs[clip.artist] = songs.get(clip.artist, 0) + 1
    assert all(len(found) == 1 for found in splits.values())
    assert set(songs.values()) == {6}
    assert {split for found in splits.values() for split in found} == {"train", "valid", "test"}
    assert len({clip.album for clip in clips}) == 2 * len(songs)
    assert 0.7 < np.mean([clip.split == "train" for clip in clips]) < 0.9
    assert len({track.genres for track in tracks}) > 20


def test_the_year_can_be_heard(tracks):
    """The same song on records of three years: louder, brighter, and with less noise where nothing is played."""
    song = next(track.song for track in tracks if track.song.groove is None)
    levels, tilts, noises = [], [], []
    for year in (1960, 1990, 2019):
        album = million_song._recorded_in(year, song.album, composer.generator(0, "layout"))
        samples = renderer.render(replace(song, album=album), 5.0, 2, 22_050) / 32768
        power = np.abs(np.fft.rfft(samples)) ** 2  # in steps of 0.5 Hz
        levels.append(20 * np.log10(np.abs(samples).max()))
        tilts.append(10 * np.log10(power[4_000:8_000].sum() / power[1_000:2_000].sum()))
        noises.append(album.noise)
    assert levels[2] - levels[0] == pytest.approx(11, abs=0.1)
    assert tilts[2] - tilts[1] > 2
    assert tilts[1] - tilts[0] > 2
    assert noises[0] / noises[2] == pytest.approx(100)


# --- the tables


def test_the_loaders_read_what_was_written(tracks, dataset):
    of = {track.track_id: track for track in tracks}
    clips = dataset.clips()
    rows = range(0, len(clips), 7)
    bpm, year = dataset.source("bpm").values, dataset.source("year").values
    terms = {name: dataset.source(name) for name in ("taste", "tag", "lyrics", "cdr_tag")}
    for row in rows:
        track = of[clips[row].id]
        assert (bpm[row], year[row]) == (track.tempo, track.year)
        assert (clips[row].artist, clips[row].recording) == (track.artist_id, track.song_id)
        said = {
            "taste": track.plays,
            "tag": track.tags,
            "lyrics": track.words,
            "cdr_tag": dict.fromkeys(track.genres, 1),
        }
        for name, labels in terms.items():
            counts = labels.counts[[row]].toarray()[0]
            read = {term: count for term, count in zip(labels.names, counts, strict=True) if count}
            assert read == said[name]
    assert terms["lyrics"].weighting == "tfidf"
    assert dataset.source("artist").groups.tolist() == [clip.artist for clip in clips]
    assert not terms["lyrics"].labelled.all()


def test_a_clip_is_a_track_whose_preview_is_there(few, tmp_path):
    clips = few.clips()
    (few.root / clips[3].path).unlink()
    named = few.root / "audio" / "elsewhere" / f"{clips[5].id}.mp3"
    named.parent.mkdir()
    (few.root / clips[5].path).rename(named)
    again = MillionSong(few.root).clips()
    assert [clip.id for clip in again] == [clip.id for clip in clips if clip is not clips[3]]
    assert again[4].path == f"audio/elsewhere/{clips[5].id}.mp3"
    assert clips[0].split == split_of(clips[0].artist)


def test_a_song_of_several_tracks_is_played_in_each_unless_it_is_known_to_be_another(few):
    clips, plays = few.clips(), few.source("taste").counts.toarray()
    with closing(sqlite3.connect(few.root / METADATA)) as base, base:
        base.execute("UPDATE songs SET song_id = ? WHERE track_id = ?", (clips[0].recording, clips[1].id))
    again = MillionSong(few.root).source("taste").counts.toarray()
    assert again[1].tolist() == again[0].tolist()
    assert again[0].sum() == plays[0].sum()
    mismatch = f"ERROR: <{clips[0].recording} {clips[1].id}> A  -  B  !=  C  -  D\n"
    (few.root / "sid_mismatches.txt").write_text(mismatch)
    dropped = MillionSong(few.root).source("taste").labelled
    assert (dropped[0], dropped[1]) == (True, False)


def test_a_tempo_and_a_weight_of_0_mean_something(few):
    lines = (few.root / TEMPOS).read_text().splitlines()
    (few.root / TEMPOS).write_text("\n".join([lines[0].split("\t")[0] + "\t0", *lines[1:]]) + "\n")
    with closing(sqlite3.connect(few.root / TAGS)) as base, base:
        base.execute("UPDATE tid_tag SET val = 0")
    again = MillionSong(few.root)
    assert again.source("bpm").labelled.tolist() == [False] + [True] * 11
    assert set(again.source("tag").counts.data) == {1.0}


@pytest.mark.parametrize(
    ("source", "table", "line", "text", "said"),
    [
        ("year", YEARS, 3, "next<SEP>{id}<SEP>a<SEP>t", ":3: field 1 must be a year, as in 1984, not 'next'"),
        ("year", YEARS, 2, "1999<SEP>{id}", ":2: 2 fields, not 4, separated by <SEP>"),
        ("bpm", TEMPOS, 4, "{id}\tfast", ":4: field 2 must be a number, not 'fast'"),
        ("bpm", TEMPOS, 1, "{id} 120", ":1: 1 fields, not 2, separated by TABs"),
        ("taste", PLAYS, 2, "u\t{song}\tx", ":2: field 3 must be a number of plays, not 'x'"),
        ("cdr_tag", GENRES, 1, "Rock", ":1: 1 fields, not 2, separated by <SEP>"),
    ],
)
def test_mistakes_are_named_with_file_and_line(few, source, table, line, text, said):
    file = few.root / table
    lines = file.read_text().splitlines()
    clip = few.clips()[0]
    lines[line - 1] = text.format(id=clip.id, song=clip.recording)
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError) as raised:
        MillionSong(few.root).source(source)
    assert str(raised.value) == f"{file}{said}"


def test_what_is_not_there_or_no_database_is_said(few):
    (few.root / LYRICS).write_bytes(b"no database, but something of some length " * 40)
    (few.root / TAGS).unlink()
    again = MillionSong(few.root)
    assert {*again.sources()} == {"bpm", "year", "taste", "lyrics", "cdr_tag"}
    with pytest.raises(DatasetError, match=r"mxm_dataset.db: it is not the database that was published"):
        again.source("lyrics")
    with pytest.raises(DatasetError, match=r"lastfm_tags.db: no such table, which source artist is read from"):
        again.source("artist")
    with pytest.raises(DatasetError, match="has no source 'mood'; there are bpm"):
        again.source("mood")
    with pytest.raises(DatasetError, match="is a corpus to pretrain on"):
        again.task()


# --- the command line

REGISTRY = f"""{TINY_REGISTRY}
  two:
    method: multi_source
    source: tests
    sources: [self, bpm]
    factors: 3
    tracks: own
    epochs: 1
    batch: 12
    dropout: 0.5
    loss_scale: elements
    optimiser: {{kind: adam}}
    learning_rate: 1e-3
    weight_decay: 0
"""


@pytest.fixture(scope="module")
def data(tracks, tmp_path_factory):
    """A folder of data with four artists' songs, which can be decoded."""
    data = tmp_path_factory.mktemp("data")
    root = data / "million_song"
    root.mkdir()
    own = [track for track in tracks if split_of(track.artist_id) == "train"][:18]
    own += [track for track in tracks if split_of(track.artist_id) == "test"][:6]
    write_all(root, [replace(piece, seconds=3) for piece in million_song.recordings(own, 0)], workers=1)
    million_song.write_tables(root, own)
    return data


def test_sources_are_reduced_and_shown_from_the_command_line(data, tmp_path):
    options = ("--data", data, "--store", tmp_path / "store", "--factors", 3)
    document = bench_json("data", "sources", "multisource", *options)
    assert complaints(document, DOCUMENTS["data sources"]) == []
    rows = {row["source"]: row for row in document}
    assert [*rows] == ["self", "bpm", "year", "taste", "tag", "lyrics", "cdr_tag", "artist"]
    assert {(row["clips"], row["labelled"], row["fitted"]) for row in rows.values() if row["source"] != "lyrics"} == {
        (24, 24, 18),
        (24, 24, 24),  # self, which nothing is fitted for
    }
    assert rows["self"]["factors"] == []
    assert len(rows["tag"]["factors"]) == 3
    assert all(len(factor["terms"]) == 10 and factor["mean"] is None for factor in rows["tag"]["factors"])
    assert all(20 < factor["mean"] < 380 for factor in rows["bpm"]["factors"])
    shown = bench("data", "sources", "multisource", *options, "--source", "tag")
    assert shown.returncode == 0
    assert rows["tag"]["factors"][0]["terms"][0][0] in shown.stdout
    wrong = bench("data", "sources", "multisource", *options, "--source", "tags")
    assert (wrong.returncode, len(re.findall("^bench: ", wrong.stderr, re.MULTILINE))) == (2, 1)
    assert "unknown source of corpus multisource 'tags'. Did you mean 'tag'?" in wrong.stderr


def test_a_training_learns_from_sources_and_the_report_shows_them(data, tmp_path):
    own = tmp_path / "data"
    (own / "million_song").mkdir(parents=True)
    for file in (data / "million_song").iterdir():
        (own / "million_song" / file.name).symlink_to(file)
    make_mtt(own / "magnatagatune", {"0": 6, "c": 4, "d": 4})
    registry = tmp_path / "two.yaml"
    registry.write_text(REGISTRY)
    tempos = own / "million_song" / TEMPOS
    text = tempos.read_text()
    tempos.unlink()
    tempos.write_text("".join(f"{line.split()[0]}\t120\n" for line in text.splitlines()))
    shared = ("--data", own, "--store", tmp_path / "store", "--registry", registry)
    run = ("run", "--encoder", "tiny", "--task", "mtt", "--corpus", "multisource", "--recipe", "two", *shared)
    unknown = bench(*run, "--set", "sources=[self,tempo]")
    assert unknown.returncode != 0
    assert "unknown source of corpus multisource 'tempo'." in unknown.stderr
    failed = bench(*run)
    assert failed.returncode != 0
    said = [line for line in failed.stderr.splitlines() if "have the same value, 120" in line]
    assert any("source bpm: all 18 clips that are trained on" in line for line in said)
    assert not (tmp_path / "store" / "artifacts" / "pretrain").exists()
    tempos.write_text(text)
    done = bench(*run)
    assert done.returncode == 0, done.stderr
    (trained,) = (tmp_path / "store" / "artifacts" / "pretrain").iterdir()
    needs = json.loads((trained / "manifest.json").read_text())["needs"]
    assert {"source", "source.1"} < set(needs)
    report = bench("report", "--store", tmp_path / "store", "--format", "json", "-o", "-")
    (source,) = json.loads(report.stdout)["sources"]
    assert (source["dataset"], source["source"], source["clips"], source["fitted"]) == ("million_song", "bpm", 24, 18)
    assert len(source["factors"]) == 3
    html = bench("report", "--store", tmp_path / "store", "-o", tmp_path / "report.html")
    assert html.returncode == 0, html.stderr
    page = (tmp_path / "report.html").read_text()
    assert "bpm of million_song: 18 labelled clips trained on, 3 factors" in page
