"""Test clips among those that encoders are to be pretrained on: said before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.plan.divisions import shared_clips
from benchmark.plan.planner import Planner
from benchmark.plan.runs import Run
from benchmark.steps import pretrain


def contamination(planner: Planner, runs: Sequence[Run]) -> list[str]:
    """A line for each corpus that is known to hold test clips of a task whose scores it leads to.

    Parameters
    ----------
    planner
        That planned the runs.
    runs
        Of real data, whose files are known by their content, or of stand-ins that are there.
    """
    told: dict[tuple[str, str], str] = {}
    for run in runs:
        for step in run.score.lineage():
            corpus, task = step.context.get("names", {}).get("corpus"), run.cell.task
            if step.kind != pretrain.KIND.name or corpus is None or (corpus, task) in told:
                continue
            tested, trained = planner.members(run.labels, "test"), planner.corpus_members(corpus, step.needs["pcm"])
            shared = [] if tested is None or trained is None else shared_clips(tested, trained)
            told[corpus, task] = ""
            if shared and tested is not None:
                told[corpus, task] = (
                    f"CONTAMINATED: corpus {corpus} holds {len(shared):,} of {len(tested.clips):,} test clips of "
                    f"{task}; what is pretrained on it has heard them, and its scores are marked and lead no table. A "
                    f"corpus `{{dataset: {tested.dataset}, splits: [train]}}` leaves them out"
                )
    return [line for line in told.values() if line]
