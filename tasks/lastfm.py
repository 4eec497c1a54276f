"""Last.fm 1K: what about a thousand listeners played, with the user's own audio: recommendation of new tracks.

Layout
------
Below the dataset's folder lie ``userid-timestamp-artid-artname-traid-traname.tsv`` of the archive
``lastfm-dataset-1K.tar.gz``, or the folder ``lastfm-dataset-1K`` that it unpacks to, and the user's own recordings in
any folders below ``audio``, each called after its track: ``audio/ab/<MusicBrainz id>.mp3``.

Of Kim et al. 2020 the lists of items and users may lie beside, ``lastfm55.subset.audiosafe.item.hash`` and
``.user.hash``: other tracks and listeners are then left out. With their ``lastfm55.subset.audiosafe.triplet`` as well,
which was not to be had when this was written, plays are taken from it, and the large table need not be there.

Conventions
-----------
The large table has no header and one line a play, in fields separated by TABs: listener, time, MusicBrainz id and name
of the artist, MusicBrainz id and name of the track. Ids are empty where unknown; a play of an unknown track counts for
nothing. Names may hold any sign, quotes among them; what stands behind the sixth field is passed over. The lists of
items and users are lines of an id, a comma and a row number; a line of triplets is row of the user, row of the item,
plays.

Clips are the tracks that there is audio of, in the order of their ids. Of those, listeners with fewer than five tracks
and tracks with fewer than five listeners are left out, again and again until nobody is left to leave out
(``fewest="5"``); so the task depends on what audio there is, and the counts say how much that is.

Split
-----
By tracks, none of whose plays are then known in training, from a hash of the track's id and ``draw``: a share
``held_out`` is tested, ``"0.2"`` as Kim et al. say of data without a split, or ``"0.05"`` as their program does; a
tenth of the others validates. The study draws five times: ``draw="1"`` and so on divide anew. ``by="artist"`` keeps
tracks of an artist together, whom the study divides. Listeners who play no track but tested ones can be told nothing
about, and are no labels of the task; those who play no tested track are left out of the mean by the metrics, and named
in the record.

Known faults
------------
The study's previews are gone, its plays were never published with its program: its 985 listeners and 27,093 tracks can
be had only as far as the user has the audio. Plays are unequal: few listeners play most.

Metric
------
nDCG of the first 500 ranks among all tracks but those that a listener plays in training, and recall of the first 100,
means over listeners.

Licence
-------
Non-commercial use, by courtesy of Last.fm. Nothing of it is shipped with this package.

Sources
-------
O. Celma: Music recommendation and discovery in the long tail. Springer 2010. J. Kim, J. Urbano, C. C. S. Liem,
A. Hanjalic: One deep music representation to rule them all? 2020, and its programs (commits 5dc6d66 and 7f2e5ee).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.base import Clip, Count, Dataset, Remote, Task
from tasks.tables import read_text
from tasks.targets import Interactions, Kind
from tasks.trees import files_below, utf8_named

PLAYS = "userid-timestamp-artid-artname-traid-traname.tsv"
#: Folders that the large table may lie in.
HOMES = (".", "lastfm-dataset-1K")
ITEMS, USERS, TRIPLETS = (f"lastfm55.subset.audiosafe.{kind}" for kind in ("item.hash", "user.hash", "triplet"))
AUDIO = "audio"
#: What a recording may end in; of several of a track, the first of these is taken.
SUFFIXES = (".flac", ".wav", ".mp3", ".ogg", ".opus", ".m4a")
#: One of so many tracks that are not tested validates.
VALIDATES = 10
DEFAULTS: Mapping[str, str] = {"held_out": "0.2", "draw": "0", "by": "track", "fewest": "5"}


@dataclass(frozen=True)
class _Plays:
    """What the tables say of tracks that there is audio of.

    Attributes
    ----------
    counts
        Sparse [tracks, users].
    tracks, users
        Their ids, sorted.
    artists
        Of the tracks; empty where unknown.
    """

    counts: Any
    tracks: tuple[str, ...]
    users: tuple[str, ...]
    artists: tuple[str, ...]


class LastFm(Dataset):
    """Last.fm 1K with the user's audio; see the module's text for layout, split and faults."""

    NAME: ClassVar[str] = "lastfm"
    STANDIN: ClassVar[str | None] = "tasks.standin.lastfm"
    KIND: ClassVar[Kind | None] = "interactions"
    LICENCE: ClassVar[str] = "non-commercial use (plays); the audio is the user's own"
    BIBTEX: ClassVar[str] = """@book{celma2010music,
  author = {Celma, {\\`O}scar},
  title = {Music recommendation and discovery: the long tail, long fail, and long play in the digital music space},
  publisher = {Springer},
  year = {2010}
}"""
    HOW_TO_GET: ClassVar[str] = (
        "fetch lastfm-dataset-1K.tar.gz from http://mtg.upf.edu/static/datasets/last.fm/, unpack it here, and put "
        f"recordings of your own below {AUDIO}, each called after the MusicBrainz id of its track"
    )
    REMOTES: ClassVar[Sequence[Remote]] = (
        Remote(
            name="lastfm-dataset-1K.tar.gz",
            urls=("http://mtg.upf.edu/static/datasets/last.fm/lastfm-dataset-1K.tar.gz",),
            checksum="",
            to=".",
            archive=True,
        ),
    )

    def check(self) -> None:
        """Look for a table of plays and the folder of audio.

        Raises
        ------
        DatasetError
            If one of them is missing.
        """
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; to get Last.fm 1K, {self.HOW_TO_GET}")
        for table in self.tables():
            if not table.is_file():
                raise DatasetError(f"{table}: no such table; to get Last.fm 1K, {self.HOW_TO_GET}")
        if not (self.root / AUDIO).is_dir():
            raise DatasetError(f"{self.root / AUDIO}: no such folder of audio; to get Last.fm 1K, {self.HOW_TO_GET}")

    def tables(self) -> Sequence[Path]:
        """Return the table of plays, or of triplets, and the study's lists that are there."""
        lists = [self.root / name for name in (ITEMS, USERS)]
        if (self.root / TRIPLETS).is_file():
            return (self.root / TRIPLETS, *lists)
        home = next((home for home in HOMES if (self.root / home / PLAYS).is_file()), HOMES[0])
        return (self.root / home / PLAYS, *(table for table in lists if table.is_file()))

    def audio_files(self) -> Sequence[Path]:
        """Return every file below the folder of audio, sorted."""
        return utf8_named(files_below(self.root / AUDIO))

    def clips(self) -> Sequence[Clip]:
        """Return the tracks that the task has by default, in the order of their ids, with its split.

        Raises
        ------
        DatasetError
            If a table cannot be parsed, or nothing is left of it; the message names file and, where there is one, line.
        """
        plays = self._dense(int(DEFAULTS["fewest"]))
        splits = _divided(plays, _share(DEFAULTS["held_out"]), DEFAULTS["draw"], DEFAULTS["by"]).tolist()
        return [
            Clip(track, self._found[track], split, artist=artist, recording=track)
            for track, artist, split in zip(plays.tracks, plays.artists, splits, strict=True)
        ]

    def task(self, **options: str) -> Task:
        """Return the plays of the tracks [tracks, users], as `Interactions`.

        Parameters
        ----------
        **options
            ``held_out``, ``draw``, ``by`` and ``fewest``, as the module's text says; ``fewest`` may not lie below 5,
            the default, for clips are chosen by that.

        Raises
        ------
        DatasetError
            If an option is not known or out of range, a table cannot be parsed, or nothing is left of it.
        """
        if unknown := options.keys() - DEFAULTS.keys():
            raise DatasetError(
                f"{self.NAME}: no option {', '.join(map(repr, sorted(unknown)))}; there are "
                f"{', '.join(map(repr, DEFAULTS))}"
            )
        chosen = {**DEFAULTS, **options}
        fewest, least = chosen["fewest"], DEFAULTS["fewest"]
        if not (fewest.isascii() and fewest.isdecimal() and int(fewest) >= int(least)):
            raise DatasetError(f"{self.NAME}: fewest must be a whole number from {least} on, not {fewest!r}")
        if chosen["by"] not in ("track", "artist"):
            raise DatasetError(f"{self.NAME}: by must be 'track' or 'artist', not {chosen['by']!r}")
        plays = self._dense(int(fewest))
        splits = _divided(plays, _share(chosen["held_out"]), chosen["draw"], chosen["by"])
        learnt = np.asarray((plays.counts[splits != "test"] > 0).sum(axis=0)).ravel() > 0
        users = np.flatnonzero(learnt)
        return Task(
            clip_ids=plays.tracks,
            splits=splits,
            targets=Interactions([plays.users[user] for user in users.tolist()], plays.counts[:, users]),
            groups=np.array(plays.tracks, dtype=np.str_),
        )

    def unused_files(self) -> Mapping[str, str]:
        """Return recordings that are not used: of tracks that hardly anybody plays, or a second one of a track.

        Raises
        ------
        DatasetError
            If a table cannot be parsed.
        """
        played, used = set(self._plays.tracks), set(self._dense(int(DEFAULTS["fewest"])).tracks)
        unused = {}
        for file in self.audio_files():
            path = file.relative_to(self.root).as_posix()
            if file.suffix.lower() not in SUFFIXES:
                unused[path] = f"no recording: {file.suffix or 'no suffix'}"
            elif file.stem not in played:
                unused[path] = "nobody plays a track of that name"
            elif self._found[file.stem] != path:
                unused[path] = f"another recording of the same track: {self._found[file.stem]} is used"
            elif file.stem not in used:
                unused[path] = "too few listeners, once those with too few tracks are left out"
        return unused

    def counts(self) -> Sequence[Count]:
        """Compare listeners and tracks with the study's, and say how many listeners have anything to be tested on."""
        plays = self._plays
        task = self.task()
        tested = np.asarray((task.labels[task.splits == "test"] > 0).sum(axis=0)).ravel() > 0
        return [
            Count("listeners with plays of tracks that there is audio of", 985, len(plays.users), "Kim et al. 2020"),
            Count("tracks with plays and audio", 27_093, len(plays.tracks), "Kim et al. 2020"),
            Count("lastfm listeners", 985, len(task.label_names), "Kim et al. 2020"),
            Count("lastfm listeners with test tracks", 985, int(tested.sum()), "Kim et al. 2020"),
            Count("lastfm tracks", 27_093, len(task.clip_ids), "Kim et al. 2020"),
            Count("lastfm test tracks", 5_419, int((task.splits == "test").sum()), "a fifth of Kim et al. 2020's"),
        ]

    @cached_property
    def _found(self) -> dict[str, str]:
        """Track -> path of its recording below the dataset's folder."""
        ranked: dict[str, tuple[int, str]] = {}
        for file in self.audio_files():
            if (suffix := file.suffix.lower()) in SUFFIXES:
                entry = (SUFFIXES.index(suffix), file.relative_to(self.root).as_posix())
                ranked[file.stem] = min(ranked.get(file.stem, entry), entry)
        return {track: path for track, (_, path) in ranked.items()}

    @cached_property
    def _plays(self) -> _Plays:
        if (self.root / TRIPLETS).is_file():
            return _of_triplets(self.root, set(self._found))
        table, *_ = self.tables()
        items = set(_read_hash(self.root / ITEMS)) if (self.root / ITEMS).is_file() else None
        users = set(_read_hash(self.root / USERS)) if (self.root / USERS).is_file() else None
        return _of_plays(table, set(self._found) if items is None else set(self._found) & items, users)

    def _dense(self, fewest: int) -> _Plays:
        """Plays of those who have `fewest` tracks, of tracks that have `fewest` of them.

        Raises
        ------
        DatasetError
            If fewer than three tracks are left.
        """
        plays = self._plays
        tracks, users = np.arange(len(plays.tracks)), np.arange(len(plays.users))
        while True:
            there = plays.counts[tracks][:, users] > 0
            enough = [np.asarray(there.sum(axis=axis)).ravel() >= fewest for axis in (1, 0)]
            if all(own.all() for own in enough):
                break
            tracks, users = tracks[enough[0]], users[enough[1]]
        if len(tracks) < 3:
            raise DatasetError(
                f"{self.tables()[0]}: of {len(plays.tracks)} tracks that there are plays and audio of, {len(tracks)} "
                f"are played by {fewest} listeners who play {fewest} of them; there must be at least three"
            )
        return _Plays(
            plays.counts[tracks][:, users],
            tuple(plays.tracks[track] for track in tracks.tolist()),
            tuple(plays.users[user] for user in users.tolist()),
            tuple(plays.artists[track] for track in tracks.tolist()),
        )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise DatasetError(f"{LastFm.NAME}: held_out must be a share between 0 and 1, not {text!r}")
    return share


def _divided(plays: _Plays, share: float, draw: str, by: str) -> NDArray[np.str_]:
    """Split of each track: in the order of a hash, a share of them is tested and a tenth of the rest validates."""
    count = len(plays.tracks)
    names = plays.tracks
    if by == "artist":
        names = tuple(artist or track for artist, track in zip(plays.artists, plays.tracks, strict=True))
    hashed = [hashlib.sha256(f"{draw} {name}".encode()).hexdigest() for name in names]
    order = sorted(range(count), key=lambda track: (hashed[track], plays.tracks[track]))
    tested = min(count - 2, max(1, round(share * count)))
    held = tested + min(count - tested - 1, max(1, round((count - tested) / VALIDATES)))
    splits = np.full(count, "train", dtype="<U5")
    ends = [_end(hashed, order, end) for end in (tested, held)]
    splits[order[: ends[1]]] = "valid"
    splits[order[: ends[0]]] = "test"
    if ends[1] >= count or ends[0] >= ends[1]:
        raise DatasetError(f"{LastFm.NAME}: {len(set(names))} artists are too few to be divided into three parts")
    return splits


def _end(hashed: Sequence[str], order: Sequence[int], end: int) -> int:
    """The place `end`, or the next one at which another name begins."""
    while end < len(order) and hashed[order[end]] == hashed[order[end - 1]]:
        end += 1
    return end


def _of_plays(table: Path, wanted: set[str], users: set[str] | None) -> _Plays:
    """Count the lines of the large table, of which one at a time is held."""
    counts: dict[tuple[bytes, bytes], int] = {}
    artists: dict[bytes, bytes] = {}
    tracks = {track.encode() for track in wanted}
    listeners = None if users is None else {user.encode() for user in users}
    line = 0
    try:
        with table.open("rb") as file:
            for line, text in enumerate(file, start=1):
                fields = text.split(b"\t", 5)
                if len(fields) < 6:
                    if not text.strip():
                        continue
                    raise DatasetError(
                        f"{table}:{line}: {len(fields)} fields where a play has six, in TABs: listener, time, "
                        "id and name of the artist, id and name of the track"
                    )
                user, track = fields[0], fields[4]
                if track not in tracks or (listeners is not None and user not in listeners):
                    continue
                if not user:
                    raise DatasetError(f"{table}:{line}: the listener is empty")
                counts[user, track] = counts.get((user, track), 0) + 1
                artists.setdefault(track, fields[2] or fields[3])
    except OSError as error:
        raise DatasetError(f"{table}: {error.strerror}") from None
    if not counts:
        raise DatasetError(
            f"{table}: none of its {line} plays is of a track that there is a recording of below {AUDIO}, called after "
            "the track's MusicBrainz id"
        )
    try:
        known = [(user.decode(), track.decode(), plays) for (user, track), plays in counts.items()]
        of_track = {track.decode(): artist.decode() for track, artist in artists.items()}
    except UnicodeDecodeError as error:
        raise DatasetError(f"{table}: a listener or artist is not UTF-8 text: {error.reason}") from None
    return _matrix(known, of_track)


def _of_triplets(root: Path, wanted: set[str]) -> _Plays:
    """Plays of the study's own file, whose rows are those of its two lists."""
    table = root / TRIPLETS
    items, users = ({row: name for name, row in _read_hash(root / name).items()} for name in (ITEMS, USERS))
    known: dict[tuple[str, str], int] = {}
    for line, text in enumerate(read_text(table).splitlines(), start=1):
        if not text.strip():
            continue
        fields = text.split(",")
        try:
            user, item, plays = (int(float(one)) for one in fields)
        except (ValueError, OverflowError):
            raise DatasetError(
                f"{table}:{line}: must be row of a user, row of an item and plays, not {text!r}"
            ) from None
        if user not in users or item not in items:
            what = f"user {user} is not in {USERS}" if user not in users else f"item {item} is not in {ITEMS}"
            raise DatasetError(f"{table}:{line}: {what}")
        if plays < 1:
            raise DatasetError(f"{table}:{line}: plays must be at least 1, not {fields[2]!r}")
        key = (users[user], items[item])
        if key in known:
            raise DatasetError(f"{table}:{line}: user {user} and item {item} are there twice")
        if items[item] in wanted:
            known[key] = plays
    if not known:
        raise DatasetError(f"{table}: none of its plays is of a track that there is a recording of below {AUDIO}")
    return _matrix([(*key, plays) for key, plays in known.items()], {})


def _matrix(known: Sequence[tuple[str, str, int]], artists: Mapping[str, str]) -> _Plays:
    from scipy.sparse import csr_array

    users = tuple(sorted({user for user, _, _ in known}))
    tracks = tuple(sorted({track for _, track, _ in known}))
    places = [{name: place for place, name in enumerate(names)} for names in (tracks, users)]
    rows = [places[0][track] for _, track, _ in known]
    columns = [places[1][user] for user, _, _ in known]
    data = np.array([plays for _, _, plays in known], dtype=np.float64)
    counts = csr_array((data, (rows, columns)), shape=(len(tracks), len(users)))
    counts.sort_indices()
    return _Plays(counts, tracks, users, tuple(artists.get(track, "") for track in tracks))


def _read_hash(table: Path) -> dict[str, int]:
    """Id -> row of one of the study's lists."""
    rows: dict[str, int] = {}
    lines: dict[int, int] = {}
    for line, text in enumerate(read_text(table).splitlines(), start=1):
        if not text.strip():
            continue
        name, _, number = text.strip().rpartition(",")
        if not name or not (number.isascii() and number.isdecimal()):
            raise DatasetError(f"{table}:{line}: must be an id, a comma and a row number, not {text!r}")
        if name in rows or int(number) in lines:
            what = f"id {name!r}" if name in rows else f"row {number}"
            raise DatasetError(f"{table}:{line}: {what} is already in line {lines[rows.get(name, int(number))]}")
        rows[name] = int(number)
        lines[int(number)] = line
    return rows
