"""The stand-in of the Million Song Dataset and its additions: songs of artists, and seven ways to speak of them.

96 artists of 23 styles have made two albums each, of three songs. What is told of a song is drawn from what it is
(`composer.Song`), each source in a way of its own, so that each tells something that the others do not:

* tempo: that of the music, which the estimator halves or doubles at times;
* year: an era for the artist and a step for the album, whose recording chain follows it: noise, level and brightness
  of the first records are those of their time, so that the year can be heard;
* listening: listeners of a few tribes, who like some genres, and songs that are lively or merry as they are;
* tags: what five annotators write down of instruments, genre, tempo and loudness;
* lyrics, of sung songs alone: themes of the artist, of joy or sorrow, and of the genre's family;
* genres: a librarian's, who knows the artist's families and makes no mistake.

The artists are divided as the genuine loader divides them.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tasks.million_song import GENRES, LYRICS, METADATA, PLAYS, SEPARATOR, TAGS, TEMPOS, YEARS, preview_path
from tasks.standin import composer, tagger
from tasks.standin.recording import Encoding, Recording, write_all
from tasks.standin.styles import STYLES

ARTISTS = 96
ALBUMS, SONGS = 2, 3
SECONDS = 4
#: Start of the latest preview in its song [s].
LATEST = 50
ENCODING = Encoding("MP3", 22_050, compression=0.8)

#: Family of each style, as a librarian files it.
FAMILY: Mapping[str, str] = {
    **dict.fromkeys(("classical", "baroque", "opera", "choral"), "Classical"),
    **dict.fromkeys(("ambient", "techno", "experimental"), "Electronic"),
    **dict.fromkeys(("rock", "metal"), "Rock"),
    **dict.fromkeys(("disco", "pop", "easy listening", "instrumental"), "Pop"),
    **dict.fromkeys(("country", "folk", "old-time"), "Folk"),
    **dict.fromkeys(("blues", "jazz", "soul"), "Jazz"),
    **dict.fromkeys(("hip hop", "reggae", "spoken"), "Urban"),
    "indian": "World",
}

#: Range of years, and the earliest year of styles that came late.
FIRST_YEAR, LAST_YEAR = 1960, 2019
SINCE: Mapping[str, int] = {"techno": 1988, "hip hop": 1985, "metal": 1978, "disco": 1974, "ambient": 1976}
ALBUM_STEP = 6
#: The recording chain of the first and of the last year: noise [log10], level [dB], tilt [dB/octave].
NOISE_OF_YEARS = (-2.2, -4.2)
LEVEL_OF_YEARS = (-14.0, -3.0)
TILT_OF_YEARS = (-3.0, 1.5)
TILT_SD = 0.3

HALVED, DOUBLED, JITTER = 0.07, 0.07, 0.01

USERS, TRIBES = 240, 8
#: What a tribe's liking for energy, valence and a genre adds to the logarithm of the rate of plays.
LIKING, AFFINITY, POPULARITY, LEVEL_OF_PLAYS = 1.1, 0.5, 0.5, -2.8

ANNOTATORS = 5
#: Last.fm gives the strongest tag of a track this weight.
MOST = 100

WORDS = 80
#: Whose theme a word is of: the artist's, that of joy or sorrow, the family's.
THEMES = (0.3, 0.45, 0.25)
VOCABULARY, ARTIST_THEMES, THEME_SIZE = 500, 40, 40
#: Valence that half of the songs lie above.
MIDDLING = 0.45


@dataclass(frozen=True, slots=True)
class Track:
    """A row of the tables: a song, who made it, and what is told of it."""

    track_id: str
    song_id: str
    artist_id: str
    artist: str
    album: str
    title: str
    preview: int
    song: composer.Song
    genres: frozenset[str]
    year: int
    tempo: float
    tags: Mapping[str, int]
    words: Mapping[str, int]
    plays: Mapping[str, int]


def compose(seed: int) -> list[Track]:
    """Return every track, artist by artist; nothing is rendered."""
    music = composer.seed_of(seed, "million song")
    rng = composer.generator(music, "layout")
    styles = [*STYLES] * (ARTISTS // len(STYLES)) + ["pop", "rock", "jazz", "techno"][: ARTISTS % len(STYLES)]
    previews = 100_000 + rng.choice(9_900_000, ARTISTS * ALBUMS * SONGS, replace=False)
    tracks = [
        track
        for number, style in enumerate(styles)
        for track in _by_artist(music, number, style, previews[number * ALBUMS * SONGS :])
    ]
    plays = _plays(tracks, composer.generator(music, "annotator", 1 << 20))
    return [replace(track, plays=played) for track, played in zip(tracks, plays, strict=True)]


def write(root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the stand-in into the empty folder `root`; see `tasks.base.StandIn`."""
    tracks = compose(seed)
    write_all(root, recordings(tracks, seed), progress)
    write_tables(root, tracks)


