"""A task from a folder of somebody's own music: proposed, written beside the music, and entered in a registry."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.console import Reporter
from benchmark.data.leaks import GROUPS, Leak, leaks
from benchmark.data.own_files import OwnFile, own_files
from benchmark.data.proposed_classes import Classes, Labelled, Origin, in_words, propose_classes
from benchmark.data.proposed_split import propose_split
from benchmark.data.proposed_table import FOLDS, METRICS, propose_table, table_in
from benchmark.errors import UserError
from benchmark.registry.added_entries import add_entries, with_entries
from benchmark.registry.registry import load_registry
from benchmark.registry.yaml_dialect import read_document
from benchmark.store.store import write_atomically
from tasks.base import SPLITS, Split, Task
from tasks.copies import copied
from tasks.folder import TABLE, LabelledFolder
from tasks.learnable import remarks, some

#: How the task is probed unless its entry is changed.
PROTOCOL = "linear"
#: Files of a class below which it is doubted.
SMALL = 10
#: Class of the datasets that are entered.
_CLASS = "tasks.folder:LabelledFolder"


@dataclass(frozen=True)
class ClassRow:
    """What a class has in a split.

    Attributes
    ----------
    label
        The class or tag; empty for all together.
    split
        ``"train"``, ``"valid"`` or ``"test"``; ``"test"`` for all clips of a task with folds; empty for clips in none.
    clips, artists
        How many; of artists those that are known.
    hours
        Duration by the files' headers [h].
    """

    label: str
    split: str
    clips: int
    artists: int
    hours: float


@dataclass(frozen=True)
class NewTask:
    """A task that was proposed of a folder.

    Attributes
    ----------
    name
        Of the entries of dataset, corpus and task.
    folder, table
        Where the music and the table of labels lie; no table where folders are the classes.
    files, hours
        Audio files that can be read, and their duration [h].
    labels_from
        Where the labels are from, in words.
    kept
        What the division keeps together, and why no more.
    rows
        Clips, artists and hours of each class in each split.
    doubts
        What the user may want to look at.
    entries
        Section and content of what is entered in the registry.
    content
        Of the table that is to be written; ``None`` if there is one.
    """

    name: str
    folder: Path
    table: Path
    files: int
    hours: float
    labels_from: str
    kept: Sequence[str]
    rows: Sequence[ClassRow]
    doubts: Sequence[str]
    entries: Mapping[str, Mapping[str, Any]]
    content: str | None


def propose_task(
    folder: Path,
    registry: Path,
    reporter: Reporter,
    name: str = "",
    origin: Origin | None = None,
    label: str | None = None,
) -> NewTask:
    """Look at a folder, and say what task it makes; nothing is written.

    Parameters
    ----------
    folder
        With music, and perhaps with a table of labels, which is taken as it is.
    registry
        The user's registry file, there or not; paths in entries start from its folder.
    reporter
        Shows progress.
    name
        Of the task; by default, the folder's.
    origin
        Where classes are to be taken from, if there is no table; by default, what tells them.
    label
        Column of the table that is to be taken for labels; by default, what looks like them.

    Raises
    ------
    UserError, DatasetError
        If the folder is not there, nothing in it tells classes, or there is too little of them for a split.
    """
    files = own_files(folder, reporter)
    sound = [file for file in files if not file.problem]
    if not sound:
        raise UserError(f"{folder}: {f'none of {len(files)} audio files can be read' if files else 'no audio files'}")
    name = name or _slug(folder)
    root = _from(registry, folder)
    table = table_in(folder, TABLE)
    if table is not None:
        if origin is not None:
            raise UserError(f"{table}: is there, and says what the labels are; leave out --classes, or move it away")
        return _of_table(name, folder, root, table, files, label)
    if label is not None:
        raise UserError(f"{folder}: has no table of labels of which --label could name a column")
    return _of_files(name, folder, root, files, propose_classes(sound, str(folder), origin))


def write_task(task: NewTask, registry: Path) -> list[Path]:
    """Write the table and the entries of a proposed task: all of it, or nothing.

    What is there already, and says the same, is left as it is.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    UserError
        If a name is taken by something else, or a file cannot be written.
    """
    missing = _missing(task, registry)
    with_entries(registry, missing)
    written = []
    try:
        if task.content is not None:
            write_atomically(task.table, task.content.encode())
            written.append(task.table)
        if missing:
            add_entries(registry, missing)
            written.append(registry)
    except BaseException as error:
        if task.table in written:
            task.table.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"{error.filename or task.folder}: cannot be written: {error.strerror}") from None
        raise
    return written


def _missing(task: NewTask, registry: Path) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Section, name and content of the entries that a registry lacks."""
    own = (read_document(registry).value or {}) if registry.exists() else {}
    entered = own.get("datasets", {}).get(task.name)
    if entered is not None:
        where = (registry.parent / Path(str(entered.get("root", ""))).expanduser()).resolve()
        if entered.get("class") != _CLASS or where != task.folder.resolve():
            raise UserError(f"{registry}: has another dataset {task.name!r}; choose a name with --as")
    sections = load_registry([registry] if registry.exists() else []).sections
    for section in task.entries:
        if task.name in sections[section] and task.name not in own.get(section, {}):
            raise UserError(f"there is {section[:-1]} {task.name!r} in bench already; choose a name with --as")
        if entered is None and task.name in own.get(section, {}):
            raise UserError(f"{registry}: {section} has an entry {task.name!r} already; choose a name with --as")
    return [
        (section, task.name, entry) for section, entry in task.entries.items() if task.name not in own.get(section, {})
    ]


