"""The skeleton that every dataset follows, and the two tables it yields: its clips, and a task made of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks import DatasetError
from tasks.sources.labels import Labels
from tasks.targets import Kind, Targets

Split = Literal["train", "valid", "test"]

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Clip:
    """One audio file of a dataset, or an excerpt of one, as its tables describe it; nothing of it has been read yet.

    Attributes
    ----------
    id
        Name of the clip, unique in its dataset and stable across copies of it.
    path
        Where the audio lies, relative to the dataset's folder, with forward slashes.
    split
        Split of the dataset's own division; ``None`` if the dataset leaves the clip out of it.
    artist, album, recording
        Groups that must not straddle a split for it to be free of leaks; empty where unknown.
    seconds
        Duration of the file that the tables promise [s]; ``None`` where they promise nothing.
    excerpt
        Beginning and end of the clip in its file [s]; ``None`` for all of it. Several clips may be cut from one file.

    Raises
    ------
    DatasetError
        If the excerpt does not begin at 0 or later, or not end after that.
    """

    id: str
    path: str
    split: Split | None
    artist: str = ""
    album: str = ""
    recording: str = ""
    seconds: float | None = None
    excerpt: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.excerpt is not None and not 0 <= self.excerpt[0] < self.excerpt[1] < math.inf:
            begin, end = self.excerpt
            raise DatasetError(
                f"clip {self.id}: its excerpt must begin at 0 s or later and end after that, not {begin:g} to {end:g} s"
            )

    @property
    def promised(self) -> float | None:
        """Duration of the clip itself that is promised [s]: of its excerpt, or of the file."""
        return self.seconds if self.excerpt is None else self.excerpt[1] - self.excerpt[0]


@dataclass(frozen=True, slots=True)
class Remote:
    """A file that a dataset's distributor offers for download.

    Attributes
    ----------
    name
        How it is called; an archive in several parts is listed part by part, in order.
    urls
        Where it is published, tried in order.
    checksum
        ``"sha256:..."``, ``"sha1:..."`` or ``"md5:..."`` as published; empty where none is.
    to
        Path below the dataset's folder: of the file itself, or, for an archive, of the folder it unpacks to.
    archive
        Whether it is a zip or tar archive (or a part of one) to be unpacked.
    joined
        Name of the archive that this is a part of; empty for a whole file.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    to: str
    archive: bool = False
    joined: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """A number that the distributor or a paper states of a dataset, beside the one found in the user's copy.

    Attributes
    ----------
    what
        What is counted, as in ``"mtt test clips"``.
    published
        The stated number.
    found
        The number in this copy's tables.
    source
        Who states it.
    """

    what: str
    published: int
    found: int
    source: str


