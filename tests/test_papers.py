"""The page of papers: each of its commands is planned, and it is what its file makes."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
from docs_blocks import ROOT, calls_of_bench, problem_with
from typer.testing import CliRunner

from benchmark.commands import run as run_command
from cli import app

#: Tables and figures of each paper, drawings and lists of literature included.
EXTENT = {
    "Contrastive": (13, 22),
    "Tailed": (5, 5),
    "Supervised": (4, 2),
    "One deep": (6, 16),
}


def hook():
    spec = importlib.util.spec_from_file_location("papers_hook", ROOT / "docs" / "hooks" / "papers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = hook()
PAPERS = HOOK.papers()
ITEMS = [(paper["title"], item) for paper in PAPERS for item in paper["items"]]
RUNS = dict.fromkeys(command for _, item in ITEMS for command in item["commands"] if command.startswith("bench run "))


def test_the_page_is_what_its_file_makes():
    assert HOOK.PAGE.read_text(encoding="utf-8") == HOOK.page()


def numbers_in(text: str) -> Counter:
    """Numbers of tables and figures that a text names, as `Figures 4.1 and 4.2` or `Figures 8 to 10`."""
    found = Counter()
    for word, listed in re.findall(r"(Table|Figure)s? ([\w.]+(?:(?:, | and | to )(?!Figure|Table)[\w.]+)*)", text):
        for first, last in re.findall(r"([\w.]+)(?: to ([\w.]+))?(?:, | and |$)", listed.rstrip(".")):
            some = range(int(first), int(last) + 1) if last else [first]
            found.update((word, str(number)) for number in some)
    return found


def test_every_table_and_figure_is_there():
    for paper in PAPERS:
        (extent,) = (found for start, found in EXTENT.items() if paper["title"].startswith(start))
        drawn = re.sub(r"(?<=and )(?=Figure)|\b(are|is) .*", "", paper["drawings"])
        made = {number for item in paper["items"] for number in numbers_in(item["item"])}
        told = numbers_in(drawn) + Counter(made)
        assert max(told.values()) == 1, told
        assert tuple(sum(kind == word for kind, _ in told) for word in ("Table", "Figure")) == extent, told


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Number of trainings by command of `bench run`, each carried out with `--dry-run` in this process."""
    store = tmp_path_factory.mktemp("store")
    found: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        plans = []
        # How long it takes on this device is measured for every encoder, which is not asked here.
        patch.setattr(run_command, "_show_plan", lambda _options, plan, *_: plans.append(plan))
        patch.setattr("benchmark.forecast.large_batches.say_memory", lambda *_: None)
        for command in RUNS:
            plans.clear()
            result = CliRunner().invoke(app, [*shlex.split(command)[1:], "--dry-run", "--store", str(store)])
            assert result.exit_code == 0, (command, result.output)
            (plan,) = plans
            assert plan.runs and not plan.lost, (command, plan.lost[:1])
            steps = {step.key: step for run in plan.runs for step in run.score.lineage()}
            found[command] = {key for key, step in steps.items() if step.kind in ("pretrain", "supervise")}
    return found


@pytest.mark.parametrize(("paper", "item"), ITEMS, ids=[f"{paper[:8]} {item['item']}" for paper, item in ITEMS])
def test_every_command_is_planned(paper, item, planned):
    trained = set().union(*(planned.get(command, set()) for command in item["commands"]))
    assert len(trained) == item.get("trainings", 0)
    for command in item["commands"]:
        (call,) = calls_of_bench(command)
        assert problem_with(call) is None
        assert not (file := next((word for word in call if word.endswith(".csv")), "")) or Path(ROOT / file).is_file()
    assert item["commands"] or item["differs"]
