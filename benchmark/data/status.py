"""Everything that can be said of the user's copy of a dataset without decoding it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypedDict

from analysis.pages.label_counts import LabelCounts
from benchmark.audio.decoding import header_problem
from benchmark.console import Reporter
from benchmark.data.leaks import Leak, Overlap, leaks, members, overlap
from benchmark.data.same_files import same_content
from benchmark.errors import USER_ERRORS
from benchmark.plain_files import check_artifact
from benchmark.registry.datasets import contents, dataset_in, relative
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.plugins import load_class
from benchmark.registry.registry import Named, Registry
from benchmark.store.pcm import PROBLEMS, read_lines
from benchmark.store.store import UNREADABLE, Store, check_store
from tasks import DatasetError
from tasks.base import Clip, Count, Dataset, Task
from tasks.copies import copied
from tasks.label_counts import label_counts
from tasks.learnable import remarks


@dataclass
class Prepared:
    """What an earlier preparation of these very files found.

    Attributes
    ----------
    sample_rate
        [Hz]
    finished
        When, ISO 8601.
    clips
        Clips that could be decoded.
    problems
        Path -> reason, for files that could not be used or are odd.
    file
        Where these are listed, a line of JSON each, with whether they were used.
    """

    sample_rate: int
    finished: str
    clips: int
    problems: dict[str, str]
    file: str


@dataclass
class Status:
    """What is known of one dataset.

    Attributes
    ----------
    name
        In the registry.
    root
        Where it is looked for; ``None`` without a data folder.
    licence
        As its distributor states it.
    state
        ``"complete"``, ``"incomplete"`` (clips are missing or unexpectedly broken), ``"faulty"`` (a task cannot be
        scored as its tables and its entry are), ``"not found"`` (its layout is not there), ``"unreadable"`` (its clips
        cannot be told), ``"stand-in"`` (no data folder is given) or ``"not looked at"`` (its class would be imported,
        and nobody has named it).
    reason
        Why it is not found or unreadable.
    next
        What to do next: a command, or a sentence.
    faults, remarks
        Why tasks cannot be scored: file, line or key, and the way out; what takes from the meaning of others' scores.
    clips
        Clips that the tables name.
    missing, broken, known_bad
        Paths of clips that are not there; path -> fault, of those whose header cannot be read though it should, and
        of those that are known to be broken in every copy.
    unused, unnamed
        Path -> why, of audio files that might be used and are not; files where audio belongs that no table names.
    prepared
        Earlier preparations of these files.
    counts, leaks
        See `Count` and `Leak`.
    labels
        Of each task whose labels can be counted, how many clips of each split have each.
    """

    name: str
    root: str | None
    licence: str
    state: str = "stand-in"
    reason: str = ""
    next: str = ""
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    clips: int = 0
    missing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    known_bad: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    unnamed: list[str] = field(default_factory=list)
    prepared: list[Prepared] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    labels: list[LabelCounts] = field(default_factory=list)


class StatusDocument(TypedDict):
    """What is known of all datasets.

    Attributes
    ----------
    data
        The data folder; null where none is named.
    datasets
        One by one.
    overlaps
        Test clips of tasks and the corpora that share something with them.
    """

    data: str | None
    datasets: Sequence[Status]
    overlaps: Sequence[Overlap]


@dataclass
class _Read:
    """Tables of a dataset that could be parsed."""

    clips: Mapping[str, Clip]
    tasks: Mapping[str, Task]


def statuses(
    registry: Registry, names: Sequence[str], data: Path | None, store: Path, reporter: Reporter
) -> tuple[list[Status], list[Overlap]]:
    """Look at datasets, and at what their test clips share with the pretraining corpora among them.

    Parameters
    ----------
    registry
        Which datasets, tasks and corpora there are.
    names
        Datasets to look at.
    data
        The user's data folder.
    store
        Where earlier preparations are looked for; nothing is written to it.
    reporter
        Shows progress.

    Raises
    ------
    UserError
        If the store is of another format.
    """
    check_store(store)
    found, read = [], {}
    for name in names:
        named = registry.dataset(name)
        status, tables = _status(registry, named, data, store, reporter)
        found.append(status)
        if tables is not None:
            read[name] = tables
    return found, list(_overlaps(registry, read))


def not_looked_at(named: Named[DatasetEntry]) -> Status:
    """What is said of a dataset that only the working directory's registry has, where it is not named."""
    command = shlex.join(["bench", "data", "status", named.name])
    return Status(named.name, None, "", "not looked at", f"only {named.file}:{named.line} has it", command)


