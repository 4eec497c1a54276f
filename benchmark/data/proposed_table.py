"""A table of labels that somebody has already: which of its columns a task is made of, and how it is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import DatasetError
from tasks.base import Task
from tasks.folder import LabelledFolder
from tasks.folds import divide
from tasks.label_table import plain_name
from tasks.learnable import check_learnable
from tasks.targets import Kind

#: Usual names of a column of classes, in small letters and without spaces; the first that is there is taken.
USUAL = ("label", "class", "genre", "target", "category", "mood", "style", "instrument", "y")
#: What may stand between tags that share a cell.
SEPARATORS = ("|", ";", ",")
#: Clips that a class or tag must have on average for a column to be taken for classes or tags.
FEWEST = 3
#: Metrics that a task of each kind is scored by.
METRICS: Mapping[Kind, tuple[str, ...]] = {
    "multiclass": ("accuracy", "macro_f1"),
    "multilabel": ("roc_auc", "average_precision"),
    "regression": ("r2",),
}
#: What names of tables end in.
TABLES = (".csv", ".tsv", ".txt", ".tab")
#: Folds of a table without a split.
FOLDS = 5


@dataclass(frozen=True)
class ProposedTable:
    """A task that a table may be taken for.

    Attributes
    ----------
    task
        Divided as the table says, or into `FOLDS` folds.
    columns
        Label columns that it is made of.
    others
        Those that it is not made of.
    options
        Of the task's entry.
    """

    task: Task
    columns: Sequence[str]
    others: Sequence[str]
    options: Mapping[str, str]


def table_in(folder: Path, name: str) -> Path | None:
    """The table of labels of a folder: `name` in it, or else the only one whose rows name audio files that are there.

    It is looked for in the folder, and where there is none, in the folders just below.
    """
    if (folder / name).is_file():
        return folder / name
    for pattern in ("*", "*/*"):
        found = [file for file in sorted(folder.glob(pattern)) if _names_audio(folder, file)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _names_audio(folder: Path, file: Path) -> bool:
    """Whether a file is a table most of whose rows name files of the folder."""
    if file.suffix.lower() not in TABLES or file.name.startswith(".") or not file.is_file():
        return False
    try:
        dataset = LabelledFolder(folder, file.relative_to(folder).as_posix())
        return 2 * len(dataset.audio_files()) > len({clip.path for clip in dataset.clips()})
    except DatasetError:
        return False


def propose_table(dataset: LabelledFolder, label: str | None) -> ProposedTable:
    """Choose what a table's task is made of: a column of classes, columns of tags, tags in one column, or numbers.

    Parameters
    ----------
    dataset
        Of the table.
    label
        The column that is wanted; ``None`` to choose.

    Raises
    ------
    DatasetError
        If the table cannot be read, or there is nothing that makes a task that can be divided and learnt from.
    """
    names = dataset.label_columns()
    trouble: DatasetError | None = None
    for chosen, made_so in _proposals(dataset, [label] if label is not None else names):
        options = made_so if len(chosen) == len(names) else {"columns": ", ".join(chosen), **made_so}
        try:
            task = dataset.task(**options)
            undivided = bool((task.splits == "").any())
            task = divide(task, dataset, FOLDS if undivided else None)
            check_learnable(task, dataset.clips, str(dataset.table))
        except DatasetError as error:
            trouble = trouble or error
            continue
        return ProposedTable(task, chosen, [name for name in names if name not in chosen], options)
    if trouble is not None:
        raise trouble
    what = f"column {label!r}" if label is not None else f"columns {', '.join(map(repr, names[:8]))}"
    raise DatasetError(
        f"{dataset.table}:1: {what} make no task: there must be a column of classes, columns of 0 and 1 or of numbers, "
        f"with {FEWEST} clips or more of a class"
    )


def _proposals(dataset: LabelledFolder, names: Sequence[str]) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """Columns and options of what may be a task, the likeliest first."""
    kinds: dict[str, Task] = {}
    for name in names:
        try:
            kinds[name] = dataset.task(columns=name)
        except DatasetError:
            continue
    by_use = sorted(kinds, key=lambda name: USUAL.index(plain_name(name)) if plain_name(name) in USUAL else len(USUAL))
    classes = [name for name in by_use if kinds[name].kind == "multiclass"]
    tags = [name for name in kinds if kinds[name].kind == "multilabel"]
    numbers = [name for name in kinds if kinds[name].kind == "regression"]
    for name in classes:
        for separator in SEPARATORS:
            if _joined(dataset, name, separator, len(kinds[name].clip_ids)):
                yield [name], {"separator": separator}
        if 2 <= len(kinds[name].label_names) <= len(kinds[name].clip_ids) / FEWEST:
            yield [name], {}
    for name in by_use:
        if name in (*tags, *numbers) and plain_name(name) in USUAL and (few := _few(dataset, name)):
            yield [name], few
    if tags:
        yield tags, {}
    if numbers:
        yield numbers, {}


def _joined(dataset: LabelledFolder, name: str, separator: str, clips: int) -> bool:
    """Whether cells of a column hold several tags, which come again in others."""
    try:
        task = dataset.task(columns=name, separator=separator)
    except DatasetError:
        return False
    held = task.labels.sum()
    return bool(1.1 * clips < held and held >= FEWEST * len(task.label_names))


def _few(dataset: LabelledFolder, name: str) -> Mapping[str, str]:
    """Options by which a column of whole numbers makes classes, if it makes few."""
    try:
        task = dataset.task(**dataset.options_for("multiclass", {"columns": name}))
    except DatasetError:
        return {}
    few = task.kind == "multiclass" and len(task.label_names) <= len(task.clip_ids) / FEWEST
    return {"kind": "multiclass"} if few else {}
