"""Set up bench at one end of its ranges of versions, carry out a smoke set there, and name what breaks.

    .venv/bin/python .ci/ends.py newest     # the newest versions that pyproject.toml allows; .ci/run does it
    .venv/bin/python .ci/ends.py lowest     # the lowest; a test marked slow does it

Exit code 1 if something broke. The first check that fails is tried again with one package after the other at the
version that the lock holds, until it passes: that package is named. The search ends there, for what follows may fail
for the same reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
RESOLUTIONS = {"newest": "highest", "lowest": "lowest-direct"}
#: What users add; what only developers need is not of the smoke set.
EXTRAS = ("bayes", "cluster", "huggingface", "speed", "tensorboard")
#: For all that follows the installation, the search for what broke a check included [s].
PATIENCE = 240

_IMPORTS = """
import importlib, pkgutil
for name in ("analysis", "benchmark", "encoders", "probes", "tasks"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
for name in ("cli", "dask_jobqueue", "distributed", "librosa", "torch.utils.tensorboard", "transformers"):
    importlib.import_module(name)
"""
#: A labelled folder of 24 clips of six seconds, as small as music can be, and a table of scores.
_MUSIC = """
import numpy as np, pathlib, soundfile
folder = pathlib.Path("music")
folder.mkdir()
rows, noise = ["path,split,label"], np.random.default_rng(0)
for i in range(24):
    tone = np.sin(2 * np.pi * (200, 700)[i % 2] * np.arange(6 * 22_050) / 22_050)
    soundfile.write(folder / f"{i}.wav", 0.3 * tone + 0.1 * noise.standard_normal(len(tone)), 22_050)
    rows.append(f"{i}.wav,{('train', 'train', 'valid', 'test')[i // 2 % 4]},{('low', 'high')[i % 2]}")
(folder / "labels.csv").write_text("\\n".join(rows))
pathlib.Path("registry.yaml").write_text(
    "datasets:\\n  smoke: {class: tasks.folder:LabelledFolder, root: music}\\n"
    "corpora:\\n  smoke: {dataset: smoke}\\n"
    "tasks:\\n  smoke: {dataset: smoke, metrics: [accuracy], corpus: smoke, protocol: linear}\\n"
)
scores = [f"{e},{t},{s},{noise.normal(e == 'a'):.3f}" for e in "abc" for t in "wxyz" for s in range(3)]
pathlib.Path("scores.csv").write_text("\\n".join(["encoder,task,seed,score", *scores]))
"""
_RUN = ("run", "--task", "smoke", "--registry", ".")
#: Name of a check, and the arguments of `bench`, or of `python` if they begin with -c; each rests on those before it.
CHECKS: dict[str, tuple[str, ...]] = {
    "imports": ("-c", _IMPORTS),
    "files of audio": ("-c", _MUSIC),
    "doctor": ("doctor", "--full"),
    "mfcc": ("check", "mfcc"),
    "chroma": ("check", "chroma"),
    "scores": (*_RUN, "--encoder", "mfcc", "--encoder", "chroma", "--jobs", "2"),
    "one pretraining step": (*_RUN, "--encoder", "sample_cnn", "--pairs", "2", "--batch", "2"),
    "report": ("report", "-o", "report.html"),
    "analysis": ("analyze", "scores.csv", "--factor", "encoder", "-o", "analysis"),
    "Bayesian analysis": ("analyze", "scores.csv", "--bayes", "--bootstrap", "0"),
}


class End:
    """A virtual environment at one end of the ranges."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._folder = ROOT / f".venv-{name}"
        self._python = self._folder / "bin" / "python"

    def install(self) -> str | None:
        """Make the environment; says in words why it cannot be made, if it cannot."""
        shutil.rmtree(self._folder, ignore_errors=True)
        made = _call(UV, "venv", "--quiet", "--python", sys.executable, self._folder)
        resolution = ("--resolution", RESOLUTIONS[self._name], "--reinstall-package", "bench-music")
        made = made or self._pip("install", "--quiet", *resolution, f"{ROOT}[{','.join(EXTRAS)}]")
        return made

    def installed(self) -> dict[str, str]:
        """Version of every package that is there, by its normalised name."""
        command = [UV, "pip", "list", "--quiet", "--format", "json", "--python", self._python]
        listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        return {_normal(package["name"]): package["version"] for package in json.loads(listed.stdout)}

    def put(self, package: str, version: str) -> None:
        """Replace one package, and nothing else."""
        self._pip("install", "--quiet", "--no-deps", f"{package}=={version}")

    def check(self, name: str, folder: Path, seconds: float) -> str | None:
        """Carry out a check in a folder; the last line of what it said if it fails."""
        program = "python" if CHECKS[name][0] == "-c" else "bench"
        return _call(self._folder / "bin" / program, *CHECKS[name], folder=folder, seconds=seconds)

    def remove(self) -> None:
        """Give the disk space back."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _pip(self, command: str, *arguments: object) -> str | None:
        return _call(UV, "pip", command, "--python", self._python, *arguments)


def _call(program: Path, *arguments: object, folder: Path = ROOT, seconds: float = 900) -> str | None:
    """``None`` if the program ends well, else the last line that it said."""
    environment = {**os.environ, "BENCH_STORE": "store", "OMP_NUM_THREADS": "1"}
    environment.pop("BENCH_DATA", None)
    command = [program, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:.0f} s"
    if done.returncode == 0:
        return None
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    said = wrong or (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"exit code {done.returncode}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked() -> dict[str, str]:
    """Versions that the lock holds for this Python; where it holds two, the first that is not excluded."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate():
                found[_normal(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def _direct() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    return [_normal(re.match(r"[\w.-]+", line)[0]) for line in wanted]


def culprit(end: End, name: str, folder: Path, until: float) -> str:
    """Words that name the package whose version breaks a check, or those that may."""
    installed, locked = end.installed(), _locked()
    changed = {p: v for p, v in installed.items() if p in locked and v != locked[p]}
    direct = _direct()
    for package in sorted(changed, key=lambda p: (p not in direct, p)):
        if time.monotonic() > until:
            break
        end.put(package, locked[package])
        passes = end.check(name, folder, until - time.monotonic()) is None
        end.put(package, changed[package])
        if passes:
            return f"{package} {changed[package]} breaks it; with {locked[package]} it works"
    named = ", ".join(f"{package} {version}" for package, version in sorted(changed.items()) if package in direct)
    return f"no single package was found to explain it; other than in the lock: {named or 'nothing'}"


def main(name: str) -> int:
    """Go through one end; returns the exit code."""
    began = time.monotonic()
    end = End(name)
    wrong = end.install()
    if wrong is not None:
        print(f"warning: the {name} versions cannot be installed: {wrong}")
        return 1
    print(f"{name} versions: installed in {time.monotonic() - began:.0f} s", flush=True)
    until = time.monotonic() + PATIENCE
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-ends-") as scratch:
        for check in CHECKS:
            since = time.monotonic()
            said = end.check(check, Path(scratch), max(1.0, until - since))
            took = f"{time.monotonic() - since:.0f} s"
            if said is None:
                print(f"{name} versions: ok {check}, {took}", flush=True)
                continue
            print(f"warning: {name} versions: {check} fails: {said}", flush=True)
            if not failed:
                print(f"warning: {name} versions: {culprit(end, check, Path(scratch), until)}", flush=True)
            failed = True
    end.remove()
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in RESOLUTIONS:
        sys.exit(f"usage: ends.py {'|'.join(RESOLUTIONS)}")
    sys.exit(main(sys.argv[1]))
