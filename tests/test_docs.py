"""The documentation: the site builds and asks no other host for anything, and what its pages say to type works."""

import importlib
import inspect
import json
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import warm_command
import yaml
from conftest import TINY_REGISTRY, make_mtt, tone
from docs_blocks import (
    ROOT,
    Block,
    Sandbox,
    blocks,
    calls_of_bench,
    environment_of,
    indented_commands,
    lines_of,
    missing_lines,
    names_of,
    problem_with,
    problem_with_yaml,
)
from pydantic import BaseModel
from typer.main import get_command

from benchmark.plan.studies import Grid, Study
from benchmark.registry import entries, methods, recipes
from benchmark.registry.registry import built_in_registry
from benchmark.registry.yaml_dialect import read_document
from cli import app
from tasks.gtzan import EXCERPTS, GENRES
from tasks.standin.gtzan import _names

DOCS = ROOT / "docs"
#: Every file whose blocks are checked.
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
#: Pages that are carried out from the first block to the last.
FOLLOWED = [
    *("tutorial.md", "your-own-music.md"),
    *("add-an-encoder.md", "add-a-task.md", "add-an-augmentation.md", "add-a-method.md"),
]


def blocks_of(page: Path) -> list[Block]:
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    return [*blocks(text, name), *indented_commands(text, name)]


class Loads(HTMLParser):
    """Addresses that a page makes a browser fetch, and the text of its code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.code: set[str] = set()
        self._in_code = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._in_code = tag == "code"
        if tag in ("link", "script", "img", "iframe", "source", "video", "audio"):
            self.addresses += [value or "" for key, value in attributes if key in ("src", "href", "srcset")]

    def handle_data(self, data):
        if self._in_code:
            self.code.add(data)

    def handle_endtag(self, tag):
        self._in_code = False


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; building it fails on any warning."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_the_site_has_every_page_and_asks_no_other_host(site):
    pages = {page.relative_to(site).with_suffix("").as_posix(): page for page in site.rglob("*.html")}
    sources = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")}
    assert {*sources, "changelog", "first-study/report"} <= pages.keys()
    for name, page in pages.items():
        addresses = Loads(page.read_text()).addresses
        assert len(addresses) > 3 or name == "first-study/report", name
        for address in addresses:
            assert not re.match(r"(\w+:)?//", address), f"{name} loads {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(\w+:)?//|@import", sheet.read_text()), sheet
    assert json.loads((site / "search/search_index.json").read_text())["docs"]
    assert "Recipes, protocols and tasks never change" in (site / "changelog.html").read_text()


def hook(name: str) -> Any:
    """A module that makes pages."""
    sys.path.insert(0, str(DOCS / "hooks"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def models_of(module) -> set[type[BaseModel]]:
    return {each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, entries.Entry)}


def test_every_registry_key_is_described_on_the_page(site):
    meaning = hook("registry_keys").meaning
    page = (site / "registry.html").read_text()
    code = Loads(page).code
    models = models_of(entries) | models_of(methods) | models_of(recipes) | {Study, Grid}
    assert len(models) >= 13
    keys = [(model, info.alias or key, info) for model in models for key, info in model.model_fields.items()]
    assert len(keys) > 90
    for model, key, info in keys:
        assert key in code, f"{model.__name__}.{key} is not on the page"
        assert len(meaning(info)) > 5, f"{model.__name__}.{key} has no description"
    assert "<!-- keys" not in page
    # A row, whole: key, kind, default, meaning, and who says it.
    text = re.sub(r"<[^>]+>", "", page)
    assert re.search(r"patience\s+integer &gt; 0\s+evaluations without a better one [^\n]+\s+11 of 38\s", text)
    assert re.search(r"standardise_targets\s+true or false\s+false\s", text)


def printing_json(command: Any, path: str = "") -> set[str]:
    """Commands below one that have `--json`."""
    below = getattr(command, "commands", {})
    found = {path} if any("--json" in option.opts for option in command.params) else set()
    return found.union(*(printing_json(each, f"{path} {name}".strip()) for name, each in below.items()))


def test_every_key_of_the_json_of_every_command_is_described_on_the_page(site):
    documents = hook("json_documents")
    page = (site / "json.html").read_text()
    code = Loads(page).code
    assert "<!-- json" not in page
    assert printing_json(get_command(app)) <= documents.DOCUMENTS.keys()
    for command, kind in documents.DOCUMENTS.items():
        assert f'id="{command.replace(" --", "-").replace(" ", "-")}"' in page
        for model in documents._models(kind):
            said = documents.meanings(model)
            for key in documents.keys(model):
                assert key in code, f"{model.__name__}.{key} is not on the page"
                # Those of a record are in its own terms, which the page of the store's files explains.
                assert said[key] or issubclass(model, BaseModel), f"{model.__name__}.{key} has no meaning"
    text = re.sub(r"<[^>]+>", "", page)
    assert re.search(r"floor\s+number\s+What the constant prediction that is best on the training labels reaches", text)
    assert re.search(r"peak_gpu_memory_bytes\s+integer or null\s", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_file_of_a_page_is_understood(page, tmp_path):
    found = blocks_of(page)
    own = names_of(found)
    complaints = []
    for block in found:
        if block.language == "bash":
            calls = [call for line in lines_of(block.text) for call in calls_of_bench(line)]
            complaints += [f"{block}: {problem}" for call in calls if (problem := problem_with(call, own))]
        elif block.language == "yaml":
            complaints += filter(None, [problem_with_yaml(block, tmp_path)])
        elif block.language == "python":
            compile(block.text, str(block), "exec")
        assert block.language, f"{block}: say what this block holds: bash, yaml, python, text, ..."
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("run --encoder tune_plus --task mtt", None),
        ("run ... --dry-run", None),
        ("import ...", None),
        ("run --encoder mine+mfcc --task NAME", None),
        ("data download magnatagatune --data DIR", None),
        ("run --encoder tune_pluss --task mtt", "there is no encoder 'tune_pluss'"),
        ("run --encoder mfcc --task mtt --quick", "No such option: --quick"),
        ("report --format pdf", "'pdf' is not one of 'html'"),
        ("data fetch gtzan", "`bench data` has no command 'fetch'"),
        ("compare mfcc", "Missing argument 'B'"),
        ("run --study tune-table-9", "there is no study 'tune-table-9'"),
    ],
)
def test_wrong_commands_are_found(arguments, problem):
    found = problem_with(arguments.split(), {"mine"})
    assert found is None if problem is None else problem in found


def test_blocks_and_calls_are_found():
    page = '1. x\n\n    ```bash title="a"\n    A=1 bin/bench run \\\n      --task "a b" | tee x # bench no\n    ```\n'
    [block] = blocks(page, "page")
    assert (block.line, block.language, block.title, block.run) == (3, "bash", "a", True)
    assert [*calls_of_bench(lines_of(block.text)[0])] == [["run", "--task", "a b"]]
    assert not blocks("```bash {.norun}\nrm x\n```", "page")[0].run
    [indented] = indented_commands("    bench list\n```text\n    bench no\n```\n", "page")
    assert indented.text == "bench list\n"
    assert [*calls_of_bench("bench list > out.txt; bench status")] == [["list"], ["status"]]
    assert missing_lines("a 0.512 [1, 2]\n...\nb ... e", "a  0.7 [3,  4]\nb c d e\n") == []
    assert missing_lines("a ... b\n...", "a b\n") == []
    assert missing_lines("a 0.5\nc", "b 0.5\nc") == ["a 0.5"]


SMALL = """
from tasks.gtzan import Gtzan
from tasks.magnatagatune import MagnaTagATune


