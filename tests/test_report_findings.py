"""The page's sentences on pairs against the numbers that they come from, over tables drawn at random."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import AnalysisError
from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.report.findings import findings, matrix
from analysis.report.over_tasks import OverTasks


def part_of(encoders: int, tasks: int, seeds: int, spread: float, noise: float, seed: int) -> OverTasks | None:
    """An analysis of scores with true differences of size `spread`; ``None`` where it is refused."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, spread, encoders)
    by_task = true[:, None] + rng.normal(0, 0.3, (encoders, tasks))
    rows = [
        {"encoder": f"e{e}", "task": f"t{t}", "seed": s, "metric": "accuracy",
         "score": 0.5 + 0.05 * (by_task[e, t] + noise * rng.normal())}
        for e in range(encoders) for t in range(tasks) for s in range(seeds)
    ]  # fmt: skip
    try:
        options = AnalysisOptions(factor="encoder", bootstrap=20, seed=0, run="none")
        analysis = analyze(pd.DataFrame(rows), options, figures=False)
    except (AnalysisError, np.linalg.LinAlgError):
        return None
    return OverTasks(False, {}, [], [], [], [], None, analysis, "", [], None, "")


@settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.integers(2, 9), st.integers(2, 6), st.integers(1, 2), st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([0.05, 1.0]), st.integers(0, 1000),
)  # fmt: skip
def test_no_sentence_contradicts_a_number(encoders, tasks, seeds, spread, noise, seed):
    part = part_of(encoders, tasks, seeds, spread, noise, seed)
    if part is None:
        return
    told, cells = findings(part), matrix(part)["cells"]
    for cell in cells.values():
        assert cell["lower"] <= cell["estimate"] <= cell["upper"]
        assert cell["different"] == (cell["answer"] == "better") == (cell["p"] < 0.05 and not cell["networks"])
        assert not cell["networks"] or (seeds == 1 and cell["p"] < 0.05)
        if cell["different"]:
            assert not cell["lower"] <= 0 <= cell["upper"]
    mentioned = set()
    for sentence in [*told.found, *told.pairs]:
        if exceeds := re.match(r"(e\d) exceeds (.*?) over \d tasks", sentence):
            pattern = r"(e\d) by ([\d.]+) SD \[(-?[\d.]+), (-?[\d.]+)\] \(p (<|=) ([\d.]+)\)"
            for other, size, low, high, _, p in re.findall(pattern, exceeds[2]):
                cell = cells[exceeds[1], other]
                mentioned.add(frozenset((exceeds[1], other)))
                assert cell["different"]
                assert [float(size), float(low), float(high)] == pytest.approx(
                    [cell["estimate"], cell["lower"], cell["upper"]], abs=0.0051
                )
                assert float(low) >= 0
                assert float(p) < 0.05
        if networks := re.match(r"Of these networks that of (e\d) is above (.*)", sentence):
            for other, p in re.findall(r"that of (e\d) by [^(]*\(p [<=] ([\d.]+)", networks[2]):
                mentioned.add(frozenset((networks[1], other)))
                assert cells[networks[1], other]["networks"]
                assert float(p) < 0.05
        if same := re.match(r"(e\d) is equivalent to (.*) within", sentence):
            mentioned |= {frozenset((same[1], other)) for other in re.findall(r"e\d", same[2])}
            assert all(cells[same[1], other]["answer"] == "equivalent" for other in re.findall(r"e\d", same[2]))
        if tied := re.search(r"[Tt]he data cannot tell (e\d) from (.*)\.", sentence):
            for other in re.findall(r"e\d", tied[2]):
                mentioned.add(frozenset((tied[1], other)))
                assert not cells[tied[1], other]["different"]
        if digest := re.search(r"[Oo]f (\d+) pairs (none|\d+) differ", sentence):
            differ = sum(cell["different"] for cell in cells.values()) // 2
            assert (int(digest[1]), digest[2]) == (len(cells) // 2, str(differ) if differ else "none")
        if leader := re.match(r"(e\d) has the highest expected score \(", sentence):
            own = {other: cell for (name, other), cell in cells.items() if name == leader[1]}
            assert all(cell["estimate"] >= 0 for cell in own.values())
            beaten = re.search(r"exceeds (\d) of the", sentence)
            assert int(beaten[1] if beaten else 0) == sum(cell["different"] for cell in own.values())
            for other in re.findall(r"e\d", sentence.partition("cannot be told from")[2]):
                assert not own[other]["different"]
    assert mentioned == {frozenset(pair) for pair in cells}