def _of_files(name: str, folder: Path, root: str, files: Sequence[OwnFile], classes: Classes) -> NewTask:
    split = propose_split(classes.files, str(folder))
    column = "genre" if classes.origin == "genre" else "class"
    others = [f"{count} by {in_words(origin)} (--classes {origin})" for origin, count in classes.others.items()]
    said = f"{len(classes.names)} classes by {in_words(classes.origin)}"
    return NewTask(
        name=name,
        folder=folder,
        table=folder / TABLE,
        files=len(classes.files),
        hours=sum(file.file.seconds for file in classes.files) / 3600,
        labels_from=said + (f"; there would be {', '.join(others)}" if others else ""),
        kept=split.kept,
        rows=list(_rows(classes.files, split.splits)),
        doubts=[*split.doubts, *_doubts(classes.files), *_about_files(files)],
        entries=_entries(name, root, "multiclass", TABLE, {}, folds=False),
        content=_table(classes.files, split.splits, column),
    )


def _of_table(name: str, folder: Path, root: str, table: Path, files: Sequence[OwnFile], label: str | None) -> NewTask:
    place = table.relative_to(folder).as_posix()
    dataset = LabelledFolder(folder, place)
    found = propose_table(dataset, label)
    task, undivided = found.task, found.task.folds is not None
    seen = {file.path: file for file in files}
    clips = {clip.id: clip for clip in dataset.clips()}
    named = {clip.path for clip in clips.values()}
    missing = sorted(named - seen.keys())
    unnamed = sorted(seen.keys() - named)
    of_task = [clips[clip_id] for clip_id in task.clip_ids]
    rows = [
        Labelled(seen.get(clip.path, OwnFile(clip.path, 0.0)), "", None, clip.artist, clip.album) for clip in of_task
    ]
    doubts = [f"in the table and not there: {some(missing)}"] if missing else []
    doubts += [f"there and not in the table: {some(unnamed)}"] if unnamed else []
    content = {one: seen[clips[one].path].content for one in task.clip_ids if clips[one].path in seen}
    doubts += [*remarks(task), *copied(task, content), *_about_files(files)]
    if found.others:
        doubts.append(f"not used: columns {some(found.others)}; --label COLUMN takes one of them")
    columns = f"column {found.columns[0]!r}" if len(found.columns) == 1 else f"{len(found.columns)} columns"
    groups = [group for group in GROUPS if any(getattr(clip, group) for clip in of_task)]
    known = f"which keep {'s and '.join(groups)}s together" if groups else "and no column says who the artists are"
    doubts += [_leak(leak) for leak in leaks(name, task, list(clips.values())) if _leaks(leak)]
    return NewTask(
        name=name,
        folder=folder,
        table=table,
        files=sum(not file.problem for file in files),
        hours=sum(file.seconds for file in files) / 3600,
        labels_from=f"{place}, {columns} ({task.kind})",
        kept=[f"the table has no split: {FOLDS} folds, {known}" if undivided else "splits are those of the table"],
        rows=list(_rows_of_task(task, rows)),
        doubts=doubts,
        entries=_entries(name, root, task.kind, place, found.options, folds=undivided),
        content=None,
    )


def _leaks(leak: Leak) -> bool:
    return leak.groups_shared > 0 and (leak.split, leak.other) == ("test", "train")


def _leak(leak: Leak) -> str:
    return f"{leak.clips_shared:,} of {leak.clips:,} test clips are of {leak.group}s that training clips are of too"