def _status(
    registry: Registry, named: Named[DatasetEntry], data: Path | None, store: Path, reporter: Reporter
) -> tuple[Status, _Read | None]:
    status = Status(named.name, None, "")
    try:
        status.licence = load_class(named).LICENCE
        dataset = dataset_in(named, data)
        if dataset is None:
            return status, None
        status.root = str(dataset.root)
        try:
            dataset.check()
        except DatasetError as error:
            status.state, status.reason = "not found", str(error)
            status.next = _how_to_get(named, dataset)
            if all(table.is_file() for table in dataset.tables()):  # labels can be counted without audio
                with suppress(*USER_ERRORS, OSError):
                    status.labels = list(_labels(_read(registry, named, dataset, []).tasks))
            return status, None
        tables = _read(registry, named, dataset, status.faults)
        status.leaks = [leak for name, task in tables.tasks.items() for leak in leaks(name, task, _values(tables))]
        status.counts = list(dataset.counts())
        status.labels = list(_labels(tables.tasks))
        _look_at_files(status, dataset, _values(tables), reporter)
        status.remarks = list(_remarks(dataset, tables))
        status.prepared = _prepared(named.name, dataset, store)
    except USER_ERRORS as error:
        status.state, status.reason = "unreadable", " ".join(str(error).split())
        return status, None
    except PermissionError as error:
        status.state, status.reason = "unreadable", f"{error.filename}: {error.strerror}"
        return status, None
    whole = not status.missing and not status.broken
    status.state = "faulty" if status.faults else "complete" if whole else "incomplete"
    status.next = _next(status, named, dataset)
    return status, tables


def _next(status: Status, named: Named[DatasetEntry], dataset: Dataset) -> str:
    """What to do about a dataset that is there."""
    if status.faults:
        return "correct what is said above"
    if status.missing and not dataset.REMOTES and dataset.tables():
        some = " and ".join(status.missing[:2]) if len(status.missing) <= 2 else f"these {len(status.missing):,} files"
        tables = ", ".join(str(table) for table in dataset.tables())
        lines = "line" if len(status.missing) == 1 else "lines"
        its = "its" if len(status.missing) == 1 else "their"
        return f"put {some} into {dataset.root}, or take {its} {lines} out of {tables}"
    return _how_to_get(named, dataset) if status.missing else _command("prepare", named, dataset)


def _values(tables: _Read) -> list[Clip]:
    return list(tables.clips.values())


def _how_to_get(named: Named[DatasetEntry], dataset: Dataset) -> str:
    if dataset.REMOTES:
        return _command("download", named, dataset)
    return f"{dataset.HOW_TO_GET}, into {dataset.root}"


def _command(verb: str, named: Named[DatasetEntry], dataset: Dataset) -> str:
    """A command on the dataset, ready for a shell; an entry that names its folder needs no data folder."""
    data = [] if named.entry.root is not None else ["--data", str(dataset.root.parent)]
    return shlex.join(["bench", "data", verb, named.name, *data])


def _read(registry: Registry, named: Named[DatasetEntry], dataset: Dataset, faults: list[str]) -> _Read:
    """Clips and tasks of a dataset; why a task cannot be scored is added to `faults`."""
    from benchmark.plan.task_fit import check_protocol, planned_task

    clips = {clip.id: clip for clip in dataset.clips()}
    tasks = {}
    for name in registry.sections["tasks"]:
        task = registry.task(name)
        if task.entry.dataset != named.name:
            continue
        try:
            tasks[name] = planned_task(task, named, dataset)
            check_protocol(registry.protocol(task.entry.protocol), name, tasks[name].kind)
        except USER_ERRORS as error:
            faults.append(f"{name}: {' '.join(str(error).split())}")
    return _Read(clips, tasks)


