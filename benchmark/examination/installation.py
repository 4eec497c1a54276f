"""Is everything there that a run needs? Loads libraries, decodes, looks at devices, memory, disk, data and store."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.errors import UserError
from benchmark.examination.loading import Loaded, load_apart, look_at
from benchmark.libraries import LIBRARIES, PAIRS, Library, load, mending, version_of
from benchmark.plain_files import read_plain
from benchmark.store.store import check_layout, refuse_other_format

#: With less free than this where the store lies [bytes], a run of a few encoders may not fit.
LITTLE_DISK = 10 * 2**30
#: Libraries that take torch, which takes seconds to load; the others are loaded beside them.
_ON_TORCH = ("torch", "safetensors", "torchaudio")
#: Libraries that take seconds more; without ``--full`` their files alone are looked at.
_SLOW = ("lightning", "transformers", "onnx", "onnxscript", "onnxruntime", "tensorboard", "jax", "numpyro", "pesto")
#: What ``--full`` tries once they are loaded, and how the report calls it.
_TRIALS = {
    "benchmark.examination.trial:training_step": "training",
    "benchmark.examination.trial:product": "product",
    "benchmark.examination.trial:mel_filters": "mel filters",
}
#: Rate and length of the tone that is written, decoded and resampled [Hz, samples].
_RATE = 22_050


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    what
        What was looked at.
    ok
        Whether a run can do with it as it is.
    found
        What was found.
    advice
        What to do about it.
    note
        Whether it is worth a word though a run can do with it.
    """

    what: str
    ok: bool
    found: str
    advice: str = ""
    note: bool = False

    @property
    def verdict(self) -> str:
        """``ok``, ``note`` or ``WRONG``."""
        return ("note" if self.note else "ok") if self.ok else "WRONG"


def examine_installation(store: Path, data: Path | None, full: bool = False) -> list[Finding]:
    """Look at everything; this process loads nothing but what has been loaded by another, and leaves nothing behind.

    Parameters
    ----------
    store, data
        Folders; the store need not exist, and there need be no data.
    full
        Whether to load what takes long, to train a step, and to multiply on the GPU, too.
    """
    on_torch = [*_ON_TORCH, *((*_SLOW, *_TRIALS) if full else ())]
    loaded = load_apart([on_torch, [name for name in LIBRARIES if name not in (*_ON_TORCH, *_SLOW)]])
    unloaded = {} if full else {name: look_at(name) for name in _SLOW}
    return [
        _python(),
        *_libraries({**loaded, **unloaded}, unloaded),
        *(_trial(loaded[name], what) for name, what in _TRIALS.items() if full),
        _gpu(),
        _memory(),
        _disk(store),
        _store(store),
        *_audio(loaded),
        _data(data),
    ]


def _python() -> Finding:
    version = platform.python_version()
    return Finding("Python", sys.version_info >= (3, 11), version, "bench needs 3.11 or newer")


def _libraries(loaded: dict[str, Loaded], unloaded: Collection[str]) -> Iterator[Finding]:
    """One for all that could be loaded, one for those that were not tried, and one for each that could not."""
    good = {name: library.distribution for name, library in LIBRARIES.items() if not loaded[name].reason}
    versions = {name: f"{distribution} {version_of(distribution)}".strip() for name, distribution in good.items()}
    done = [version for name, version in versions.items() if name not in unloaded]
    yield Finding("libraries", True, f"{len(done)} loaded: {', '.join(done)}")
    if left := [version for name, version in versions.items() if name in unloaded]:
        told = f"{', '.join(left)}: not loaded, for it takes seconds; files as installed"
        yield Finding("libraries", True, told, "bench doctor --full loads them", note=True)
    for name, library in LIBRARIES.items():
        found = loaded[name]
        if found.reason:
            absent = found.missing and found.module == name
            # Nothing needs torchaudio, and an extra is missing for one who did not ask for it.
            harmless = name == "torchaudio" or (bool(library.extra) and absent)
            told, advice = _trouble(library, found, loaded)
            yield Finding(library.distribution, harmless, told, advice, note=True)


