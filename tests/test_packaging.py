"""What is installed works from another folder, and the rooms keep to their walls."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel, unpacked as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_what_a_run_needs_and_no_more(installed):
    top = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"analysis", "benchmark", "cli.py", "encoders", "probes", "registry.yaml", "tasks"}
    for room in ("analysis", "benchmark", "encoders", "probes", "tasks"):
        assert (installed / room / "py.typed").exists()
    assert not list(installed.rglob("test_*"))


def test_an_installed_bench_lists_its_registry_from_another_folder(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    code = "import sys, cli; print(cli.__file__); sys.argv = ['bench', 'list']; cli.main()"
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert str(installed) in result.stdout
    assert "tune_plus" in result.stdout


def test_the_rooms_keep_to_their_walls():
    """import-linter's contracts in pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "5 kept, 0 broken" in result.stdout


@pytest.mark.parametrize("tool", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join)
def test_lint_format_and_types(tool):
    program = str(Path(sys.executable).with_name(tool[0]))
    arguments = tool[1:] + ([] if tool[0] == "mypy" else ["."])
    result = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
