"""The libraries that bench rests on, what each is for, and what is said when one of them cannot be loaded.

A library that is missing, or whose compiled part does not load, takes down only what uses it, wherever that is: rooms
and steps import what they need where they need it and look after nothing. Whoever calls them (the command line, the
engine, a worker process) does so inside `library_errors`, which tells from the traceback that a library was being
imported, and makes one line of it. `bench doctor` goes through the same table.
"""

from __future__ import annotations

import dis
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

from benchmark.errors import USER_ERRORS, UserError

#: How this package is called where packages are installed.
OWN_DISTRIBUTION = "bench-music"
_OWN = frozenset({"analysis", "benchmark", "cli", "encoders", "probes", "tasks"})


@dataclass(frozen=True)
class Library:
    """A library that something here imports.

    Attributes
    ----------
    module
        The name it is imported by.
    distribution
        The name it is installed by.
    purpose
        What it is needed for.
    parts
        Modules of it that runs import, with the extensions behind them.
    extra
        The extra of bench-music that installs it; empty if it is always installed.
    """

    module: str
    distribution: str
    purpose: str
    parts: tuple[str, ...]
    extra: str = ""


def _library(module: str, purpose: str, *parts: str, distribution: str = "", extra: str = "") -> Library:
    return Library(module, distribution or module, purpose, parts or (module,), extra)


#: In the order in which they are loaded: what others rest on comes first.
LIBRARIES = {
    library.module: library
    for library in (
        _library("numpy", "all numbers", "numpy", "numpy.fft", "numpy.linalg", "numpy.random"),
        _library("yaml", "registries and studies", distribution="pyyaml"),
        _library("pydantic", "registries and score records"),
        _library("typer", "all commands"),
        _library("rich", "displays of progress", "rich.live", "rich.progress", "rich.table"),
        _library("jinja2", "pages"),
        _library("requests", "downloads"),
        _library("urllib3", "downloads"),
        _library("pooch", "downloads"),
        _library("soundfile", "decoding and writing audio"),
        _library("soxr", "resampling audio"),
        _library(
            "scipy",
            "stand-ins, probes and statistics",
            *("scipy.optimize", "scipy.signal", "scipy.sparse.csgraph", "scipy.special", "scipy.stats"),
        ),
        _library("pandas", "tables of scores"),
        _library(
            "sklearn",
            "probes of scikit-learn, folds and maps",
            *("sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.manifold", "sklearn.metrics"),
            *("sklearn.mixture", "sklearn.model_selection", "sklearn.neighbors", "sklearn.svm"),
            distribution="scikit-learn",
        ),
        _library("matplotlib", "figures", "matplotlib.figure", "matplotlib.backends.backend_agg"),
        _library("seaborn", "figures"),
        _library("statsmodels", "`bench speed analysis`", "statsmodels.regression.mixed_linear_model"),
        _library("dask", "--jobs and --cluster", extra="cluster"),
        _library("distributed", "--jobs and --cluster", extra="cluster"),
        _library("cryptography", "--jobs and --cluster slurm", "cryptography.x509", extra="cluster"),
        _library("dask_jobqueue", "--cluster slurm", distribution="dask-jobqueue", extra="cluster"),
        _library("librosa", "`bench speed decode`", "librosa.core.audio", extra="speed"),
        _library("jax", "`bench analyze --bayes`", "jax", "jax.numpy", extra="bayes"),
        _library("numpyro", "`bench analyze --bayes`", "numpyro.infer", "numpyro.diagnostics", extra="bayes"),
        _library("torch", "encoders and probes", "torch", "torch.utils.data", "torch.multiprocessing"),
        _library("safetensors", "files of weights", "safetensors.numpy", "safetensors.torch"),
        _library("torchaudio", "mel filters", "torchaudio.functional"),
        _library("lightning", "pretraining and supervised training", "lightning.pytorch"),
        _library("transformers", "encoders of Hugging Face", extra="huggingface"),
        _library("pesto", "encoder pesto", distribution="pesto-pitch", extra="pesto"),
        _library("onnxruntime", "encoders in ONNX files", extra="onnx"),
        *(_library(name, "`bench export-encoder --onnx`", extra="onnx") for name in ("onnx", "onnxscript")),
        _library("tensorboard", "--tensorboard", "torch.utils.tensorboard", extra="tensorboard"),
    )
}

