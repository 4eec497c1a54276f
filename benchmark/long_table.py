"""The scores of a store as the long table that `analysis` takes: one row a run and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.errors import UserError
from benchmark.records import RECORD, read_record


def long_table(store: Path, metric: str | None = None) -> list[dict[str, Any]]:
    """Rows of all score records in a store.

    Parameters
    ----------
    store
        The store's folder.
    metric
        Which metric of each record; by default the one that leads its task.

    Returns
    -------
    list of dict
        ``encoder, corpus, recipe, protocol, task, metric, seed, layer, labels, deform, score, fingerprint, standin, n``.

    Raises
    ------
    UserError
        If the folder holds no record, or one cannot be read.
    """
    rows = []
    for file in sorted(store.glob(f"artifacts/probe/*/{RECORD}")):
        try:
            record = read_record(file.parent)
        except (OSError, ValidationError) as error:
            raise UserError(f"{file}: not a score record of this version: {str(error).splitlines()[0]}") from None
        name = metric or next(iter(record.metrics))
        if name in record.metrics:
            rows.append(
                {
                    "encoder": record.encoder,
                    "corpus": record.corpus or "none",
                    "recipe": record.recipe,
                    "protocol": record.protocol,
                    "task": record.task,
                    "metric": name,
                    "seed": record.seed,
                    "layer": record.layer or "none",
                    "labels": record.labels,
                    "deform": record.deform or "none",
                    "score": record.metrics[name].value,
                    "fingerprint": record.fingerprint,
                    "standin": record.data == "stand-in",
                    "n": record.n_scored["test"],
                }
            )
    if not rows:
        wanted = f" with the metric {metric!r}" if metric else ""
        raise UserError(f"{store}: holds no score record{wanted}; `bench run` makes some")
    return rows
