"""An encoder's computation as one file: ONNX or TorchScript, for programs without Python or without its source.

A graph takes waveforms of one length, in batches of any size, and gives representations.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.libraries import load
from encoders.base import Encoder

ONNX = "encoder.onnx"
TORCHSCRIPT = "encoder.torchscript.pt"
#: Values of two programs for the same waveform may differ by so much of the largest.
TOLERANCE = 1e-4


class _Represent(nn.Module):
    """The encoder's representation alone: what a graph has no words for, such as checks of shapes, stays outside."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> Tensor:
        return self.encoder.represent(waveform)[0]


def write_onnx(encoder: Encoder, samples: int, folder: Path) -> float:
    """Leave `encoder.onnx` and return the largest difference from the encoder, of its largest value.

    Parameters
    ----------
    encoder
        In evaluation mode, on the CPU.
    samples
        Length of the waveforms that the graph takes.
    folder
        Where to write.

    Raises
    ------
    UserError
        If the libraries are missing, or the encoder computes what the format cannot say.
    """
    for library in ("onnx", "onnxscript"):
        load(library)
    runtime = load("onnxruntime")
    file = folder / ONNX
    batch = torch.export.Dim("batch", min=1)

    def write() -> None:
        torch.onnx.export(
            _Represent(encoder),
            (_noise(2, samples),),
            str(file),
            input_names=["waveform"],
            output_names=["representation"],
            dynamic_shapes=({0: batch},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )

    _tried("ONNX", write)
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(waveform: Tensor) -> NDArray[Any]:
        found: Mapping[int, Any] = dict(enumerate(session.run(None, {"waveform": waveform.numpy()})))
        return np.asarray(found[0])

    return _compared("ONNX", encoder, run, samples)


def write_torchscript(encoder: Encoder, samples: int, folder: Path) -> float:
    """Leave `encoder.torchscript.pt`; as `write_onnx`."""
    file = folder / TORCHSCRIPT

    def write() -> None:
        traced = torch.jit.trace(_Represent(encoder), (_noise(2, samples),), check_trace=False)
        torch.jit.save(traced, str(file))

    loaded = []

    def read() -> None:
        write()
        loaded.append(torch.jit.load(str(file)))

    _tried("TorchScript", read)
    (graph,) = loaded
    return _compared("TorchScript", encoder, lambda waveform: np.asarray(graph(waveform)), samples)


def largest_difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference of two arrays of one shape, of the largest value expected; infinite for other shapes."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))


def _tried(form: str, write: Callable[[], None]) -> None:
    said = logging.getLogger("torch.onnx")  # which misses libraries that nobody needs
    level = said.level
    said.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write()
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"the encoder cannot be written as {form}: {reason}; leave the option out") from error
    finally:
        said.setLevel(level)


def _compared(form: str, encoder: Encoder, run: Callable[[Tensor], NDArray[Any]], samples: int) -> float:
    """Difference for batches of one and of three, neither of which the graph was made from."""
    differences = []
    for count in (1, 3):
        waveform = _noise(count, samples)
        with torch.inference_mode():
            expected = encoder.represent(waveform)[0].numpy()
            differences.append(largest_difference(run(waveform), expected))
    worst = max(differences)
    if not worst <= TOLERANCE:
        raise UserError(
            f"as {form}, the encoder gives other values (by {worst:.1g} of the largest); leave the option out"
        )
    return worst


def _noise(count: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(count, 1, samples, generator=torch.Generator().manual_seed(count))