#: What is known of versions that do not load together.
PAIRS = {"torchaudio": "torchaudio 2.11.0 goes with torch 2.11, torchaudio 2.11.1 with torch 2.13 or newer"}


@dataclass(frozen=True)
class Fault:
    """A library that cannot be loaded.

    Attributes
    ----------
    module
        The name it is imported by; a library of the table, or one that such a library imports.
    wanted
        The library of the table that this is, or that imports it.
    missing
        Whether it is not there at all.
    reason
        Why not, in one line.
    for_us
        Whether a module of this project was importing it, and not one of the user's.
    """

    module: str
    wanted: Library
    missing: bool
    reason: str
    for_us: bool

    @property
    def distribution(self) -> str:
        """The name that the library is installed by."""
        return distribution_of(self.module)

    @property
    def command(self) -> str:
        """What mends it, for a shell."""
        return mending(self.module, self.missing)

    def __str__(self) -> str:
        version = version_of(self.distribution)
        named = f"{self.distribution} {version}".strip()
        state = f"{self.distribution} is not installed" if self.missing else f"{named} cannot be loaded"
        users = [] if self.module == self.wanted.module else [f"by {self.wanted.distribution}"]
        users += [f"for {self.wanted.purpose}"] if self.for_us else []
        needed = f" (needed {' '.join(users)})" if users else ""
        reason = "" if self.missing else f": {self.reason}"
        return f"{state}{needed}{reason}; mend it with: {self.command}, and look again with: bench doctor"


@contextmanager
def library_errors() -> Iterator[None]:
    """Turn what is raised because a library cannot be loaded into a `UserError`: which, why, for what, the remedy."""
    try:
        yield
    except USER_ERRORS:
        raise
    except Exception as error:
        fault = fault_behind(error)
        if fault is None:
            raise
        raise UserError(str(fault)) from error


def load(module: str) -> Any:
    """The library `module`, imported.

    Raises
    ------
    UserError
        If it cannot be loaded.
    """
    with library_errors():
        return importlib.import_module(module)


def fault_behind(error: BaseException) -> Fault | None:
    """The library that could not be loaded, if that is why `error`, or what it was raised from, was raised.

    Anything else, a fault of this project or of a user's own module above all, is ``None``.
    """
    faults = []
    cause: BaseException | None = error
    while cause is not None:
        faults.append(_fault(cause))
        cause = cause.__cause__
    found = [fault for fault in faults if fault is not None]
    if not found:
        return None
    # The outermost tells who wanted it, the innermost what is broken.
    inner = found[-1]
    wanted = inner.wanted if inner.module in LIBRARIES else found[0].wanted
    return replace(inner, wanted=wanted, for_us=found[0].for_us)


def _fault(error: BaseException) -> Fault | None:
    frames = list(_frames(error.__traceback__))
    last = _top(frames[-1][0]) if frames else ""
    # Who imports what, from the outside in: statements that import a library, and modules of one that are executed.
    met: list[tuple[str, str]] = []
    importer = ""
    for frame, at in frames:
        name = _top(frame)
        if _is_loading(frame, error) and (not met or met[-1][1] != name):
            met.append((importer, name))
        imported = _imported(frame, at)
        user = importer if name == "importlib" else name
        if imported in LIBRARIES and user != imported:
            met.append((user, imported))
        importer = user
    absent = isinstance(error, ModuleNotFoundError)
    named = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else _lacking(error)
    # A name that a library lacks is the library's fault if we want it; other people's modules may be wrong themselves.
    if named and (absent or last in _OWN):
        met.append((last, named))
    first = next((at for at, (_, name) in enumerate(met) if name in LIBRARIES), None)
    if first is None:
        return None
    inner = [name for _, name in met[first:] if name not in _OWN and name not in sys.stdlib_module_names]
    module = inner[-1]
    wanted = LIBRARIES[module if module in LIBRARIES else met[first][1]]
    missing = absent and module == named and _is_absent(module)
    return Fault(module, wanted, missing, _reason(error, module, frames), met[first][0] in _OWN)


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lasti
        traceback = traceback.tb_next


