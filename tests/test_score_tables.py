"""Tables for the terminal: what is said beside scores that a constant prediction reaches too."""

from __future__ import annotations

from report_store import make_record

from benchmark.comparison.score_tables import score_tables


def record(name, value, low, high):
    made = make_record(name, "gtzan", 0)
    lead, *others = made.metrics
    score = made.metrics[lead].model_copy(update={"value": value, "lower": low, "upper": high, "floor": 0.1})
    return made.model_copy(update={"metrics": {lead: score, **{other: made.metrics[other] for other in others}}})


def test_scores_at_or_below_their_floor_are_remarked():
    table = score_tables(
        [
            record("good", 0.6, 0.5, 0.7),
            record("unsure", 0.09, 0.05, 0.12),
            record("broken", 0.02, 0.01, 0.04),
            record("constant", 0.1, 0.1, 0.1),
        ]
    )
    remarks = [line for line in table.splitlines() if "constant prediction" in line]
    assert remarks == [
        "broken (tune, linear, seed 0) scores 0.020, below the 0.100 of a constant prediction: the probe failed",
        "constant (tune, linear, seed 0) scores 0.100, as a constant prediction does: the probe learnt nothing",
    ]
