"""Pages of the site that are made of other files: keys of the registry, JSON of its types, kept scores, changelog."""

from __future__ import annotations

import re
from pathlib import Path

from json_documents import tables
from kept_scores import means, sentences
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from registry_keys import table

ROOT = Path(__file__).parent.parent.parent
_KEYS = re.compile(r"^<!-- keys: (\w+) -->$", re.M)
_MEANS = re.compile(r"^<!-- means: ([\w-]+) -->$", re.M)
_FINDINGS = re.compile(r"^<!-- findings: ([\w-]+) -->$", re.M)
_JSON = re.compile(r"^<!-- json: ([\w -]+) -->$", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, which lies beside the README."""
    changelog = File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    files.append(changelog)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put what is made of other files wherever a page asks for it, as by ``<!-- keys: NAME -->``."""
    del page, config, files
    markdown = _KEYS.sub(lambda found: table(found[1]), markdown)
    markdown = _MEANS.sub(lambda found: means(found[1]), markdown)
    markdown = _FINDINGS.sub(lambda found: sentences(found[1]), markdown)
    return _JSON.sub(lambda found: tables(found[1]), markdown)
