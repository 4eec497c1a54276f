"""The page of papers, made from `docs/papers.yaml`: every table and figure with the commands that make it.

``python docs/hooks/papers.py`` writes the page anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parent.parent
SOURCE = DOCS / "papers.yaml"
PAGE = DOCS / "papers.md"

_HEAD = """\
# The papers, table by table

Every table and figure of four papers: the commands that make it, what they need, and what then differs from the paper.
All is told to find your data once, `export BENCH_DATA=DIR`; without it commands run on stand-ins, whose scores mean
nothing. `bench run --dry-run` says beforehand what there is to do, on your device.

**Hours** are those of pretraining at the speed that the TUNe paper reports (appendix, Table S3: 17.5 epochs of
MagnaTagATune's 18,706 clips an hour, on two Titan RTX), computed from the number of items that the trainings see at
most, where longer trainings go on from shorter ones; with one seed instead of three they are a third. They have not
been measured here.

*This page is made from `docs/papers.yaml`, every command of which the tests plan.*
"""


def papers() -> list[dict[str, Any]]:
    """The papers, as the file has them."""
    found = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))["papers"]
    assert isinstance(found, list)
    return found


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *(line for paper in papers() for line in _paper(paper))])


def _paper(paper: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {paper['title']}", "", f"{paper['cite']}. {paper['drawings']}", "")
    for item in paper["items"]:
        yield from (f"### {item['item']}: {item['shows']}", "")
        if item["commands"]:
            yield from ("```bash", *item["commands"], "```", "")
        told = list(_told(item))
        if told:
            yield from (*told, "")


def _told(item: dict[str, Any]) -> Iterator[str]:
    if not item["commands"]:
        yield f"- **Not yet**: {item['differs']}."
        return
    if "needs" in item:
        yield f"- **Needs** {item['needs']}."
    if "trainings" in item:
        several = f"{item['trainings']:,} trainings" if item["trainings"] > 1 else "one training"
        hours = f", about {item['hours']:,} hours" if "hours" in item else ""
        yield f"- **Trains** {several}{hours}."
    if "time" in item:
        yield f"- **Time**: {item['time']}."
    if "differs" in item:
        yield f"- **Differs**: {item['differs']}."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
