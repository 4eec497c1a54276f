"""Whether a task, its metrics and a protocol go together, as far as that is known before any audio is decoded."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.errors import UserError, unknown_name
from benchmark.registry.datasets import reading
from benchmark.registry.entries import DatasetEntry, ProtocolEntry, TaskEntry
from benchmark.registry.plugins import load_class
from benchmark.registry.registry import Named
from benchmark.scores.scoring import check_metrics
from probes.estimators import check_estimator
from probes.kinds import SERVED, check_loss, check_served
from probes.protocol import Factorisation, OwnReadout
from tasks.base import Dataset, Task
from tasks.folds import divide
from tasks.learnable import check_learnable
from tasks.metrics import METRICS, split_name
from tasks.targets import Kind


def kind_of(task: Named[TaskEntry], dataset: Named[DatasetEntry]) -> Kind:
    """Kind of a task's labels, by the class of its dataset or else by its metrics.

    Raises
    ------
    UserError
        If a metric is not known, or is for other labels than another one or the dataset.
    """
    metrics = task.entry.metrics
    for name in metrics:
        base, _ = split_name(name)
        if base not in METRICS:
            raise UserError(f"{_where(task)}.metrics: {unknown_name('metric', base, METRICS)}")
    kind: Kind = load_class(dataset).KIND or METRICS[split_name(metrics[0])[0]].kind
    for name in metrics:
        wanted = METRICS[split_name(name)[0]].kind
        if wanted != kind:
            raise UserError(f"{_where(task)}.metrics: metric {name!r} is for {wanted} tasks, and this task is {kind}")
    return kind


def options_of(task: Named[TaskEntry], dataset: Named[DatasetEntry], opened: Dataset) -> Mapping[str, str]:
    """Options of a task's entry, and what its metrics say of labels that may be taken for several kinds.

    Raises
    ------
    UserError, DatasetError
        As `kind_of` does, or if the tables cannot be read or their labels cannot be what the metrics are for.
    """
    kind = kind_of(task, dataset)
    with reading(dataset):
        return opened.options_for(kind, task.entry.options)


def planned_task(task: Named[TaskEntry], dataset: Named[DatasetEntry], opened: Dataset) -> Task:
    """Labels and division of a task as the user's tables give them, which its metrics fit and can be learnt from.

    Raises
    ------
    UserError, DatasetError
        If the tables do not give that: file, line or key, and the way out.
    """
    options = options_of(task, dataset, opened)
    with reading(dataset):
        found = divide(opened.task(**options), opened, task.entry.folds)
    try:
        check_metrics(found, task.entry.metrics)
    except UserError as error:
        raise UserError(f"{_where(task)}.metrics: {error}{_way_out(task, dataset, found.kind)}") from None
    check_learnable(found, opened.clips, f"{opened.root}: task {task.name}")
    return found


def _way_out(task: Named[TaskEntry], dataset: Named[DatasetEntry], kind: Kind) -> str:
    """What metrics there are for the labels that a user's table holds."""
    if load_class(dataset).KIND is not None:
        return ""
    fitting = [name for name, metric in METRICS.items() if metric.kind == kind]
    wanted = METRICS[split_name(task.entry.metrics[0])[0]].kind
    said = ""
    if kind != wanted and "kind" not in task.entry.options and wanted not in ("interactions", "events"):
        said = f"if its labels are {wanted}, say `options: {{kind: {wanted}}}`; "
    return f"; {said}for {kind} labels there are {', '.join(fitting)}"


def _where(task: Named[TaskEntry]) -> str:
    return f"{task.file}:{task.line}: tasks.{task.name}"


def check_protocol(protocol: Named[ProtocolEntry] | None, task: str, kind: Kind) -> None:
    """Raise `UserError` if a protocol, or without one a head that is trained end to end, cannot serve this kind."""
    own = protocol is not None and isinstance(protocol.entry.readout, OwnReadout)
    factorised = protocol is not None and isinstance(protocol.entry.readout, Factorisation)
    try:
        check_served(kind, own, factorised)
    except ValueError as error:
        raise UserError(f"task {task}: {error}") from None
    if protocol is None or own or factorised:
        return
    entry = protocol.entry
    where = f"{protocol.file}:{protocol.line}: protocols.{protocol.name}"
    if entry.decision in ("vote", "best") and not SERVED[kind].votes:
        raise UserError(f"{where}.decision: {entry.decision} needs a task of classes, and {task} is {kind}")
    try:
        check_loss(entry.loss, kind)
    except ValueError as error:
        raise UserError(f"{where}.loss: {error}: task {task}") from None
    if entry.estimator is not None:
        try:
            check_estimator(entry.estimator.kind, entry.estimator.parameters, kind)
        except ValueError as error:
            raise UserError(f"{where}.estimator: {error}; task {task} is {kind}") from None
