"""Is everything there that a run needs? Looks at versions, devices, memory, disk, decoders, data and the store."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.plain_files import PlantedError, read_plain
from benchmark.store import check_layout

#: With less free than this where the store lies [bytes], a run of a few encoders may not fit.
LITTLE_DISK = 10 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is as it should be, what was found, and what to do if it is not."""

    what: str
    ok: bool
    found: str
    advice: str = ""


def examine(store: Path, data: Path | None) -> list[Finding]:
    """Look at everything; imports neither torch nor any dataset, and writes nothing."""
    return [*_software(), _gpu(), _memory(), _disk(store), _store(store), *_decoders(), _data(data)]


def _software() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("Python", sys.version_info >= (3, 11), version, "bench needs 3.11 or newer")
    found = {}
    for package in ("torch", "torchaudio", "lightning", "soundfile", "soxr"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, False, "not installed", "./setup.sh, or pip install bench-music")
    yield Finding("packages", len(found) == 5, ", ".join(f"{name} {version}" for name, version in found.items()))
    if {"torch", "torchaudio"} <= found.keys():
        pair = [found[name].split("+")[0].rsplit(".", 1)[0] for name in ("torch", "torchaudio")]
        yield Finding(
            "torch pair", pair[0] == pair[1], " and ".join(pair), "install torch and torchaudio of one release"
        )


def _gpu() -> Finding:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("GPU", True, "none; everything runs on the CPU, published recipes for weeks")
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        return Finding("GPU", False, (error.stderr or error.stdout).strip(), "nvidia-smi fails: look at its driver")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("GPU", False, str(error), "nvidia-smi fails: look at its driver")
    found = "; ".join(answer.stdout.strip().splitlines())
    return Finding("GPU", _built_for_gpu(), found, "torch is a build without CUDA: install one with, see pytorch.org")


def _built_for_gpu() -> bool:
    """Whether torch was built with CUDA, as its package says; importing torch would take seconds."""
    place = importlib.util.find_spec("torch")
    if place is None or place.origin is None:
        return False
    text = (Path(place.origin).parent / "version.py").read_text(encoding="utf-8")
    return re.search(r"^(?:cuda|hip)\b[^=\n]*= *['\"]", text, re.M) is not None


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    return Finding(
        "machine", total >= 4 * 2**30, f"{cores} cores, {total / 2**30:.0f} GiB of memory", "4 GiB are needed"
    )


def _disk(store: Path) -> Finding:
    place = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    advice = "name a --store elsewhere, or `bench store gc`"
    return Finding("disk", free >= LITTLE_DISK, f"{free / 2**30:.0f} GiB free at {place}", advice)


def _store(store: Path) -> Finding:
    if not store.exists():
        return Finding("store", True, f"{store}, not made yet")
    try:
        check_layout(store)
        held = read_plain(store / "format").decode(errors="replace").strip()
    except FileNotFoundError:
        held = ""
    except PlantedError as error:
        return Finding("store", False, str(error), "or name another store with --store")
    if not held and any(store.iterdir()):
        return Finding("store", False, f"{store} is no store", "name an empty or new folder with --store")
    writable = os.access(store, os.W_OK)
    return Finding(
        "store", writable, f"{store}, format {held or 'none yet'}", "it cannot be written to: change its mode"
    )


def _decoders() -> Iterator[Finding]:
    import numpy as np
    import soundfile

    with tempfile.TemporaryDirectory(prefix="bench-doctor-") as folder:
        for name, suffix in (("WAV", "wav"), ("MP3", "mp3"), ("FLAC", "flac"), ("OGG", "ogg")):
            file = Path(folder) / f"tone.{suffix}"
            try:
                soundfile.write(file, 0.1 * np.sin(np.arange(22_050) / 10), 22_050, format=name)
                samples = len(soundfile.read(file)[0])
            except (soundfile.SoundFileError, OSError) as error:
                yield Finding(name, False, str(error), "pip install --force-reinstall soundfile")
            else:
                yield Finding(name, samples >= 22_000, f"decodes, libsndfile {soundfile.__libsndfile_version__}")


def _data(data: Path | None) -> Finding:
    if data is None:
        return Finding("data", True, "no --data and no BENCH_DATA: stand-ins are used")
    if not data.is_dir():
        return Finding("data", False, f"{data} is no folder", "name the folder that holds the datasets' folders")
    held = sorted(folder.name for folder in data.iterdir() if folder.is_dir())
    return Finding(
        "data", bool(held), f"{data}: {', '.join(held) or 'nothing'}", "bench data status says what to fetch"
    )
