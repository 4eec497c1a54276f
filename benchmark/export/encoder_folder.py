"""A folder with all that another project needs to use an encoder: weights, source, a loader, and what it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.export.carried_sources import CarriedSources, carried_sources
from benchmark.export.graphs import ONNX, TOLERANCE, TORCHSCRIPT, largest_difference, write_onnx, write_torchscript
from benchmark.pretraining.card import CARD, READABLE
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.registry import Named
from benchmark.store.file_names import WEIGHTS
from benchmark.store.storage_errors import storage_errors
from benchmark.store.store import digest_file
from encoders.base import Encoder
from encoders.weights import save_weights

ABOUT = "encoder.json"
LOADER = "load.py"
FILES = "files"
#: Length of what encoders of any length are tried on, and of what graphs of them take [s].
SECONDS = 3.0

_LOADER = '''\
"""`load()` gives {name} as a torch module: waveforms [batch, 1, samples] -> representations [batch, {dim}]."""
import json
import sys
from pathlib import Path
import safetensors.torch

HERE = Path(__file__).resolve().parent

def load():
    sys.path.insert(0, str(HERE))
    from {package}.{module} import {class_name}
    about = json.loads((HERE / "encoder.json").read_text(encoding="utf-8"))
    files = {{name: str(HERE / file) for name, file in about["files"].items()}}
    encoder = {class_name}(**about["arguments"], **files)
    encoder.load_state_dict(safetensors.torch.load_file(HERE / "encoder.safetensors"))
    return encoder.eval()
'''

_README = """\
# {name}

Weights: {weights}.

    pip install -r requirements.txt

    from load import load               # with this folder on the path
    encoder = load()                    # a torch.nn.Module in evaluation mode
    representation = encoder(waveform)  # [batch, 1, samples] -> [batch, {dim}]

Waveforms are mono at {rate:,} Hz with values in [-1, 1]; the encoder takes {length}.{graph} `encoder.json` says the
same for programs. Largest difference from the representations in bench, of the largest value: {tried}.

