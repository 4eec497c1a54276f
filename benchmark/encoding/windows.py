"""Building encoders from registry entries, and turning clips into windows and windows into representations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.audio.decoding import FULL_SCALE
from benchmark.console import Reporter
from benchmark.errors import UserError
from benchmark.libraries import fault_behind
from benchmark.registry.arguments import keyword_arguments
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.plugins import load_class
from benchmark.registry.published import require
from benchmark.registry.registry import Named
from benchmark.store.embeddings import REPRESENTATION
from encoders import EncoderError
from encoders.base import Encoder
from encoders.weights import load_weights

#: Windows encoded at once on a CPU: larger batches spill out of its caches and are slower.
CPU_BATCH = 8
#: On a GPU the batch starts here and is halved until it fits.
GPU_BATCH = 512


def build_encoder(named: Named[EncoderEntry], seed: int, weights: Path | None = None) -> Encoder:
    """The encoder of an entry, initialised from `seed`, then filled with `weights` if a file is given.

    Raises
    ------
    UserError
        If the class cannot be imported or built with the entry's arguments, is no `Encoder`, or works at another
        sample rate than the entry says.
    EncoderError
        If the weights do not fit.
    """
    where = f"{named.file}:{named.line}: encoders.{named.name}"
    require(named, weights=False)
    encoder_class = load_class(named)
    arguments = keyword_arguments(named)
    try:
        with torch.random.fork_rng(devices=[]):  # it is built on the CPU
            torch.manual_seed(seed)
            encoder = encoder_class(**arguments)
    except (Exception, SystemExit) as error:
        reason = fault_behind(error) or str(error) or type(error).__name__
        raise UserError(f"{where}: cannot build {named.entry.class_path}: {reason}") from error
    if not isinstance(encoder, Encoder):
        raise UserError(f"{where}: {named.entry.class_path} is no subclass of encoders.base.Encoder")
    for fact in ("sample_rate", "window", "max_window", "dim"):
        if not hasattr(encoder, fact):
            raise UserError(f"{where}: {named.entry.class_path} does not set {fact}; see encoders.base.Encoder")
    if named.entry.stated_rate not in (None, encoder.sample_rate):
        raise UserError(
            f"{where}: works at {encoder.sample_rate} Hz; say `sample_rate: {encoder.sample_rate}` in its entry"
        )
    if weights is not None:
        fill(encoder, named, weights)
    return encoder


def fill(encoder: Encoder, named: Named[EncoderEntry], weights: Path) -> None:
    """Put the weights of a file into the encoder of an entry; `EncoderError` if they do not fit it."""
    try:
        load_weights(encoder, weights, Reporter().say)
    except EncoderError as error:
        raise EncoderError(f"{named.file}:{named.line}: encoders.{named.name}: {error}") from None


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bfloat16_pays(where: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@dataclass(frozen=True)
class Cutting:
    """What a protocol says of how clips are cut into windows; by default nothing.

    Attributes
    ----------
    segment_seconds
        Length of segments that encoders of any length take one at a time [s].
    window_seconds
        Length of windows [s], of encoders that can take other ones.
    hop_seconds
        Distance of windows [s].
    """

    segment_seconds: float | None = None
    window_seconds: float | None = None
    hop_seconds: float | None = None

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Cutting:
        """That of a step's spec."""
        return cls(**{field.name: spec[field.name] for field in fields(cls) if field.name in spec})

    def prepare(self, encoder: Encoder, name: str) -> None:
        """Let an encoder of this name take windows of the length that is said; `UserError` if it cannot."""
        if self.window_seconds is None:
            return
        try:
            encoder.take_windows(round(self.window_seconds * encoder.sample_rate))
        except EncoderError as error:
            raise UserError(
                f"encoder {name}: {error} ({self.window_seconds:g} s at {encoder.sample_rate:,} Hz); leave the window "
                "to the encoder, or name another one"
            ) from None


@dataclass(frozen=True)
class Taken:
    """What an encoder takes at once; see `encoders.base.Encoder`, which says the same of itself."""

    window: int | None
    max_window: int
    sample_rate: int


#: Windows as the encoder takes them, side by side.
PLAIN_CUTTING = Cutting()


