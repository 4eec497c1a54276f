"""Shared by the tests: a small MagnaTagATune in its genuine layout, and the command line as a user calls it."""

from __future__ import annotations

import gc
import json
import os
import subprocess
from multiprocessing import get_context
from pathlib import Path

# As the command line does: threads that spin while they wait slow a shared machine down many times over.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tests run in two processes, and more threads than cores make small matrices very slow, here and in what is started.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import soundfile
import warm_command
from hypothesis import HealthCheck, settings
from loopback_only import refuse_others

from benchmark.registry import modules_beside as beside
from tasks.magnatagatune import TOP_TAGS
from tasks.standin.columns import TAG_COLUMNS

refuse_others()

# How long an example takes says how busy the machine is, and no test asserts on that.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

#: Encoder small enough that a whole run takes seconds: windows of 0.3 s at 22,050 Hz.
TINY_REGISTRY = """
encoders:
  tiny:
    class: encoders.tune:TUNe
    args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 6561}
recipes:
  short:
    source: tests
    pairs: 24
    batch: 4
    temperature: 0.5
    learning_rate: 1e-3
    schedule: cosine
    weight_decay: 0
    projector: {kind: mlp, dim: 8}
    augmentation:
      - polarity: {probability: 0.8}
      - noise: {probability: 0.01, level: [1e-4, 1e-2], reference: std, clamp: false}
      - gain: {probability: 0.3, db: [-20, -1]}
      - filter: {probability: 0.8, high_pass_probability: 0.5, high_pass_hz: [200, 1200], low_pass_hz: [2200, 4000]}
      - delay: {probability: 0.3, choices_ms: [100, 150], factor: 0.5, halve: true}
      - pitch: {probability: 0.6, cents: [-700, 700]}
      - reverb: {probability: 0.6, reverberance: [0, 99], hf_damping: [0, 99], room_scale: [0, 99]}
"""


def tone(seconds: float, rate: int, seed: int) -> np.ndarray:
    """A decaying harmonic tone with noise, mono, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    f0 = rng.uniform(100, 500)
    partials = sum(np.sin(2 * np.pi * k * f0 * t + k) / k for k in range(1, 6))
    return (0.2 * partials * np.exp(-((t % 0.5) * 4)) + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


def write_mp3(path: Path, samples: np.ndarray, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, format="MP3")


def make_mtt(root: Path, per_folder: dict[str, int], seconds: float = 2.0) -> dict[str, Path]:
    """Write a MagnaTagATune tree of tones; returns clip id -> path. Every third clip is a guitar, every fourth slow."""
    root.mkdir(parents=True)
    columns = ["clip_id", *TAG_COLUMNS, "mp3_path"]
    rows, info, paths = [], [], {}
    number = 0
    for folder, count in per_folder.items():
        for k in range(count):
            number += 1
            name = f"{folder}/artist_{folder}-album_{k // 2}-{number:02}-title-0-29.mp3"
            tags = {tag for i, tag in enumerate(TOP_TAGS[:6]) if (number + i) % (i + 2) == 0}
            rows.append([str(number), *("1" if tag in tags else "0" for tag in TAG_COLUMNS), name])
            info.append(
                [
                    str(number),
                    "1",
                    f"title {number}",
                    f"artist {folder}",
                    f"album {k // 2}",
                    "u",
                    "0",
                    str(int(seconds)),
                    "o",
                    name,
                ]
            )
            paths[str(number)] = root / name
            write_mp3(root / name, tone(seconds, 16_000, number), 16_000)
    header = [
        "clip_id",
        "track_number",
        "title",
        "artist",
        "album",
        "url",
        "segmentStart",
        "segmentEnd",
        "original_url",
        "mp3_path",
    ]
    write_table(root / "annotations_final.csv", [columns, *rows])
    write_table(root / "clip_info_final.csv", [header, *info])
    return paths


def write_table(path: Path, rows: list[list[str]]) -> None:
    path.write_bytes("".join("\t".join(f'"{cell}"' for cell in row) + "\r\n" for row in rows).encode())


#: Files that take longest: begun last, one of the processes would go on with them alone.
FIRST = (
    *("test_started_processes", "test_cluster", "test_docs", "test_run", "test_packaging", "test_libraries"),
    *("test_doctor", "test_isolation", "test_fitness", "test_standin", "test_distributed", "test_standin_difficulty"),
    *("test_faults", "test_unasked", "test_studies", "test_analysis_inference"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(FIRST)))


def pytest_collection_finish() -> None:
    """What the files of tests import stays, and every full collection of garbage would look through it for a while."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _environment_of_this_test_alone():
    """`cli.main` sets variables for the processes it starts, which would hold for every later test of this process."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _modules_beside_registries_of_this_test_alone():
    """Modules of one name lie beside the registries of many tests."""
    yield
    beside.forget()


@pytest.fixture
def mtt(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    """Data folder with a MagnaTagATune of 14 train, 4 valid and 8 test clips, and its files by clip id."""
    data = tmp_path / "data"
    return data, make_mtt(data / "magnatagatune", {"0": 7, "b": 7, "c": 4, "d": 4, "f": 4})


@pytest.fixture
def tiny_registry(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY_REGISTRY)
    return file


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that train together are forks; a training of fresh ones, which import all anew, has its own test."""
    from benchmark.pretraining import processes

    start = processes.start_processes
    monkeypatch.setattr(processes, "get_context", lambda _: get_context("fork"))
    monkeypatch.setattr(processes, "start_processes", lambda *a, **k: start(*a, **{**k, "start_method": "fork"}))


@pytest.fixture
def dawdling(tmp_path: Path):
    """A registry whose encoder `dawdling` waits in training until the test lets it go on."""
    from dawdling import Dawdling

    return Dawdling(tmp_path / "dawdling")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    """Chromium; skips where there is none."""
    from chromium import started

    yield from started(tmp_path_factory.mktemp("profile"))


def bench(*arguments: object, cwd: Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run `bench` as a user does, in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BENCH_")}
    words = [*map(str, arguments)]
    code, out, err = warm_command.call(words, None if cwd is None else str(cwd), environment, timeout)
    return subprocess.CompletedProcess(words, code, out, err)


def bench_json(*arguments: object, cwd: Path | None = None) -> list[dict]:
    """Run `bench ... --json`, expect success, and parse standard output, which holds nothing else."""
    result = bench(*arguments, "--json", cwd=cwd)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
