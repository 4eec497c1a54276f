"""A method, an augmentation, a readout, a dataset and an encoder of a stranger's installed package, from anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from docs_blocks import ROOT, blocks

PAGE = "docs/add-a-method.md"
MODULES = ("simsiam", "mel_encoder", "hush", "nearest_mean", "plucked")
PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "stranger"
version = "1"

[project.entry-points."bench.registry"]
stranger = "stranger"

[tool.hatch.build.targets.wheel]
include = ["stranger/**"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the package of the page's modules is installed, the music beside it."""
    found = blocks((ROOT / PAGE).read_text(encoding="utf-8"), PAGE)
    top = tmp_path_factory.mktemp("stranger")
    source = top / "source" / "stranger"
    source.mkdir(parents=True)
    (source.parent / "pyproject.toml").write_text(PROJECT)
    (source / "__init__.py").write_text("")
    for block in found:
        if block.title.endswith(".py"):
            (source / block.title).write_text(block.text)
    registry = next(block.text for block in found if block.title == "registry.yaml")
    for module in MODULES:
        assert f'"{module}:' in registry
        registry = registry.replace(f'"{module}:', f'"stranger.{module}:')
    (source / "registry.yaml").write_text(registry.replace("root: tones", f"root: {top / 'tones'}"))
    music = next(block.text for block in found if block.language == "python" and not block.title)
    subprocess.run([sys.executable, "-c", music], cwd=top, check=True)
    assert soundfile.info(top / "tones" / "00.wav").samplerate == 22_050
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    install = [sys.executable, "-m", "pip", "install", *options, "--target", str(top / "installed"), str(source.parent)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return top


def bench(place: Path, cwd: Path, *words: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("BENCH_", "PYTHON"))}
    environment |= {"PYTHONPATH": str(place / "installed"), "BENCH_STORE": str(place / "store")}
    command = [str(Path(sys.executable).with_name("bench")), *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def keys(place: Path, cwd: Path) -> dict[str, str]:
    """Key of every step of the run, by kind."""
    words = ("run", "--encoder", "mel_encoder", "--task", "instrument", "--recipe", "simsiam")
    plan = json.loads(bench(place, cwd, *words, "--dry-run", "--json"))
    return {step["title"]: step["key"] for step in plan}


@pytest.mark.slow
def test_all_five_work_from_an_installed_package_and_their_code_is_in_the_keys(place, tmp_path):
    bench(place, tmp_path, "run", "--encoder", "mel_encoder", "--task", "instrument", "--recipe", "simsiam")
    (record,) = [
        record
        for path in (place / "store" / "artifacts" / "score").glob("*/record.json")
        if (record := json.loads(path.read_text()))["recipe"] == "simsiam"
    ]
    assert (record["encoder"], record["protocol"], record["task"]) == ("mel_encoder", "nearest-mean", "instrument")
    assert record["metrics"]["accuracy"]["n_clips"] == 12
    # Three instruments, and one of three by chance.
    assert record["metrics"]["accuracy"]["value"] >= 0.5
    before = keys(place, tmp_path)
    file = place / "installed" / "stranger" / "nearest_mean.py"
    file.write_text(file.read_text() + "\nEDITED = True\n")
    after = keys(place, tmp_path)
    changed = {title.split()[0] for title in before if after.get(title) != before[title]}
    # A package is one piece of code: nobody can tell which of its modules help which.
    assert changed == {"initialise", "labels", "pretrain", "embed", "probe", "score"}
    assert not list(tmp_path.iterdir())