def window_spans(samples: int, encoder: Encoder | Taken, cutting: Cutting = PLAIN_CUTTING) -> list[tuple[int, int]]:
    """Where the windows of a clip begin and end [samples].

    Windows stand side by side and a last part that does not fill one is dropped, as in CLMR and TUNe; with a hop, they
    begin at its multiples and the last one ends with the clip. A clip shorter than one window gives one, filled up with
    silence. An encoder of any length takes the clip whole, in equal parts no longer than its `max_window`; or, where
    segments are what is wanted, every whole segment of the clip in such parts, or the clip if it is shorter than one;
    or windows, if their length is said.
    """
    length = encoder.window
    if length is None and cutting.window_seconds is not None:
        length = round(cutting.window_seconds * encoder.sample_rate)
    if length is not None:
        hop = length if cutting.hop_seconds is None else max(1, round(cutting.hop_seconds * encoder.sample_rate))
        starts = list(range(0, max(samples - length, 0) + 1, hop))
        if cutting.hop_seconds is not None and starts[-1] + length < samples:
            starts.append(samples - length)
        return [(start, start + length) for start in starts]
    if not samples:
        return []
    segment = cutting.segment_seconds
    whole = samples if segment is None else min(samples, round(segment * encoder.sample_rate))
    parts = -(-whole // encoder.max_window)
    bounds = [whole * part // parts for part in range(parts + 1)]
    return [
        (first + start, first + end)
        for first in range(0, samples - whole + 1, whole)
        for start, end in pairwise(bounds)
    ]


def cut_windows(pcm: NDArray[np.int16], encoder: Encoder, cutting: Cutting = PLAIN_CUTTING) -> list[NDArray[np.int16]]:
    """The windows of one clip, the last filled up with zeros if the clip is shorter than a window."""
    return [_filled(pcm[start:end], end - start) for start, end in window_spans(len(pcm), encoder, cutting)]


def _filled(part: NDArray[np.int16], length: int) -> NDArray[np.int16]:
    return part if len(part) == length else np.pad(part, (0, length - len(part)))


def to_waveform(pcm: Tensor) -> Tensor:
    """int16 to float32 in [-1, 1]."""
    return pcm.to(torch.float32) / FULL_SCALE


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TensorFloat-32 inside the block: scores must not depend on the GPU or on what shares a batch."""
    conv, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = conv, matmul


class BatchEncoder:
    """Encodes stacks of windows in batches that fit the device.

    Parameters
    ----------
    encoder
        Put into evaluation mode and onto the device.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.device = device()
        self.batch = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        self._encoder = encoder.eval().to(self.device)

    def __call__(self, windows: list[NDArray[np.int16]]) -> NDArray[np.float32]:
        """Representations [windows, dim] of windows of one length, in float32."""
        return self._encode(windows, ())[REPRESENTATION]

    def layers(self, windows: list[NDArray[np.int16]], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Outputs of each layer of `names` from one pass, in float32.

        Parameters
        ----------
        windows
            Of one length.
        names
            Of layers, whose time-averaged outputs are wanted; `REPRESENTATION` stands for the representation.

        Returns
        -------
        dict of name to ndarray, shape [windows, channels]
        """
        outputs = self._encode(windows, [name for name in names if name != REPRESENTATION])
        return {name: outputs[name] for name in names}

    def frames(
        self, windows: list[NDArray[np.int16]], layer: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Values over time [windows, t, channels] and the times of these t [s from a window's start].

        Parameters
        ----------
        windows
            Of one length.
        layer
            By default what the representation is made of; see `Encoder.frames`.
        """
        seconds: list[NDArray[np.float64]] = []

        def frames(waveform: Tensor) -> dict[str, Tensor]:
            found, times = self._encoder.frames(waveform, layer)
            seconds[:] = [times.double().cpu().numpy()]
            return {REPRESENTATION: found}

        return self._in_batches(windows, frames)[REPRESENTATION], seconds[0]

    def _encode(self, windows: list[NDArray[np.int16]], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        def represent(waveform: Tensor) -> dict[str, Tensor]:
            representation, outputs = self._encoder.represent(waveform, names)
            return {REPRESENTATION: representation, **{name: outputs[name] for name in names}}

        return self._in_batches(windows, represent)

    def _in_batches(
        self, windows: list[NDArray[np.int16]], encode: Callable[[Tensor], dict[str, Tensor]]
    ) -> dict[str, NDArray[np.float32]]:
        done: dict[str, list[Tensor]] = {}
        first = 0
        with torch.inference_mode(), exact_float32():
            while first < len(windows):
                stack = torch.from_numpy(np.stack(windows[first : first + self.batch]))
                try:
                    waveform = to_waveform(stack.to(self.device, non_blocking=True)).unsqueeze(1)
                    found = {name: out.float().cpu() for name, out in encode(waveform).items()}
                except torch.cuda.OutOfMemoryError:
                    if self.batch == 1:
                        raise
                    self.batch //= 2
                    torch.cuda.empty_cache()
                    continue
                for name, part in found.items():
                    done.setdefault(name, []).append(part)
                first += len(stack)
        return {name: torch.cat(parts).numpy() for name, parts in done.items()}