@dataclass(frozen=True)
class Task:
    """Clips with labels and a split: what a probe is trained on and scored by.

    Attributes
    ----------
    clip_ids
        Clip names, one a row.
    splits : ndarray of str, shape [clips]
        ``"train"``, ``"valid"`` or ``"test"``; of a task with folds all ``"test"``, for each clip is tested once; empty
        where the source gives no split, until `tasks.folds.divide` has made folds.
    targets
        Labels of the clips, see `tasks.targets`.
    groups : ndarray of str, shape [clips]
        Unit that is resampled as a whole when test clips are bootstrapped (the clip itself, a song, an artist).
    folds : ndarray of str, shape [folds, clips]
        What each clip is in each fold of a cross-validation; ``None`` for a task with a split.
    """

    clip_ids: tuple[str, ...]
    splits: NDArray[np.str_]
    targets: Targets
    groups: NDArray[np.str_]
    folds: NDArray[np.str_] | None = None

    def take(self, rows: NDArray[np.bool_]) -> Task:
        """The clips of a mask [clips], as they are divided."""
        return replace(
            self,
            clip_ids=tuple(np.array(self.clip_ids, dtype=np.object_)[rows].tolist()),
            splits=self.splits[rows],
            targets=self.targets.take(rows),
            groups=self.groups[rows],
            folds=None if self.folds is None else self.folds[:, rows],
        )

    @property
    def kind(self) -> Kind:
        """What the labels are."""
        return self.targets.kind

    @property
    def labels(self) -> Any:
        """The labels as metrics take them, one row a clip."""
        return self.targets.values

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of tags, classes, columns, users or sorts of events."""
        return self.targets.names

    @property
    def divisions(self) -> NDArray[np.str_]:
        """Train, valid and test in every fold [folds, clips]; a single row where there is a split."""
        return self.splits[None] if self.folds is None else self.folds

    @property
    def tested_in(self) -> NDArray[np.intp]:
        """Fold in which each test clip is tested [test clips]; zeros where there is a split."""
        return np.asarray((self.divisions[:, self.splits == "test"] == "test").argmax(axis=0))


class StandIn(Protocol):
    """A module that makes a small synthetic corpus in a dataset's genuine layout, for where the dataset is not."""

    def write(self, root: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> None:
        """Write the stand-in into the empty folder `root`.

        Same seed, same music, labels and file names. Audio files may differ in bytes between encoder versions.
        `progress` is called with the number of audio files written so far and their total.
        """

    def extent(self) -> tuple[int, float]:
        """Return the number of audio files that `write` writes, and their duration in all [s]."""


class Dataset(ABC):
    """A dataset in the layout it was published in.

    A subclass states the facts below and implements the methods; it never changes the user's files.

    Parameters
    ----------
    root
        The dataset's folder, e.g. ``DATA/magnatagatune``.
    """

    #: Name of the dataset and of its folder below the data folder.
    NAME: ClassVar[str]
    #: Raised when what the class reads out of the same files changes; it is in the keys.
    VERSION: ClassVar[int] = 1
    #: Kind of labels of its tasks; ``None`` if the user's table says that.
    KIND: ClassVar[Kind | None] = None
    #: Licence as its distributor states it.
    LICENCE: ClassVar[str]
    #: How to cite it.
    BIBTEX: ClassVar[str]
    #: What a user who lacks the dataset should fetch, from where, and where to put it; one sentence.
    HOW_TO_GET: ClassVar[str]
    #: Files that are broken in every copy: path relative to the folder -> what is wrong with it.
    KNOWN_BAD: ClassVar[Mapping[str, str]] = {}
    #: Module whose functions make a stand-in (see `StandIn`), ``__name__`` for the class's own; ``None`` where nothing
    #: stands in for the dataset.
    STANDIN: ClassVar[str | None] = None
    #: Usual duration of a clip where the tables promise none [s].
    TYPICAL_SECONDS: ClassVar[float] = 30.0
    #: What may be downloaded; empty if nothing is offered (see `HOW_TO_GET`).
    REMOTES: ClassVar[Sequence[Remote]] = ()
    #: What may be told of its clips to learn representations from, beside tasks: name -> what it is, in a line. See
    #: `tasks.sources`; ``self``, which learns from the audio alone, is every dataset's and is not named here.
    SOURCES: ClassVar[Mapping[str, str]] = {}

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def check(self) -> None:
        """Look at the layout without reading it through.

        Raises
        ------
        DatasetError
            If a table or every audio folder is missing: one line that names it and says how to get it.
        """

    @abstractmethod
    def tables(self) -> Sequence[Path]:
        """Annotation files whose content decides clips, labels and splits."""

    @abstractmethod
    def audio_files(self) -> Sequence[Path]:
        """Every file found in the places where audio belongs, sorted, whatever its name and content."""

    @abstractmethod
    def clips(self) -> Sequence[Clip]:
        """All clips that the tables name, in table order, `KNOWN_BAD` ones included.

        Raises
        ------
        DatasetError
            If a table cannot be parsed; the message names file and line.
        """

    def locate(self, clip_id: str) -> str:
        """Where a complaint about a clip is to send the user: file and line of a table, if the class knows them."""
        return f"{self.root}: clip {clip_id}"

    @abstractmethod
    def task(self, **options: str) -> Task:
        """Clips, labels and split of one task; `options` are those of the task's entry in the registry.

        Raises
        ------
        DatasetError
            If a table cannot be parsed, or an option is not known.
        """

    def options_for(self, kind: Kind, options: Mapping[str, str]) -> Mapping[str, str]:
        """Options with which `task` gives labels of a kind, where a user's table may be taken for several.

        Parameters
        ----------
        kind
            What the task's metrics are for.
        options
            Those of the task's entry; returned as they are unless they leave the kind open.

        Raises
        ------
        DatasetError
            If the labels cannot be of that kind: file, line and the way out.
        """
        del kind
        return options

    @abstractmethod
    def counts(self) -> Sequence[Count]:
        """What is published of the dataset's size beside what this copy's tables hold.

        Raises
        ------
        DatasetError
            If a table cannot be parsed.
        """

    def sources(self) -> Mapping[str, str]:
        """Those of `SOURCES` that this copy has the tables of, and any of the user's own: name -> what it is.

        Raises
        ------
        DatasetError
            If a table that says so cannot be parsed.
        """
        return self.SOURCES

    def source(self, name: str) -> Labels:
        """What one of `sources` says of the clips, in the order of `clips`.

        Raises
        ------
        DatasetError
            If a table is missing or cannot be parsed, or there is no such source; the message names file and line.
        """
        raise DatasetError(f"{self.root}: {self.NAME} has no source {name!r}")

    def source_tables(self) -> Sequence[Path]:
        """Files whose content decides what sources say; those of `tables` unless there are others."""
        return self.tables()

    def unused_files(self) -> Mapping[str, str]:
        """Audio files that are not used although they might be: path relative to the folder -> why; empty if none is.

        What stands before the first colon of a reason is its kind, by which files are counted.

        Raises
        ------
        DatasetError
            If a table cannot be parsed.
        """
        return {}

    def checksums(self) -> Mapping[str, str]:
        """Published checksum of single files: path relative to the folder -> ``"md5:..."``; empty if none is."""
        return {}