class SmallMagnaTagATune(MagnaTagATune):
    STANDIN = "small_bench.small_magnatagatune"


class SmallGtzan(Gtzan):
    STANDIN = "small_bench.small_gtzan"
"""
SMALL_STANDIN = """
import shutil
from pathlib import Path

from tasks.standin.{name} import extent


def write(root, seed, progress=None):
    shutil.copytree(Path(__file__).parent / "{name}", root, dirs_exist_ok=True)
"""
#: No registry that is found unasked replaces what is built in.
SMALL_BUILT_IN = """
from pathlib import Path

import benchmark.registry.registry

benchmark.registry.registry.built_in_registry = lambda: Path(__file__).parent / "small_bench" / "registry.yaml"
"""
SMALL_DATASETS = """
datasets:
  magnatagatune: {class: small_bench.standins:SmallMagnaTagATune}
  gtzan: {class: small_bench.standins:SmallGtzan}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder that makes the built-in stand-ins, TUNe+ and `demo` small, so that the same words take seconds."""
    place = tmp_path_factory.mktemp("installed")
    package = place / "small_bench"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "standins.py").write_text(SMALL)
    for name in ("magnatagatune", "gtzan"):
        (package / f"small_{name}.py").write_text(SMALL_STANDIN.format(name=name))
    (package / "small.yaml").write_text(
        TINY_REGISTRY.replace("tiny:", "tune_plus:").replace("short:", "demo:") + SMALL_DATASETS
    )
    registry, small = (read_document(file).value for file in (built_in_registry(), package / "small.yaml"))
    for section, added in small.items():
        registry[section] |= added
    (package / "registry.yaml").write_text(yaml.safe_dump(registry, sort_keys=False))
    (place / "sitecustomize.py").write_text(SMALL_BUILT_IN)
    make_mtt(package / "magnatagatune", {"0": 7, "b": 7, "c": 4, "d": 4, "f": 4})
    published, chosen = _names(), []
    for number, genre in enumerate(GENRES):
        names = [*published[genre, "train"][:2], published[genre, "valid"][0], published[genre, "test"][0]]
        (package / "gtzan" / "genres" / genre).mkdir(parents=True)
        for name in names:
            samples = tone(1.0, 22_050, number) + 0.01 * np.float32(number)
            soundfile.write(package / "gtzan" / "genres" / genre / f"{name}.wav", samples, 22_050)
        chosen += names
    (package / "gtzan" / EXCERPTS).write_text("".join(f"{name}\n" for name in chosen))
    return place


@pytest.fixture(scope="module")
def installed(small):
    """A warm `bench` and an environment that see the package of `small`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(small), prepend=os.pathsep)
        patch.setattr(warm_command, "_server", None)
        yield
        if warm_command._server is not None:
            warm_command._stop(warm_command._server)


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed_to_the_end(page, installed, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    sandbox = Sandbox(folder, environment_of(tmp_path, tmp_path / "store"))
    shown, done = "", 0
    for block in blocks_of(DOCS / page):
        if block.language == "text":
            missing = missing_lines(block.text, shown)
            assert not missing, "\n".join([f"{block}: not shown:", *missing, "in:", shown])
        elif block.run:
            shown = sandbox.carry_out(block)
            done += 1
    assert done >= 5
    shutil.rmtree(tmp_path / "store")