def _trouble(library: Library, found: Loaded, loaded: dict[str, Loaded]) -> tuple[str, str]:
    """What is wrong with a library that could not be loaded, and what mends it."""
    name, advice = library.module, found.command or mending(library.module, found.missing)
    if found.module != name and found.module in LIBRARIES and loaded[found.module].reason:
        told, advice = f"cannot be loaded without {LIBRARIES[found.module].distribution}", "mend that first"
    elif found.missing and found.module == name:
        told = f"not installed; needed for {library.purpose}"
    else:
        blamed = f"{found.module}: " if found.module != name else ""
        told = f"{version_of(library.distribution)} cannot be loaded: {blamed}{found.reason}".strip()
        told += f"; needed for {library.purpose}"
        told += f" ({PAIRS[name]})" if name in PAIRS else ""
    if name == "torchaudio":
        told += "; bench computes mel filters itself, to the same numbers"
    return told, advice


def _trial(found: Loaded, what: str) -> Finding:
    if not found.reason:
        return Finding(what, True, found.said)
    return Finding(what, False, found.reason, found.command or "see what is said of libraries and the GPU")


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
        refuse_other_format(store, held)
    except FileNotFoundError:
        held = ""
    except UserError as error:
        return Finding("store", False, str(error), "or name another store with --store")
    if not held and any(store.iterdir()):
        return Finding("store", False, f"{store} is no store", "name an empty or new folder with --store")
    writable = os.access(store, os.W_OK)
    return Finding(
        "store", writable, f"{store}, format {held or 'none yet'}", "it cannot be written to: change its mode"
    )


def _audio(loaded: dict[str, Loaded]) -> Iterator[Finding]:
    """What each format, and resampling, make of a tone; nothing where a library they need cannot be loaded."""
    if not (loaded["numpy"].reason or loaded["soundfile"].reason):
        with tempfile.TemporaryDirectory(prefix="bench-doctor-") as folder:
            for name in ("WAV", "MP3", "FLAC", "OGG"):
                yield _tried(name, "soundfile", partial(_decoded, Path(folder), name))
    if not (loaded["numpy"].reason or loaded["soxr"].reason):
        yield _tried("resampling", "soxr", _resampled)


def _tried(what: str, library: str, trial: Callable[[], str]) -> Finding:
    advice = mending(library, missing=False)
    try:
        return Finding(what, True, trial())
    except Exception as error:  # whatever a broken library raises is a finding
        return Finding(what, False, f"{type(error).__name__}: {' '.join(str(error).split())}", advice)


def _decoded(folder: Path, name: str) -> str:
    np, soundfile = load("numpy"), load("soundfile")
    file = folder / f"tone.{name.lower()}"
    soundfile.write(file, 0.1 * np.sin(np.arange(_RATE) / 10), _RATE, format=name)
    samples = len(soundfile.read(file)[0])
    if samples < _RATE - 50:
        raise RuntimeError(f"only {samples} of {_RATE} samples decode")
    return f"decodes, libsndfile {soundfile.__libsndfile_version__}"


def _resampled() -> str:
    np, soxr = load("numpy"), load("soxr")
    tone = 0.1 * np.sin(np.arange(_RATE) / 10, dtype=np.float32)
    samples = len(soxr.resample(tone, _RATE, 16_000))
    if samples != 16_000:
        raise RuntimeError(f"a second of {_RATE} Hz gives {samples} samples at 16000 Hz")
    return f"{_RATE:,} to 16,000 Hz, {soxr.__libsoxr_version__}"


def _data(data: Path | None) -> Finding:
    if data is None:
        return Finding("data", True, "no --data and no BENCH_DATA: stand-ins are used")
    if not data.is_dir():
        return Finding("data", False, f"{data} is no folder", "name the folder that holds the datasets' folders")
    held = sorted(folder.name for folder in data.iterdir() if folder.is_dir())
    return Finding(
        "data", bool(held), f"{data}: {', '.join(held) or 'nothing'}", "bench data status says what to fetch"
    )