def _entries(
    name: str, root: str, kind: str, table: str, options: Mapping[str, str], folds: bool
) -> dict[str, Mapping[str, Any]]:
    """What is entered in each section of the registry."""
    dataset: dict[str, Any] = {"class": _CLASS, "root": root}
    if table != TABLE:
        dataset["args"] = {"table": table}
    task: dict[str, Any] = {"dataset": name}
    if options:
        task["options"] = dict(options)
    if folds:
        task["folds"] = FOLDS
    task |= {"metrics": list(METRICS[kind]), "corpus": name, "protocol": PROTOCOL}  # type: ignore[index]
    corpus = {"dataset": name} if folds else {"dataset": name, "splits": ["train"]}
    return {"datasets": dataset, "corpora": corpus, "tasks": task}


def _slug(folder: Path) -> str:
    """A name for the entries of a folder."""
    name = re.sub(r"[^\w]+", "-", folder.resolve().name.casefold()).strip("-_")
    return name or "mine"


def _from(registry: Path, folder: Path) -> str:
    """The folder as an entry names it: from the registry's own, if it lies below that."""
    own, beside = folder.resolve(), registry.resolve().parent
    return Path(os.path.relpath(own, beside)).as_posix() if own.is_relative_to(beside) else str(own)


def _table(files: Sequence[Labelled], splits: Sequence[Split | None], column: str) -> str:
    """The table of labels, as CSV; artists and albums where some are known."""
    groups = [group for group in ("artist", "album") if any(getattr(file, group) for file in files)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "split", *groups, column])
    for file, split in zip(files, splits, strict=True):
        if file.label:
            told = [getattr(file, group) for group in groups]
            table.writerow([file.file.path, split or "", *told, file.label])
    return text.getvalue()


def _rows(files: Sequence[Labelled], splits: Sequence[Split | None]) -> Iterator[ClassRow]:
    """By class, and all together."""
    for label in (*sorted({file.label for file in files} - {""}), ""):
        for split in (*SPLITS, None):
            own = [
                file
                for file, one in zip(files, splits, strict=True)
                if one == split and file.label and label in ("", file.label)
            ]
            if own or split is not None:
                yield _row(label, split or "", own)


def _rows_of_task(task: Task, files: Sequence[Labelled]) -> Iterator[ClassRow]:
    """As `_rows`, for a task of any kind: by class or tag, and all together."""
    held: list[tuple[str, NDArray[np.bool_]]] = []
    if task.kind == "multiclass":
        held = [(name, task.labels[:, 0] == place) for place, name in enumerate(task.label_names)]
    elif task.kind == "multilabel":
        held = [(name, task.labels[:, place] == 1) for place, name in enumerate(task.label_names)]
    for name, rows in (*held, ("", task.splits != "")):
        for split in SPLITS if task.folds is None else ("test",):
            places = (rows & (task.splits == split)).nonzero()[0].tolist()
            yield _row(name, split, [files[place] for place in places])


def _row(label: str, split: str, own: Sequence[Labelled]) -> ClassRow:
    artists = len({file.artist for file in own} - {""})
    return ClassRow(label, split, len(own), artists, sum(file.file.seconds for file in own) / 3600)


def _doubts(files: Sequence[Labelled]) -> Iterator[str]:
    """What is odd about classes of files."""
    sizes = Counter(file.label for file in files if file.label)
    if small := [f"{label} ({count})" for label, count in sorted(sizes.items()) if count < SMALL]:
        yield f"fewer than {SMALL} files in {len(small)} of {len(sizes)} classes: {some(small)}"
    artists = {label: {file.artist for file in files if file.label == label} for label in sizes}
    if single := sorted(label for label, own in artists.items() if len(own) == 1 and "" not in own):
        yield f"a single artist in {len(single)} of {len(sizes)} classes, which a probe may learn: {some(single)}"
    if not any(file.artist for file in files):
        yield "artists are not known: no tags name them; a column `artist` in the table would keep them together"
    if outside := [file.file.path for file in files if not file.label]:
        yield f"in no class: {some(outside)}"
    contents: dict[str, list[Labelled]] = {}
    for file in files:
        if file.file.content:
            contents.setdefault(file.file.content, []).append(file)
    if contents:
        pairs = [" = ".join(one.file.path for one in own) for own in contents.values()]
        yield f"the same content in several files, {len(pairs)} times, which stay in one split: {some(pairs)}"
    if apart := [own for own in contents.values() if len({one.label for one in own}) > 1]:
        pairs = [" = ".join(f"{one.file.path} ({one.label})" for one in own) for own in apart]
        yield f"the same content in several classes: {some(pairs)}"


def _about_files(files: Sequence[OwnFile]) -> Iterator[str]:
    """What is wrong with files themselves."""
    if unread := [f"{file.path} ({file.problem})" for file in files if file.problem]:
        yield f"cannot be read: {some(unread)}"