def _top(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_loading(frame: FrameType, error: BaseException) -> bool:
    """Whether a frame executes a module, or the function by which one loads the rest of it when that is asked for."""
    lazily = frame.f_code.co_qualname == "__getattr__" and not isinstance(error, AttributeError)
    return lazily or frame.f_code.co_name == "<module>"


def _imported(frame: FrameType, at: int) -> str:
    """First part of the name of the module that a frame is importing, if it is.

    A file that is cut short or no Python leaves no frame of its own, only the statement or call that imports it.
    """
    if frame.f_code is importlib.import_module.__code__:
        return str(frame.f_locals["name"]).partition(".")[0]
    for step in dis.get_instructions(frame.f_code):
        if step.offset == at:
            return str(step.argval).partition(".")[0] if step.opname == "IMPORT_NAME" else ""
    return ""


def _lacking(error: BaseException) -> str:
    """Name of the library in which an attribute was looked for in vain, as in one of another version."""
    owner = error.obj if isinstance(error, AttributeError) else None
    return owner.__name__.partition(".")[0] if isinstance(owner, ModuleType) else ""


def _is_absent(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except (ImportError, ValueError):
        return sys.modules.get(module) is None


def _reason(error: BaseException, module: str, frames: list[tuple[FrameType, int]]) -> str:
    root = error
    while root.__cause__ is not None:  # a library says at length what the system said in a line
        root = root.__cause__
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    text = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    reason = f"{type(root).__name__}: {text}" if text else type(root).__name__
    files = [frame.f_code.co_filename for frame, _ in frames if _top(frame) == module]
    file = files[0] if files else getattr(error, "filename", None)
    return f"{reason} (in {file}, which hides the installed one)" if _hides(file, module) else reason


def _hides(file: str | None, module: str) -> bool:
    """Whether the file of a library lies outside the folders of installed ones, as a user's file of its name does."""
    if not file or module not in Path(file).with_suffix("").parts:
        return False
    places = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    places |= {Path(str(each.locate_file(""))) for each in _distributions(distribution_of(module))}
    return not any(Path(file).is_relative_to(place) for place in places)


def _distributions(distribution: str) -> Iterator[importlib.metadata.Distribution]:
    try:
        yield importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return


def distribution_of(module: str) -> str:
    """The name that a module is installed by."""
    if module in LIBRARIES:
        return LIBRARIES[module].distribution
    return importlib.metadata.packages_distributions().get(module, [module])[0]


def version_of(distribution: str) -> str:
    """The installed version; empty if there is none."""
    return next((str(each.version) for each in _distributions(distribution)), "")


def mending(module: str, missing: bool) -> str:
    """The command that installs a library which is missing, or again one which is there."""
    distribution = distribution_of(module)
    library = LIBRARIES.get(module)
    if module == "torchaudio":
        return _torchaudio_beside(version_of("torch"))
    if missing and library is not None and library.extra:
        return f"pip install '{OWN_DISTRIBUTION}[{library.extra}]'"
    wanted = requirement(distribution)
    # Without its dependencies, which work, and torch among which would be fetched anew.
    return f"pip install '{wanted}'" if missing else f"pip install --force-reinstall --no-deps '{wanted}'"


def _torchaudio_beside(torch: str) -> str:
    """The command that installs the torchaudio which loads beside this version of torch; see `PAIRS`."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", torch)[:2])
    if numbers == (2, 11):
        return "pip install --force-reinstall --no-deps torchaudio==2.11.0"
    if numbers < (2, 13):
        return "pip install --upgrade 'torch>=2.13' 'torchaudio>=2.11.1'"
    return "pip install --force-reinstall --no-deps 'torchaudio>=2.11.1'"


def requirement(distribution: str) -> str:
    """A distribution with the versions that bench-music asks for, such as ``soxr>=0.5``."""
    for each in _distributions(OWN_DISTRIBUTION):
        for line in each.requires or ():
            found = re.match(r"([\w.-]+)(?:\[.*?\])?\s*([^;]*)", line)
            if found and _canonical(found[1]) == _canonical(distribution):
                return f"{found[1]}{found[2].strip()}"
    return distribution


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
