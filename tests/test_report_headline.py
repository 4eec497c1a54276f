"""The sentence that a report opens with, against the analysis and the leaderboards that it comes from."""

from __future__ import annotations

import re

import pytest
from report_store import fill, grid, make_record

from analysis.report.groups import form_groups
from analysis.report.headline import headline, lead
from analysis.report.leaderboard import leaderboard
from analysis.report.over_tasks import over_tasks
from benchmark.registry.registry import load_registry
from benchmark.report.contents import collect

TASKS = ["gtzan", "key", "mtt", "emotion", "a", "b"]


def told(tmp_path, records, standin=False):
    groups = form_groups(collect(fill(tmp_path / "store", records), load_registry())["runs"])
    part = over_tasks(groups, standin)
    boards = [board for group in groups if group.standin == standin and (board := leaderboard(group))]
    return headline(part, boards), part


def scored(scores, tasks=TASKS, **factors):
    """Two seeds of representations whose scores are the given ones, moved by task and seed alike."""
    for name, score in scores.items():
        for i, task in enumerate(tasks):
            for seed in (0, 1):
                moved = score + 0.01 * i + 0.001 * ((3 * i + 5 * seed + len(name) + ord(name[0])) % 4)
                yield make_record(name, task, seed, score=moved, **factors)


def test_a_leader_of_all_is_said_to_lead(tmp_path):
    sentence, part = told(tmp_path, scored({"a": 0.8, "b": 0.6, "c": 0.5}))
    found = lead(part)
    assert (found.name, set(found.beaten), found.differ) == ("a", {"b", "c"}, 3)
    interval = re.escape(f"(+{found.estimate:.2f} SD [{found.lower:+.2f}, {found.upper:+.2f}])")
    assert re.fullmatch(rf"a leads over 6 tasks: it is better than all 2 others {interval}\.", sentence)


def test_where_nothing_differs_it_says_so_first(tmp_path):
    records = [make_record(name, task, seed, score=0.5 + 0.1 * ((i * 7 + k * 5 + 3 * seed) % 5))
               for k, name in enumerate("abc") for i, task in enumerate(TASKS) for seed in (0, 1)]  # fmt: skip
    sentence, part = told(tmp_path, records)
    assert lead(part).differ == 0
    assert sentence.startswith("No pair of the 3 representations can be told apart over 6 tasks; ")


def test_a_leader_that_heard_the_test_clips_is_named_as_such(tmp_path):
    """It leads on tasks whose test clips it has not heard; of the others it is said."""
    records = [*scored({"a": 0.8, "b": 0.6, "c": 0.5}, TASKS[1:])]
    records += scored({"a": 0.8}, TASKS[:1], overlap=4, labelled=2)
    sentence, _ = told(tmp_path, records)
    assert sentence.startswith("a leads over 5 tasks: it is better than all 2 others")
    assert sentence.endswith(" But it was pretrained on 4 of the test clips, on 2 of them with their labels (‡).")


def test_what_lacks_a_task_is_not_led(tmp_path):
    records = [*scored({"b": 0.6, "c": 0.5, "d": 0.55}), *scored({"a": 0.8}, TASKS[1:])]
    sentence, part = told(tmp_path, records)
    found = lead(part)
    assert (found.name, found.among) == ("b", 3)
    assert {*found.beaten, *found.equal, *found.undecided} == {"c", "d"}
    assert "over 6 tasks, among the 3 that have them all" in sentence


def test_standins_are_named_before_anything_is_said_of_them(tmp_path):
    sentence, _ = told(tmp_path, scored({"a": 0.8, "b": 0.6}, data="stand-in"), standin=True)
    assert sentence.startswith("On stand-ins, which say nothing about music: a ")


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        (
            [make_record("a", "x", 0, score=0.4)],
            "a reaches 0.400 [0.380, 0.420] on x; a constant prediction reaches 0.100.",
        ),
        (
            [make_record("a", task, 0, score=0.4) for task in ("x", "y")],
            "Task by task the highest scores are of a on x and a on y; over all tasks nothing can be said.",
        ),
        ([make_record("a", "x", 0, layer="tail_1", score=0.4)], ""),
    ],
    ids=["one-run", "one-representation", "layers-alone"],
)
def test_without_a_model_it_keeps_to_what_is_there(tmp_path, records, sentence):
    assert told(tmp_path, records)[0] == sentence


def test_one_task_names_the_best_and_its_ties(tmp_path):
    records = [*grid(["a", "b"], ["x"], [0], score=0.5), make_record("c", "x", 0, score=0.9)]
    groups = form_groups(collect(fill(tmp_path / "store", records), load_registry())["runs"])
    boards = [leaderboard(group) for group in groups]
    assert headline(None, boards) == ("c is best on x, 0.900 [0.880, 0.920]; a constant prediction reaches 0.100.")
