"""The page's section on a study of sources of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.figures import effects
from analysis.pages.drawings import WIDTH
from analysis.pages.svg import page_style
from analysis.report import source_drawings
from analysis.report.document import TopicMap
from analysis.report.groups import Group
from analysis.report.page_figures import page_figure
from analysis.report.source_study import SourceStudy, best_sources, parameters, shares, source_studies

_BY_STRATEGY = "Effects of strategy and number of sources"
_BY_SIZE = "Effects of network size and number of sources"
#: What each figure shows, for those who do not see it.
_TOLD = {
    "single_sources": ("Single sources", "Scores by source, a panel a task. The table holds the means."),
    "strategies": ("Strategies", "Box plots of scores by strategy, a panel a task. The table holds the means."),
    "numbers_of_sources": (
        "Number of sources",
        "Standardised scores by number of sources. The models hold the slopes.",
    ),
    "with_or_without_the_best": (
        "With or without the best source",
        "Standardised scores by number of sources, with and without the best source. The table holds the differences.",
    ),
    "score_against_component": (
        "Single score against component",
        "Mean standardised score of single sources against their variance component. The tables hold the numbers.",
    ),
    "sizes": ("Parameters", "Parameters by number of sources. The table holds the ends of the lines."),
}


def source_section(groups: Sequence[Group], topics: Sequence[TopicMap]) -> dict[str, Any] | None:
    """What the section shows, by the names of its template; ``None`` where no runs are a study of sources.

    Parameters
    ----------
    groups : sequence of Group
        Of the report.
    topics : sequence of TopicMap
        Maps with topics laid over.
    """
    studies = source_studies(groups)
    if not studies and not topics:
        return None
    with page_style():
        parts = [_part(study, i) for i, study in enumerate(studies)]
        maps = [
            {
                **found,
                "svg": page_figure(
                    source_drawings.topics(found), f"topics{i}", f"Topics: {found['title']}", _words(found)
                ),
            }
            for i, found in enumerate(topics)
        ]
    return {"parts": parts, "maps": maps}


def _part(study: SourceStudy, number: int) -> dict[str, Any]:
    counts = parameters(study)
    shown = [
        *("single_sources", "strategies", "numbers_of_sources", "with_or_without_the_best"),
        *(["score_against_component"] if study.components else []),
        *(["sizes"] if counts else []),
    ]
    svgs = {name: page_figure(getattr(source_drawings, name)(study), f"{name}{number}", *_TOLD[name]) for name in shown}
    models = []
    for kind, model, told in (("strategy", study.by_strategy, _BY_STRATEGY), ("size", study.by_size, _BY_SIZE)):
        if model is not None:
            figure = effects(model["fixed"])
            figure.set_size_inches(1.4 * WIDTH, figure.get_figheight())
            svg = page_figure(
                figure, f"by_{kind}{number}", told, "Fixed effects with 95 % intervals. The table holds all numbers."
            )
            models.append((model, svg, told))
    return {
        "study": study,
        "svgs": svgs,
        "models": models,
        "best": best_sources(study),
        "components": {(share["group"], share["source"]): share["estimate"] for share in study.components},
        "correlation": shares(study)[1],
        "parameters": counts,
        "baselines": list(dict.fromkeys(name for scores in study.baselines.values() for name in scores)),
    }


def _words(found: TopicMap) -> str:
    each = []
    for source in found["sources"]:
        counts = [source["topic"].count(topic) for topic in range(len(source["names"]))]
        most = max(range(len(counts)), key=counts.__getitem__)
        each.append(f"{source['source']}: most often {source['names'][most]}")
    return f"{len(found['x'])} test clips by the topic that each source's head expects most. {'; '.join(each)}."