"""

#: Runs the loader where none of bench's packages can be imported, on a waveform that lies in a file.
_TRIAL = """\
import importlib.util, sys
import numpy, torch
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("analysis", "benchmark", "cli", "encoders", "probes", "tasks"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without())
spec = importlib.util.spec_from_file_location("load", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with torch.inference_mode():
    numpy.save(sys.argv[3], module.load()(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())
"""


@dataclass(frozen=True)
class Origin:
    """Where the weights are from.

    Attributes
    ----------
    weights
        Their file; ``None`` of an encoder that has none, or random ones.
    seed
        Of random weights.
    training
        Folder of the training that left them, with its card; ``None`` if they are from elsewhere.
    words
        In a line.
    """

    weights: Path | None
    seed: int
    training: Path | None
    words: str


def export_encoder(
    named: Named[EncoderEntry], origin: Origin, output: Path, *, onnx: bool = False, torchscript: bool = False
) -> dict[str, float]:
    """Write an encoder's folder, which is there as a whole or not at all, once it has been loaded without bench.

    Parameters
    ----------
    named
        The encoder.
    origin
        Its weights.
    output
        The folder; must not be there.
    onnx, torchscript
        Whether to write its computation as one file too.

    Returns
    -------
    dict of str to float
        By what was tried (``loader``, ``onnx``, ``torchscript``): largest difference of its representations from those
        in bench, of the largest value.

    Raises
    ------
    UserError
        If the encoder is another package's, cannot be loaded without bench, or the folder cannot be written.
    EncoderError
        If the weights do not fit.
    """
    if named.entry.adapts:
        wrapped = named.entry.args.get("module") or named.entry.args.get("model") or "another package"
        raise UserError(f"encoder {named.name} is {wrapped}'s, which other projects can use as bench does")
    if output.exists():
        raise UserError(f"{output}: is there already; name a folder that is not, or delete it")
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}; make it, or name another one")
    encoder = build_encoder(named, origin.seed, origin.weights).eval()
    module, _, class_name = named.entry.class_path.partition(":")
    sources = carried_sources(module, named.file.parent)
    with storage_errors(output.parent):
        work = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
        try:
            sources.write(work)
            save_weights(encoder, work / WEIGHTS)
            about = _about(named, encoder, origin, work)
            (work / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            text = _LOADER.format(
                name=named.name, dim=encoder.dim, package=sources.package, module=module, class_name=class_name
            )
            (work / LOADER).write_text(text, encoding="utf-8")
            found = {"loader": _tried_without_bench(encoder, work)}
            samples = encoder.view_samples(SECONDS)
            if onnx:
                found["onnx"] = write_onnx(encoder, samples, work)
            if torchscript:
                found["torchscript"] = write_torchscript(encoder, samples, work)
            _write_cards(named, encoder, origin, sources, found, work)
            work.chmod(0o777 & ~_umask())
            work.replace(output)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    return found


def _about(named: Named[EncoderEntry], encoder: Encoder, origin: Origin, work: Path) -> dict[str, Any]:
    """What the loader reads, and what a program can ask; copies files that are arguments."""
    files = {}
    for name, given in named.entry.files.items():
        source = (named.file.parent / Path(str(given)).expanduser()).resolve()
        target = work / FILES / name / source.name
        target.parent.mkdir(parents=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        files[name] = target.relative_to(work).as_posix()
    return {
        "encoder": named.name,
        "class": named.entry.class_path,
        "arguments": named.entry.args,
        "files": files,
        "sample_rate": encoder.sample_rate,
        "window": encoder.window,
        "max_window": encoder.max_window,
        "dim": encoder.dim,
        "layers": list(encoder.layers()),
        "parameters": encoder.parameter_count(),
        "weights_sha256": digest_file(work / WEIGHTS),
        "weights": origin.words,
    }


def _tried_without_bench(encoder: Encoder, work: Path) -> float:
    """Largest difference of what the loader's module gives from what the encoder does, in a process without bench."""
    samples = encoder.view_samples(SECONDS)
    waveform = (0.1 * np.random.default_rng(0).standard_normal((2, 1, samples))).astype(np.float32)
    import torch

    try:
        with torch.inference_mode():
            expected = encoder(torch.from_numpy(waveform)).numpy()
    except Exception as error:
        raise UserError(f"the encoder raises {type(error).__name__}: {error}; `bench check` looks at it") from error
    with tempfile.TemporaryDirectory() as folder:
        given, left = Path(folder) / "waveform.npy", Path(folder) / "representation.npy"
        np.save(given, waveform)
        words = [sys.executable, "-P", "-c", _TRIAL, str((work / LOADER).absolute()), str(given), str(left)]
        # Python would leave compiled files in the folder.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(  # noqa: S603
            words, capture_output=True, text=True, cwd=folder, env=environment, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"the encoder cannot be loaded without bench: {reason}")
        difference = largest_difference(np.load(left), expected)
    if not difference <= TOLERANCE:
        raise UserError(f"loaded without bench, the encoder gives other values (by {difference:.1g} of the largest)")
    return difference


def _write_cards(
    named: Named[EncoderEntry],
    encoder: Encoder,
    origin: Origin,
    sources: CarriedSources,
    found: Mapping[str, float],
    work: Path,
) -> None:
    """Leave `README.md`, `requirements.txt`, and the card of the training."""
    readable = ""
    if origin.training is not None:
        shutil.copyfile(origin.training / CARD, work / CARD)
        readable = (origin.training / READABLE).read_text(encoding="utf-8")
    needs = {"safetensors": "", **sources.needs}
    needs |= {} if needs["safetensors"] else {"safetensors": _version("safetensors")}
    lines = "".join(f"{name}  # tried with {version}\n" for name, version in sorted(needs.items()))
    (work / "requirements.txt").write_text(lines, encoding="utf-8")
    length = f"any number of samples up to {encoder.max_window:,}"
    if encoder.window is not None:
        length = f"{encoder.window:,} samples"
    graphs = {"onnx": ONNX, "torchscript": TORCHSCRIPT}
    files = " and ".join(f"`{file}`" for form, file in graphs.items() if form in found)
    graph = f" {files}: the same for {encoder.view_samples(SECONDS):,} samples at once." if files else ""
    tried = ", ".join(f"{form} {difference:.1g}" for form, difference in found.items())
    text = _README.format(
        name=named.name, weights=origin.words, dim=encoder.dim, rate=encoder.sample_rate, length=length, graph=graph,
        tried=tried,
    )  # fmt: skip
    (work / "README.md").write_text(text + readable, encoding="utf-8")


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
