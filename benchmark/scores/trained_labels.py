"""Test clips among those whose labels an encoder was trained on: such scores are refused unless allowed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.errors import UserError
from benchmark.store.store import Artifact

#: Test clips that a refusal names.
NAMED = 3
#: Ids of the shared clips, in the artifact of a step that compares them.
SHARED = "shared.json"


def refuse(task: str, trained: Sequence[str], shared: Sequence[str], tested: int) -> UserError:
    """Why a score on a task is not to be had.

    Parameters
    ----------
    task
        What is tested.
    trained
        Tasks whose labels the encoder is trained on.
    shared
        Ids of the test clips that are among the clips trained on.
    tested
        How many test clips there are.
    """
    named = ", ".join(shared[:NAMED]) + (f" and {len(shared) - NAMED:,} more" if len(shared) > NAMED else "")
    return UserError(
        f"task {task}: {len(shared):,} of its {tested:,} test clips are among the clips whose labels the encoder is "
        f"trained on, those of {' and '.join(trained)}: {named}; name another corpus or task, or pass --allow-overlap, "
        "and the record says so"
    )


def write_shared(folder: Path, shared: Sequence[str]) -> None:
    """Keep the ids of the shared clips."""
    (folder / SHARED).write_text(json.dumps(list(shared)), encoding="utf-8")


def read_shared(artifacts: Iterable[Artifact]) -> list[str]:
    """Ids of the shared clips of several comparisons, each once."""
    found: list[str] = []
    for artifact in artifacts:
        found += json.loads((artifact / SHARED).read_text(encoding="utf-8"))
    return list(dict.fromkeys(found))