def _labels(tasks: Mapping[str, Task]) -> Iterator[LabelCounts]:
    for name, task in tasks.items():
        if (counted := label_counts(task)) is not None:
            labels, clips, counts = counted
            yield {"task": name, "labels": labels, "clips": clips, "counts": counts}


def _remarks(dataset: Dataset, tables: _Read) -> Iterator[str]:
    """What takes from the meaning of scores on tasks: labels that a split cannot speak of, and copied files."""
    paths = {clip.id: dataset.root / clip.path for clip in tables.clips.values() if clip.excerpt is None}
    same = same_content(paths.values()) if tables.tasks else {}
    content = {clip_id: same[path] for clip_id, path in paths.items() if path in same}
    for name, task in tables.tasks.items():
        for remark in (*remarks(task), *copied(task, content)):
            yield f"{name}: {remark}"


def _look_at_files(status: Status, dataset: Dataset, clips: Sequence[Clip], reporter: Reporter) -> None:
    files = {relative(dataset, file) for file in dataset.audio_files()}
    named = {clip.path for clip in clips}
    status.clips = len(clips)
    status.missing = [clip.path for clip in clips if clip.path not in files]
    status.unused = dict(dataset.unused_files())
    status.unnamed = sorted(files - named - set(status.unused))
    there = [clip.path for clip in clips if clip.path in files]
    with reporter.progress(f"look at {dataset.NAME}", len(there), "files") as advance:
        for path in there:
            if path in dataset.KNOWN_BAD:
                status.known_bad[path] = dataset.KNOWN_BAD[path]
            elif problem := header_problem(dataset.root / path):
                status.broken[path] = problem
            advance(1)


class _NotHashed(Exception):  # noqa: N818 (it is no programming error)
    """The dataset's files have changed since a preparation hashed them, or were never hashed."""


class _NoHashing(Reporter):
    """Takes the place of a reporter where files may be looked up but must not be read."""

    def progress(self, title: str, total: int, unit: str, done: int = 0) -> NoReturn:
        """Refuse."""
        del title, total, unit, done
        raise _NotHashed


def _prepared(name: str, dataset: Dataset, store: Path) -> list[Prepared]:
    if not (store / "digests.json").is_file():
        return []
    try:
        clips = contents(dataset, Store(store), _NoHashing()).clips
    except _NotHashed:
        return []
    found = []
    for file in sorted((store / "artifacts" / "prepare").glob("*/manifest.json")):
        try:
            check_artifact(file.parent)
            manifest: dict[str, Any] = json.loads(file.read_bytes())
            if manifest["spec"].get("clips") != clips:
                continue
            problems = {row["path"]: str(row["reason"]) for row in read_lines(file.parent / PROBLEMS)}
            rate, count, finished = manifest["spec"]["sample_rate"], manifest["facts"]["clips"], manifest["finished"]
        except UNREADABLE:
            continue  # half deleted, or of another version
        found.append(Prepared(int(rate), str(finished), int(count), problems, str(file.parent / PROBLEMS)))
    return sorted(found, key=lambda prepared: prepared.sample_rate)


def _overlaps(registry: Registry, read: Mapping[str, _Read]) -> Iterator[Overlap]:
    for corpus in registry.sections["corpora"]:
        entry = registry.corpus(corpus).entry
        if entry.dataset not in read:
            continue
        pretrained = [
            clip for clip in read[entry.dataset].clips.values() if entry.splits is None or clip.split in entry.splits
        ]
        for dataset, tables in read.items():
            for name, task in tables.tasks.items():
                test = list(members(task, tables.clips, "test"))
                yield overlap(name, test, corpus, pretrained, same_dataset=dataset == entry.dataset)


def as_document(found: Sequence[Status], overlaps: Sequence[Overlap], data: Path | None) -> StatusDocument:
    """All of it for `--json`."""
    return {"data": None if data is None else str(data), "datasets": found, "overlaps": overlaps}
