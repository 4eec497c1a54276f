"""The lock files: complete, of the ranges in pyproject.toml, hashed, and what setup.sh installs."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {"requirements.lock": ("all", "build"), "requirements-test.lock": ("test",)}
PYTHONS = ("3.11", "3.12", "3.13")


def environment(python: str) -> dict[str, str]:
    """Of a Python that is named as 3.11, or as 3.11.7."""
    full = python if python.count(".") == 2 else f"{python}.0"
    python = ".".join(full.split(".")[:2])
    return {
        **default_environment(),
        "python_version": python,
        "python_full_version": full,
        "implementation_version": full,
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
    }


def locked(name: str) -> list[tuple[Requirement, int]]:
    """Each requirement of a lock file with the number of its hashes."""
    found: list[tuple[Requirement, int]] = []
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("    --hash="):
            requirement, hashes = found.pop()
            found.append((requirement, hashes + 1))
        elif not line.startswith("#"):
            found.append((Requirement(line.rstrip("\\ ")), 0))
    return found


def versions(name: str, python: str) -> dict[str, str]:
    chosen = [each for each, _ in locked(name) if each.marker is None or each.marker.evaluate(environment(python))]
    found = {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in chosen}
    assert len(found) == len(chosen), "one version of each"
    return found


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    """Requirements of the project with some extras, those that extras name in turn included."""
    lines, waiting = list(PROJECT["project"]["dependencies"]), list(extras)
    while waiting:
        for line in PROJECT["project"]["optional-dependencies"][waiting.pop()]:
            requirement = Requirement(line)
            if requirement.name == "bench-music":
                waiting += requirement.extras
            else:
                lines.append(line)
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("name", "extras"), LOCKS.items())
def test_each_requirement_is_locked_within_its_range(name, extras, python):
    held = versions(name, python)
    for requirement in wanted(extras):
        version = held[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is locked; make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_users_and_tests_have_the_same_versions(python):
    tested = versions("requirements-test.lock", python)
    assert versions("requirements.lock", python).items() <= tested.items()


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_and_hashed_and_comes_from_nowhere_in_particular(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
    for requirement, hashes in locked(name):
        assert re.fullmatch(r"==[\w.!+]+", str(requirement.specifier)), requirement
        assert hashes >= 1, requirement


@pytest.mark.parametrize("line", PROJECT["project"]["dependencies"])
def test_what_every_run_needs_has_a_range_with_two_ends(line):
    operators = {each.operator for each in Requirement(line).specifier}
    assert {">=", "<"} <= operators


def test_what_builds_bench_is_locked_too():
    builds = {canonicalize_name(Requirement(line).name) for line in PROJECT["build-system"]["requires"]}
    assert builds <= versions("requirements.lock", "3.11").keys()


@pytest.mark.skipif("CI" not in os.environ, reason="only what setup.sh has just made is held to the lock")
def test_this_environment_is_the_lock():
    held = versions("requirements-test.lock", platform.python_version())
    assert {name: importlib.metadata.version(name) for name in held} == held


@pytest.fixture
def checkout(tmp_path) -> Path:
    """setup.sh and the lock files beside a virtual environment whose programs only say how they were called."""
    for name in ("setup.sh", *LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("pip", "python"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/called\necho "$VERSION"\n')
        (programs / name).chmod(0o755)
    (tmp_path / "uname").write_text('#!/bin/sh\n[ "$1" = -s ] && echo "$SYSTEM" || echo "$MACHINE"\n')
    (tmp_path / "uname").chmod(0o755)
    return tmp_path


def set_up(checkout: Path, *words: str, system="Linux", machine="x86_64", python="3.11"):
    where = {
        "PATH": f"{checkout}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "SYSTEM": system,
        "MACHINE": machine,
        "VERSION": python,
    }
    command = ["sh", str(checkout / "setup.sh"), *words]
    done = subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, check=False)
    called = checkout / "called"
    return done, [line for line in called.read_text().splitlines() if "install" in line] if called.exists() else []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("words", "lock", "what"), [((), "requirements.lock", "."), (("test",), "requirements-test.lock", "-e .")]
)
def test_set_up_installs_the_lock_and_looks_for_nothing_else(checkout, words, lock, what, python):
    done, installs = set_up(checkout, *words, python=python)
    assert done.returncode == 0, done.stderr
    common = "pip install --disable-pip-version-check -q --no-deps"
    assert installs == [f"{common} --require-hashes -r {lock}", f"{common} --no-build-isolation {what}"]


@pytest.mark.parametrize(
    "elsewhere", [{"python": "3.14"}, {"machine": "aarch64"}, {"system": "Darwin", "machine": "arm64"}]
)
def test_where_there_is_no_lock_the_ranges_are_taken_and_it_is_said(checkout, elsewhere):
    done, installs = set_up(checkout, **elsewhere)
    assert done.returncode == 0
    assert "there is no lock for Python" in done.stderr
    assert "bench doctor" in done.stderr
    assert installs == ["pip install --disable-pip-version-check -q .[all]"]


def test_set_up_refuses_words_that_it_does_not_know(checkout):
    done, installs = set_up(checkout, "tests")
    assert (done.returncode, installs) == (2, [])
    assert "not ./setup.sh tests" in done.stderr


@pytest.mark.slow
def test_the_lowest_versions_pass_the_smoke_set():
    command = [sys.executable, ROOT / ".ci" / "ends.py", "lowest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
