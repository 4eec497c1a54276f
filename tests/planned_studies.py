"""Studies of encoders of which one leads, to hold planned power against what analyses of them find."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from analysis.design.levels import PlannedLevels
from analysis.design.power import PlannedTests
from analysis.statistics.balanced import CompleteTable, Variances, fit_complete, sums_of
from analysis.statistics.inference import holm
from analysis.statistics.planned import PlannedStudy, planned_differences, planned_table

SPREAD, REST, LUCK = 0.5, 0.5, 0.3
"""Standard deviations: of encoders over tasks, of the residual, and of a network's luck where there are seeds."""


def led(studies, encoders, tasks, seeds, lead, *, luck=LUCK, erratic=1.0, rng=0):
    """Scores of studies of which encoder 1 leads, shape [studies, encoders, tasks, seeds]; 0 may be erratic."""
    generator = np.random.default_rng(rng)
    wide = _wide(encoders, erratic)
    scores = lead * (np.arange(encoders) == 1)[:, None, None]
    scores = scores + wide[:, None, None] * generator.standard_normal((studies, encoders, tasks, 1))
    scores = scores + REST * generator.standard_normal((studies, encoders, tasks, seeds))
    return scores + (luck if seeds > 1 else 0.0) * generator.standard_normal((studies, encoders, 1, seeds))


def divided(scores):
    """Scores over their task's standard deviation."""
    studies, _, tasks, _ = scores.shape
    sd = scores.transpose(0, 2, 1, 3).reshape(studies, tasks, -1).std(axis=2, ddof=1)
    return scores / sd[:, None, :, None]


def long_table(scores):
    """One study [encoders, tasks, seeds] as a table."""
    e, d, s = (each.reshape(-1) for each in np.indices(scores.shape))
    columns = {"encoder": [f"e{i}" for i in e], "task": [f"t{i}" for i in d], "seed": s}
    return pd.DataFrame(columns | {"score": scores.reshape(-1)})


def complete_fit(scores, own, trained):
    """Means, variances, standard errors and degrees of freedom of complete tables."""
    _, encoders, tasks, seeds = scores.shape
    table = CompleteTable(encoders, tasks, seeds, own, np.full(encoders, trained and seeds > 1))
    means, sums = sums_of(table, scores)
    cells = np.einsum("ree->re", sums.cross) / (tasks - 1)
    between = cells if own else cells.mean(axis=1, keepdims=True)
    mean = between.mean(axis=1)
    return means, *fit_complete(table, sums, Variances(between, mean / 10, mean))


def known_levels(encoders, seeds, lead, *, natural, luck=LUCK, erratic=1.0, tasks=None):
    """Levels as an analysis of very many tasks finds them, and the difference of the first two in its unit."""
    lucky = luck if seeds > 1 else 0.0
    if natural:
        means, between, single, run = (
            lead * (np.arange(encoders) == 1),
            _wide(encoders, erratic) ** 2,
            REST**2,
            lucky**2,
        )
    else:
        means, between, single, run = _divided_levels(encoders, seeds, lead, lucky, erratic, tasks)
    whole = seeds == 1 and natural
    entries = {
        f"e{i}": {
            "mean": float(means[i]),
            "between": float(between[i] + (single if whole else 0.0)),
            "single": 0.0 if whole else single,
            "run": run if lucky else None,
            "networks": seeds if lucky else 0,
            "repeats": float(seeds),
            "unit": True,
        }
        for i in range(encoders)
    }
    return PlannedLevels(entries, natural, 100_000), float(abs(means[1] - means[0]))


def _wide(encoders, erratic):
    return SPREAD * np.where(np.arange(encoders) == 0, erratic, 1.0)


def _divided_levels(encoders, seeds, lead, luck, erratic, tasks):
    """Means, variances over tasks, of a score and of luck that analyses of divided scores find.

    Luck is drawn anew for every task, and every task has its mirror image: neither leaves a trace in the means.
    """
    tasks = tasks or max(4000, 400_000 // (encoders * seeds))
    scores = led(1, encoders, tasks // 2, seeds, lead, luck=0.0, erratic=erratic, rng=77)
    extra = luck * np.random.default_rng(78).standard_normal(scores.shape)
    middle = lead * (np.arange(encoders) == 1)[:, None, None]
    scores = np.concatenate([scores, 2.0 * middle - scores], axis=2)
    extra = np.concatenate([extra, -extra], axis=2)
    sd = (scores + extra).transpose(0, 2, 1, 3).reshape(scores.shape[2], -1).std(axis=1, ddof=1)
    means, found, _, _ = complete_fit(scores / sd[None, None, :, None], encoders > 2, False)
    run = (luck * float((1.0 / sd).mean())) ** 2
    return means[0], np.broadcast_to(found.between[0], (encoders,)), float(found.rest[0]), run


def lead_for(encoders, tasks, seeds, power=0.7, luck=LUCK):
    """Lead that gives natural scores about this power."""
    run = luck**2 if luck and seeds > 1 else None
    _, se, df = planned_differences(PlannedStudy(tasks, seeds, [SPREAD**2] * encoders, REST**2, run))
    pairs = encoders * (encoders - 1) // 2
    limit = stats.t.isf(0.025 / pairs, df[0])
    return float(se[0]) * float(limit * stats.chi2.ppf(power, df[0]) ** 0.5 / df[0] ** 0.5 + 0.3)


def planned_and_found(encoders, tasks, seeds, studies=500, *, natural=False, luck=LUCK, erratic=1.0, power=0.65):
    """Planned power of telling the leader from encoder 0, and the share of studies that call them different."""
    lead = lead_for(encoders, tasks, seeds, power, luck)
    levels, difference = known_levels(encoders, seeds, lead, natural=natural, luck=luck, erratic=erratic)
    planned = PlannedTests(levels, difference, pairs=[("e0", "e1")]).power("e0", "e1", tasks, seeds)
    run = luck**2 if luck else None
    table = planned_table(PlannedStudy(tasks, seeds, [1.0] * encoders, 1.0, run))
    found = 0
    for block in range(0, studies, 100):
        rng = [block, encoders, tasks, seeds, int(natural)]
        scores = led(100, encoders, tasks, seeds, lead, luck=luck, erratic=erratic, rng=rng)
        means, _, se, df = complete_fit(scores if natural else divided(scores), table.own, bool(table.trained.any()))
        a, b = table.pairs.T
        for t, freedom in zip(np.abs(means[:, b] - means[:, a]) / se, df, strict=True):
            found += holm(2.0 * stats.t.sf(t, freedom))[0] < 0.05
    return {"difference": difference, "planned": planned, "found": found / studies}


if __name__ == "__main__":
    for encoders, seeds, tasks in product(map(int, sys.argv[2:]), (1, 3, 5), (3, 7, 20)):
        row = []
        for natural in (True, False):
            if encoders == 2 and seeds == 1 and not natural:
                continue
            made = planned_and_found(encoders, tasks, seeds, int(sys.argv[1]), natural=natural)
            row.append(f"{made['difference']:.2f} {made['planned']:.3f} {made['found']:.3f}")
        print(encoders, seeds, tasks, *row, sep=" | ", flush=True)
