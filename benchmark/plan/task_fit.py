"""Whether a task, its metrics and a protocol go together, as far as that is known before any audio is decoded."""

from __future__ import annotations

from benchmark.errors import UserError, unknown_name
from benchmark.registry.datasets import reading
from benchmark.registry.entries import DatasetEntry, ProtocolEntry, TaskEntry
from benchmark.registry.plugins import load_class
from benchmark.registry.registry import Named
from benchmark.scores.scoring import check_metrics
from probes.estimators import check_estimator
from probes.kinds import SERVED, check_loss, check_served
from probes.protocol import Factorisation, OwnReadout
from tasks.base import Dataset
from tasks.folds import divide
from tasks.metrics import METRICS, split_name
from tasks.targets import Kind


def kind_of(task: Named[TaskEntry], dataset: Named[DatasetEntry], opened: Dataset | None) -> Kind:
    """Kind of a task's labels.

    Parameters
    ----------
    task, dataset
        The entries.
    opened
        The dataset in the user's folder, whose tables are then read; ``None`` if there is none, or they were read
        before.

    Raises
    ------
    UserError, DatasetError
        If a metric is not known or does not fit the task, or the tables do not give it.
    """
    metrics = task.entry.metrics
    where = f"{task.file}:{task.line}: tasks.{task.name}"
    for name in metrics:
        base, _ = split_name(name)
        if base not in METRICS:
            raise UserError(f"{where}.metrics: {unknown_name('metric', base, METRICS)}")
    kind: Kind = load_class(dataset).KIND or METRICS[split_name(metrics[0])[0]].kind
    for name in metrics:
        wanted = METRICS[split_name(name)[0]].kind
        if wanted != kind:
            raise UserError(f"{where}.metrics: metric {name!r} is for {wanted} tasks, and this task is {kind}")
    if opened is None:
        return kind
    with reading(dataset):
        found = divide(opened.task(**task.entry.options), opened, task.entry.folds)
    try:
        check_metrics(found, metrics)
    except UserError as error:
        can_say = found.kind != kind and load_class(dataset).KIND is None
        hint = f"; if its labels are {kind}, say `options: {{kind: {kind}}}`" if can_say else ""
        raise UserError(f"{where}.metrics: {error}{hint}") from None
    return found.kind


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