def extent() -> tuple[int, float]:
    """Return the number of previews and their duration in all [s]."""
    songs = ARTISTS * ALBUMS * SONGS
    return songs, float(songs * SECONDS)


def recordings(tracks: Sequence[Track], seed: int) -> list[Recording]:
    """Which stretch of each song its preview is."""
    rng = composer.generator(composer.seed_of(seed, "million song"), "clip")
    starts = rng.integers(LATEST, size=len(tracks)).tolist()
    return [
        Recording(preview_path(track.preview), track.song, float(start), SECONDS, ENCODING)
        for track, start in zip(tracks, starts, strict=True)
    ]


def _by_artist(music: int, number: int, style: str, previews: Any) -> Iterator[Track]:
    rng = composer.generator(music, "layout", number + 1)
    other = str(rng.choice([name for name in STYLES if name != style]))
    by = composer.artist(music, number, style, (other,))
    crossed = by.palette != composer.artist(music, number, style).palette
    genres = {FAMILY[style], style.title()} | ({other.title()} if crossed else set())
    era = int(rng.integers(SINCE.get(style, FIRST_YEAR), LAST_YEAR - ALBUM_STEP))
    theme = rng.integers(ARTIST_THEMES)
    artist_id = _identity("AR", rng)
    for album in range(ALBUMS):
        year = min(era + album * int(rng.integers(1, ALBUM_STEP + 1)), LAST_YEAR)
        chain = _recorded_in(year, composer.album(music, number * ALBUMS + album), rng)
        for place in range(SONGS):
            index = (number * ALBUMS + album) * SONGS + place
            song = composer.song(music, index, by, chain)
            own = composer.generator(music, "annotator", index)
            yield Track(
                track_id=_identity("TR", own),
                song_id=_identity("SO", own),
                artist_id=artist_id,
                artist=f"artist {number + 1}",
                album=f"album {number * ALBUMS + album + 1}",
                title=f"title {index + 1}",
                preview=int(previews[album * SONGS + place]),
                song=song,
                genres=frozenset(genres),
                year=year,
                tempo=_estimated(song.tempo, own),
                tags=_tags(song, own),
                words=_words(song, f"artist's {theme}", own),
                plays={},
            )


def _identity(prefix: str, rng: np.random.Generator) -> str:
    """An identifier as the dataset has them, e.g. ``TRAAAAW128F429D538``."""
    letters = "".join(chr(ord("A") + letter) for letter in rng.integers(26, size=5))
    return f"{prefix}{letters}128F{''.join('0123456789ABCDEF'[digit] for digit in rng.integers(16, size=7))}"


def _recorded_in(year: int, album: composer.Album, rng: np.random.Generator) -> composer.Album:
    share = (year - FIRST_YEAR) / (LAST_YEAR - FIRST_YEAR)
    noise, level, tilt = (
        first + share * (last - first) for first, last in (NOISE_OF_YEARS, LEVEL_OF_YEARS, TILT_OF_YEARS)
    )
    return replace(album, noise=10**noise, level=level, tilt=tilt + rng.normal(0, TILT_SD))


def _estimated(tempo: float, rng: np.random.Generator) -> float:
    factor = rng.choice([0.5, 2.0, 1.0], p=[HALVED, DOUBLED, 1 - HALVED - DOUBLED])
    return round(float(tempo * factor * (1 + rng.normal(0, JITTER))), 3)


def _tags(song: composer.Song, rng: np.random.Generator) -> dict[str, int]:
    true = tagger.true_tags(song)
    said = Counter(tag for _ in range(ANNOTATORS) for tag in tagger.annotate(true, _EVERY_TAG, rng))
    return {tag: round(MOST * count / ANNOTATORS) for tag, count in sorted(said.items())}


_EVERY_TAG = sorted(
    {tag for tags in (*tagger.INSTRUMENT_TAGS.values(), *tagger.GENRE_TAGS.values()) for tag in tags}
    | {"slow", "fast", "quiet", "soft", "loud", "weird", "solo", "drums", "beat", "no vocals"}
)


def _words(song: composer.Song, theme: str, rng: np.random.Generator) -> dict[str, int]:
    """How often each word is sung; none where nobody sings."""
    if tagger.SINGERS.isdisjoint(song.instruments):
        return {}
    mood = "joy" if song.valence > MIDDLING else "sorrow"
    counts = rng.multinomial(WORDS, THEMES).tolist()
    themes = zip((theme, mood, FAMILY[song.genre]), counts, strict=True)
    sung = Counter(word for name, count in themes for word in rng.choice(_theme(name), count).tolist())
    return {f"w{word:03d}": count for word, count in sorted(sung.items())}


