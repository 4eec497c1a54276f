"""What to cite for the datasets, encoders, recipes and protocols that a set of scores rests on, as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from analysis.report.document import CitationRow
from benchmark.registry.registry import Registry

SHIPPED = Path(__file__).parent / "references.bib"
#: What the entries of the registry call a source, in their class, `source` or `description`, and its key.
SOURCES = {
    r"encoders\.tune\b|\bTUNe\b": "velezvasquez2022tailed",
    r"\bCLMR\b": "spijkervet2021contrastive",
    r"encoders\.sample_cnn\b|\bSampleCNN\b": "lee2017sample",
    r"\bCastellon\b|\bjukemir\b": "castellon2021codified",
    r"\bKim et al\. 2020\b": "kim2020one",
    r"\bMcCallum\b": "mccallum2022supervised",
}
#: The models of every hierarchical analysis.
STATISTICS = "kim2020one"


def shipped_references() -> dict[str, str]:
    """BibTeX entries that ship with bench, by key."""
    return _by_key(SHIPPED.read_text(encoding="utf-8"))


def citations(
    registry: Registry,
    encoders: Iterable[str],
    recipes: Iterable[str],
    protocols: Iterable[str],
    datasets: Iterable[str],
) -> list[CitationRow]:
    """What to cite, and for what.

    Nothing is imported but this project's own dataset modules, for the names may come from a stranger's store.

    Parameters
    ----------
    registry
        What names mean; those that it does not hold are passed over.
    encoders, recipes, protocols, datasets
        Names in use.

    Returns
    -------
    list of CitationRow
        In order of first use.
    """
    shipped = shipped_references()
    found: dict[str, CitationRow] = {}

    def add(key: str, bibtex: str, use: str) -> None:
        uses = found.setdefault(key, {"key": key, "bibtex": bibtex, "used_for": []})["used_for"]
        if use not in uses:
            uses.append(use)

    for name in datasets:
        entry = registry.sections["datasets"].get(name)
        if entry is not None:
            for key, bibtex in _by_key(_bibtex_of(str(getattr(entry.entry, "class_path", "")))).items():
                add(key, bibtex, f"dataset {name}")
    for section, kind, names in (
        ("encoders", "encoder", encoders),
        ("recipes", "recipe", recipes),
        ("protocols", "protocol", protocols),
    ):
        for name in names:
            named = registry.sections[section].get(name)
            if named is not None:
                text = " ".join(
                    str(getattr(named.entry, field, "")) for field in ("class_path", "source", "description")
                )
                for pattern, key in SOURCES.items():
                    if re.search(pattern, text):
                        add(key, shipped[key], f"{kind} {name}")
    add(STATISTICS, shipped[STATISTICS], "the hierarchical analysis")
    return list(found.values())


def _bibtex_of(class_path: str) -> str:
    module, _, name = class_path.partition(":")
    if not module.startswith("tasks."):
        return ""
    return str(getattr(import_module(module), name).BIBTEX)


def _by_key(text: str) -> dict[str, str]:
    """Entries of a BibTeX text by their keys."""
    entries = re.split(r"(?m)^(?=@)", text)
    return {match[1]: entry.strip() for entry in entries if (match := re.match(r"@\w+\{([^,\s]+),", entry))}
