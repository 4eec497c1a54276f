"""Algorithm 2 made precise, and alias matrices."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from analysis_tables import GOLDEN, MULTI, SOURCES
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.commands import design
from analysis.design.fractional import Candidates, next_runs, replay
from analysis.options import DesignOptions
from analysis.statistics.aliasing import worst_alias

FACTORS = ["strategy=" + ",".join(MULTI), *(f"{source}=0,1" for source in SOURCES)]
DERIVED = ["n_sources=" + "+".join(SOURCES)]
RANGE = "n_sources >= 2 and n_sources <= 7"


def study_candidates():
    levels = {"strategy": MULTI, **{source: [0, 1] for source in SOURCES}}
    return Candidates.from_levels(levels, DERIVED, RANGE, ["n_sources"])


def sequence():
    return pd.read_csv(GOLDEN / "sequence_600.csv")


def test_the_study_had_1230_candidates():
    assert len(study_candidates().table) == 1230


def test_replay_of_the_published_sequence_is_balance_optimal_at_every_step():
    steps = replay(study_candidates(), sequence())
    assert sum(step["optimal"] for step in steps) == len(steps) == 600
    assert [step["least"] for step in steps] == sequence()["min_unbalance"].tolist()
    assert [step["n_optimal"] for step in steps] == sequence()["n_optimal"].tolist()


@pytest.mark.parametrize("drop", ["n_sources", "exhausted"])
def test_replay_would_notice_another_rule(drop, monkeypatch):
    """Leaving n out, or not excluding exhausted levels, explains 345 and 555 of the 600 choices."""
    import analysis.design.fractional as module

    if drop == "n_sources":
        levels = {"strategy": MULTI, **{source: [0, 1] for source in SOURCES}}
        whole = Candidates.from_levels(levels, DERIVED, RANGE)
        possible = Candidates.from_table(whole.table, ["strategy", *SOURCES])
        assert sum(step["optimal"] for step in replay(possible, sequence())) == 345
        return
    init = module._State.__init__

    def forever(self, *arguments):
        init(self, *arguments)
        self.remaining = [counts + 10_000 for counts in self.remaining]

    monkeypatch.setattr(module._State, "__init__", forever)
    assert sum(step["optimal"] for step in replay(study_candidates(), sequence())) == 555


def test_own_run_from_nothing_and_from_the_73_earlier_runs():
    possible = study_candidates()
    picks = next_runs(possible, 352, seed=0)
    assert picks.unbalance[-1] <= 30 and len(picks.runs.drop_duplicates()) == 352
    value, _, _ = worst_alias(analysis.alias_matrix(picks.runs, SOURCES))
    assert value <= 0.115
    before = pd.read_csv(GOLDEN / "design.csv").query("phase < 3")
    more = next_runs(possible, 352, before, seed=0)
    assert more.unbalance[-1] <= 18
    alone = next_runs(possible, 352, seed=0, aliasing=False)
    assert worst_alias(analysis.alias_matrix(alone.runs, SOURCES))[0] > value


def brute(table, chosen, candidate, factors, alias_columns):
    """Unbalance and aliasing from scratch, as the definitions say."""
    rows = [*chosen, candidate]
    rest = [i for i in range(len(table)) if i not in chosen]
    worst = 0
    for factor in factors:
        active = set(table[factor].iloc[rest])
        counts = [sum(table[factor].iloc[i] == level for i in rows) for level in active]
        worst = max(worst, max(counts) - min(counts))
    r = 0.0
    for a in range(len(alias_columns)):
        for b in range(a):
            if alias_columns[a][0] == alias_columns[b][0]:
                continue
            x, y = alias_columns[a][1][rows], alias_columns[b][1][rows]
            r = max(r, 1.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else abs(np.corrcoef(x, y)[0, 1]))
    return worst, r


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_every_choice_is_optimal_by_brute_force(seed):
    possible = Candidates.from_levels({"a": ["x", "y", "z"], "b": [0, 1], "c": [0, 1]}, ["n = b + c"], "n >= 1", ["n"])
    table = possible.table
    columns = [("a", (table.a == level).to_numpy(float)) for level in "xyz"]
    columns += [(name, table[name].to_numpy(float)) for name in "bc"]
    picks = next_runs(possible, 7, seed=seed)
    chosen: list[int] = []
    for step, row in enumerate(picks.runs.itertuples(index=False)):
        pick = next(i for i in range(len(table)) if tuple(table.iloc[i]) == tuple(row))
        judged = {i: brute(table, chosen, i, possible.factors, columns) for i in range(len(table)) if i not in chosen}
        least = min(u for u, _ in judged.values())
        best = min(r for u, r in judged.values() if u == least)
        assert judged[pick][0] == least == picks.unbalance[step]
        assert judged[pick][1] == pytest.approx(best, abs=1e-9) == pytest.approx(picks.aliasing[step], abs=1e-9)
        assert sum(u == least for u, _ in judged.values()) == picks.optimal[step]
        chosen.append(pick)


def test_one_run_at_a_time_is_the_same_as_many():
    possible = study_candidates()
    start = next_runs(possible, 30, seed=1).runs
    one = next_runs(possible, 1, start, seed=5)
    assert one.unbalance[0] == min(s["least"] for s in replay(possible, one.runs, start))
    both = pd.concat([start, one.runs])
    assert len(both.drop_duplicates()) == 31


def test_alias_matrix_of_the_published_design():
    phase3 = pd.read_csv(GOLDEN / "design.csv").query("phase == 3")
    matrix = analysis.alias_matrix(phase3, ["strategy", *SOURCES], ["n_sources"])
    among = matrix.loc[SOURCES, SOURCES].abs().to_numpy()[np.triu_indices(8, 1)]
    assert among.max() == pytest.approx(0.189, abs=5e-4) and among.mean() == pytest.approx(0.110, abs=5e-4)
    strategies = [f"strategy[{name}]" for name in MULTI]
    assert matrix.loc[SOURCES, strategies].abs().to_numpy().max() == pytest.approx(0.194, abs=5e-4)
    assert matrix.loc[SOURCES, "n_sources"].abs().max() == pytest.approx(0.544, abs=5e-4)
    assert matrix.loc[strategies, "n_sources"].abs().max() == pytest.approx(0.147, abs=5e-4)
    assert np.isnan(matrix.loc[strategies[0], strategies[1]])


def test_command_writes_its_files(tmp_path):
    options = DesignOptions(
        FACTORS,
        derive=DERIVED,
        where=RANGE,
        keep_out="n_sources",
        runs=12,
        seed=3,
        replay=GOLDEN / "sequence_600.csv",
    )
    result = design(options, output=tmp_path)
    found = result["design"]
    assert (found["candidates"], found["replay"]["optimal"], len(found["runs"])) == (1230, 600, 12)
    assert found["kept_apart"] == ["strategy", *SOURCES]
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 12
    assert json.loads((tmp_path / "design.json").read_text()) == result
    assert sorted(result["files"]) == sorted(path.name for path in tmp_path.iterdir())
    values = pd.read_csv(tmp_path / "alias.csv", index_col=0)
    assert values.shape == (13 + 6, 13 + 6) or values.shape[0] == values.shape[1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "nothing to design"),
        ({"factors": ["a"]}, "write NAME=LEVEL"),
        ({"factors": ["a=1"]}, "fewer than two levels"),
        ({"factors": ["a=1,2", "a=3,4"]}, "given twice"),
        ({"factors": ["a=1,2", "b=1,2"], "runs": 9}, "9 runs were asked for and 4 candidates remain"),
        ({"factors": ["a=1,2"], "candidates": "x.csv"}, "not both"),
        ({"factors": ["a=1,2", "b=1,2"], "where": "a > 5"}, "holds on none"),
        ({"factors": [f"f{i}=" + ",".join(map(str, range(40))) for i in range(5)]}, "drop a factor"),
        ({"difference": 0.2}, "needs both"),
        ({"analysis": "none.json", "difference": 0.2}, "cannot be read"),
    ],
)
def test_command_errors(options, match):
    with pytest.raises(analysis.AnalysisError, match=match):
        design(DesignOptions(**options))


def test_sequence_with_a_foreign_run_is_refused():
    possible = Candidates.from_levels({"a": [1, 2], "b": [1, 2]})
    with pytest.raises(analysis.AnalysisError, match="run 2 of the sequence was made before"):
        replay(possible, pd.DataFrame({"a": [1, 1], "b": [1, 1]}))
    with pytest.raises(analysis.AnalysisError, match="run 1 of the sequence is not a candidate"):
        replay(possible, pd.DataFrame({"a": [3], "b": [1]}))
