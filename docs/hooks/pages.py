"""Pages of the site that are made of other files: the registry's keys of its models, the changelog of CHANGELOG.md."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from registry_keys import table

ROOT = Path(__file__).parent.parent.parent
_KEYS = re.compile(r"^<!-- keys: (\w+) -->$", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, which lies beside the README."""
    changelog = File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    files.append(changelog)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put a table of keys wherever a page asks for one by ``<!-- keys: NAME -->``."""
    del page, config, files
    return _KEYS.sub(lambda found: table(found[1]), markdown)