@cache
def _theme(name: str) -> Any:
    """Words of a theme, the same in every stand-in; a word may be of several."""
    return np.random.default_rng([*name.encode()]).choice(VOCABULARY, THEME_SIZE, replace=False)


def _plays(tracks: Sequence[Track], rng: np.random.Generator) -> list[dict[str, int]]:
    """How often each listener has played each track."""
    # Energy and valence in standard units, as a listener compares songs with one another.
    felt = np.array([(track.song.energy, track.song.valence) for track in tracks])
    felt = (felt - felt.mean(axis=0)) / felt.std(axis=0)
    angles = 2 * np.pi * np.arange(TRIBES) / TRIBES
    taste = LIKING * np.stack([np.cos(angles), np.sin(angles)])
    names = list(STYLES)
    affinity = rng.normal(0, AFFINITY, (len(names), TRIBES))
    genre = np.array([names.index(track.song.genre) for track in tracks])
    rates = felt @ taste + affinity[genre] + rng.normal(0, POPULARITY, (len(tracks), 1)) + LEVEL_OF_PLAYS
    counts = rng.poisson(np.exp(rates)[:, np.arange(USERS) % TRIBES])
    users = [f"{user:040x}" for user in rng.integers(1 << 62, size=USERS).tolist()]
    return [{users[user]: int(row[user]) for user in np.flatnonzero(row)} for row in counts]


def write_tables(root: Path, tracks: Sequence[Track]) -> None:
    """Write every table of tracks, as each was published."""
    write_metadata(root / METADATA, tracks)
    _write_tags(root / TAGS, tracks)
    _write_lyrics(root / LYRICS, tracks)
    years = (SEPARATOR.join((str(track.year), track.track_id, track.artist, track.title)) for track in tracks)
    tempos = (f"{track.track_id}\t{track.tempo}" for track in tracks)
    genres = (SEPARATOR.join((track.track_id, genre)) for track in tracks for genre in sorted(track.genres))
    plays = (f"{user}\t{track.song_id}\t{count}" for track in tracks for user, count in track.plays.items())
    for name, lines in ((YEARS, years), (TEMPOS, tempos), (GENRES, genres), (PLAYS, plays)):
        (root / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_metadata(path: Path, tracks: Sequence[Track]) -> None:
    """Write the table of tracks, with 7digital's number of each."""
    rows = [
        {
            "track_id": one.track_id,
            "title": one.title,
            "song_id": one.song_id,
            "release": one.album,
            "artist_id": one.artist_id,
            "artist_mbid": "",
            "artist_name": one.artist,
            "duration": 180.0,
            "artist_familiarity": 0.5,
            "artist_hotttnesss": 0.5,
            "year": one.year,
            "track_7digitalid": one.preview,
            "shs_perf": -1,
            "shs_work": 0,
        }
        for one in tracks
    ]
    kinds = {str: "text", float: "real", int: "int"}
    columns = ", ".join(f"{name} {kinds[type(value)]}" for name, value in rows[0].items())
    with closing(sqlite3.connect(path)) as base, base:
        base.execute(f"CREATE TABLE songs ({columns.replace('track_id text', 'track_id text PRIMARY KEY')})")
        places = ", ".join(f":{name}" for name in rows[0])
        base.executemany(f"INSERT INTO songs VALUES ({places})", rows)  # noqa: S608


def _write_tags(path: Path, tracks: Sequence[Track]) -> None:
    tags = {tag: number for number, tag in enumerate(sorted({tag for one in tracks for tag in one.tags}), start=1)}
    cells = [(row, tags[tag], float(said)) for row, one in enumerate(tracks, start=1) for tag, said in one.tags.items()]
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE tids (tid TEXT)")
        base.execute("CREATE TABLE tags (tag TEXT)")
        base.execute("CREATE TABLE tid_tag (tid INT, tag INT, val REAL)")
        base.executemany("INSERT INTO tids VALUES (?)", [(one.track_id,) for one in tracks])
        base.executemany("INSERT INTO tags VALUES (?)", [(tag,) for tag in tags])
        base.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", cells)


def _write_lyrics(path: Path, tracks: Sequence[Track]) -> None:
    rows = [
        (one.track_id, number, word, count, 0)
        for number, one in enumerate(tracks, start=1)
        for word, count in one.words.items()
    ]
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE lyrics (track_id, mxm_tid INT, word TEXT, count INT, is_test INT)")
        base.executemany("INSERT INTO lyrics VALUES (?, ?, ?, ?, ?)", rows)
