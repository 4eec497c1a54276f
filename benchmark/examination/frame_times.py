"""Whether an encoder's frames are where it says they are, and what it says they are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from encoders.base import Encoder

#: From which lengthening of its hop on an encoder of any length is taken to part the window, twice as long, equally.
_STRETCHED = 1.5
#: Up to which distance from the mean of its frames a representation is said to be it.
_MEAN = 1e-5


@dataclass(frozen=True)
class FramesFound:
    """What the frames of an encoder were found to be.

    Attributes
    ----------
    fault
        What is wrong with the shape, values or times of those of one layer; empty if nothing.
    distance
        Largest difference of a layer's output from the mean of its frames, as a share of their root mean square;
        infinite if their numbers of channels differ.
    summary
        Where there are several frames, and whether their mean is the representation: it need not be.
    """

    fault: str
    distance: float
    summary: str


def examine_frames(encoder: Encoder, waveform: Tensor) -> FramesFound:
    """Look at the frames of the representation and of all layers.

    Parameters
    ----------
    encoder
        In evaluation mode, on the device of `waveform`.
    waveform : Tensor, shape [1, 1, T]
    """
    several: list[str] = []
    distances: dict[str | None, float] = {}
    representation, outputs = encoder.represent(waveform, encoder.layers())
    for layer in (None, *encoder.layers()):
        name = "the representation" if layer is None else layer
        values, seconds = encoder.frames(waveform, layer)
        fault = _fault(values, seconds, waveform.shape[2] / encoder.sample_rate)
        if fault:
            return FramesFound(f"{name} has {fault}", math.inf, "")
        several += [name] * (len(seconds) > 1)
        distances[layer] = _distance_of_mean(values, representation if layer is None else outputs[layer])
    of_representation = distances.pop(None)
    return FramesFound(
        "",
        max(distances.values(), default=0.0),
        f"several frames in {len(several)} of the representation and {len(distances)} layers; the representation is "
        f"{'the mean of its own' if of_representation <= _MEAN else 'more than a mean of frames'}",
    )


def largest_drift(encoder: Encoder, waveform: Tensor) -> float | None:
    """By how much frames of any layer move when the window becomes twice as long [hops].

    Parameters
    ----------
    encoder
        One that takes any length.
    waveform : Tensor, shape [1, 1, T]
        The longer window; the shorter one is its first half.

    Returns
    -------
    float or None
        Largest distance of frames with the same number; ``None`` where there are too few to have a hop, or the hop
        itself grows with the window.
    """
    drifts = [_drift(encoder, waveform, layer) for layer in (None, *encoder.layers())]
    return max((drift for drift in drifts if drift is not None), default=None)


def _drift(encoder: Encoder, waveform: Tensor, layer: str | None) -> float | None:
    half = waveform[..., : waveform.shape[2] // 2]
    shorter, longer = (encoder.frames(part, layer)[1].double().cpu() for part in (half, waveform))
    if len(shorter) < 2 or len(longer) < 2:
        return None
    hop, longer_hop = (float(seconds.diff().median()) for seconds in (shorter, longer))
    if longer_hop > _STRETCHED * hop:
        return None
    common = min(len(shorter), len(longer))
    return float((shorter[:common] - longer[:common]).abs().max()) / hop


def _distance_of_mean(values: Tensor, output: Tensor) -> float:
    if output.shape != (len(values), values.shape[2]):
        return math.inf
    scale = float(values.double().square().mean().sqrt()) or 1.0
    return float((values.double().mean(dim=1) - output.double()).abs().max()) / scale


def _fault(values: Tensor, seconds: Tensor, duration: float) -> str:
    if values.ndim != 3 or len(values) != 1 or tuple(seconds.shape) != (values.shape[1],) or not len(seconds):
        return f"frames of shape {list(values.shape)} with times of shape {list(seconds.shape)}, not [1, t, C] and [t]"
    if not bool(values.isfinite().all()):
        return "frames that are not finite"
    if seconds.dtype != torch.float64:
        return f"times that are {str(seconds.dtype).removeprefix('torch.')}, not float64"
    if not bool((seconds.diff() > 0).all()):
        return "times that do not rise"
    first, last = float(seconds[0]), float(seconds[-1])
    if not 0 <= first <= last <= duration:
        return f"times from {first:.4g} to {last:.4g} s in a window from 0 to {duration:.4g} s"
    return ""
