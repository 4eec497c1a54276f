"""Whether an encoder keeps its contract, so that its scores can be compared with others: one check after another."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.audio.decoding import FULL_SCALE
from benchmark.audio.one_shots import MIN_SECONDS
from benchmark.console import Reporter, Silent, printable
from benchmark.encoding.encode_files import batches_of_one_length, stream_windows
from benchmark.encoding.windows import BatchEncoder, build_encoder, exact_float32, window_spans
from benchmark.environment import measured
from benchmark.examination.abilities import DIFFERENTIABLE, examine_abilities, parameters_behind, trainings
from benchmark.examination.frame_times import examine_frames, largest_drift
from benchmark.forecast.resources import view_samples
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.registry import Named
from benchmark.text import fitted, terminal_width
from encoders.base import Encoder
from encoders.weights import save_weights

Outcome = Literal["pass", "fail", "info"]
#: Outcome, value, limit and explanation; see `Check`.
Finding = tuple[Outcome, float | str | None, float | str | None, str]

#: Largest difference between batch sizes, as a share of the root mean square of the output.
BATCH_TOLERANCE = 1e-5
#: By how much memory may grow from the first half of a long recording to the second [MiB]: an encoder that held on to
#: ten minutes at 22,050 Hz as float32 would grow by 20.
MEMORY_GROWTH = 10.0
#: The first one in so many parts of that recording is left out: memory settles.
WARM_UP = 5
#: Share of the parameters that may have no influence on the representation: embeddings for masks and the like.
UNUSED_SHARE = 1e-3
#: How far frames may move with the length of the window [hops].
MAX_DRIFT = 1.0
#: Sounds whose representations spread by no more than this share of their size are all but the same to an encoder, and
#: by less than the other share, hardly told apart (a cosine of about 0.9993).
SAME = 1e-4
ALIKE = 0.04
#: A clip as short as one frame of most features [s].
SHORT_SECONDS = 0.023


@dataclass(frozen=True)
class Check:
    """One row of the verdict.

    Attributes
    ----------
    check
        What was looked at.
    outcome
        ``"info"`` where nothing is demanded.
    value, limit
        What was measured and what is allowed, in the unit that `explanation` names.
    explanation
        What the value means.
    """

    check: str
    outcome: Outcome
    value: float | str | None
    limit: float | str | None
    explanation: str


@dataclass(frozen=True)
class Effort:
    """How much is encoded.

    Attributes
    ----------
    batches
        Batch sizes that must agree, the smallest first.
    long_batch
        Windows of the long recording that are encoded at once.
    long_seconds
        Length of the long recording [s].
    """

    batches: tuple[int, ...] = (1, 7, 64)
    long_batch: int = 4
    long_seconds: float = 600.0


THOROUGH = Effort()
#: Widths of the columns of what is shown.
WIDTHS = (20, 7, 8, 5, 0)
#: For a look in between, and a test of every entry: the same checks on a handful of windows.
QUICK = Effort(batches=(1, 2, 4), long_batch=1, long_seconds=8.0)


class Fitness:
    """The checks of one encoder.

    Parameters
    ----------
    named
        Its entry.
    weights
        File that its weights come from, if it needs one.
    effort
        How much to encode.
    """

    def __init__(self, named: Named[EncoderEntry], weights: Path | None = None, effort: Effort = THOROUGH) -> None:
        self._named = named
        self._effort = effort
        self._encoder = build_encoder(named, 0, weights)
        self._encode = BatchEncoder(self._encoder)
        self._samples = view_samples(self._encoder)
        self._waveforms = self._noise(effort.batches[-1])
        self._reporter: Reporter = Silent()
        self._state = {name: tensor.clone() for name, tensor in self._tensors()}

    def checks(self) -> dict[str, Callable[[], Finding]]:
        """Name -> function; the cheapest first.

        Memory shows its growth only before gradients and larger batches have taken it, so these come behind it.
        """
        return {
            "shape and type": self._shape,
            "same input twice": self._determinism,
            "depends on its input": self._dependence,
            "silence": self._silence,
            "short clip": self._short_clip,
            "layers": self._layers,
            "frames": self._frames,
            "drift of frames": self._drift,
            "save and load": self._round_trip,
            "bfloat16": lambda: self._reduced_precision(torch.bfloat16),
            "float16": lambda: self._reduced_precision(torch.float16),
            "constant memory": self._memory,
            "parameters": self._parameters,
            "capabilities": self._capabilities,
            "training": self._training,
            "batch size": self._batch_invariance,
            "no trace of encoding": self._unchanged,
        }

    def run(self, reporter: Reporter, tell: Callable[[Check], None] = lambda check: None) -> list[Check]:
        """Do all checks; what raises has failed.

        Parameters
        ----------
        reporter
            Shows progress of the one that takes longest.
        tell
            Given every finding as soon as it is there.
        """
        self._reporter = reporter
        found = []
        for name, check in self.checks().items():
            try:
                finding = check()
            except Exception as error:  # Any exception of someone's encoder is a finding.
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                finding = ("fail", None, None, f"raises {reason}")
            found.append(Check(name, *finding))
            tell(found[-1])
        return found

    def _memory(self) -> Finding:
        encode, encoder = self._encode, self._encoder
        size = self._effort.long_batch if encoder.window is not None else 1
        samples = max(int(self._effort.long_seconds * encoder.sample_rate), WARM_UP * size * self._samples)
        windows = stream_windows(_noise_blocks(samples), samples, encoder)
        batches = batches_of_one_length(windows, size)
        count = len(window_spans(samples, encoder))
        peaks = []
        with self._reporter.progress(f"encode {samples / encoder.sample_rate:,.0f} s", count, "windows") as advance:
            for batch in batches:
                with measured() as found:
                    encode([window.pcm for window in batch])
                peaks.append(_memory_of(found))
                advance(len(batch))
        # A single peak differs by tens of MiB with what the allocator has at hand; the lowest, by next to nothing.
        peaks = peaks[len(peaks) // WARM_UP :]
        half = len(peaks) // 2
        length = f"{samples / encoder.sample_rate / 60:.2g} minutes of audio"
        if not half:
            return ("info", None, None, f"takes {length} at once, by its own account")
        growth = max(min(peaks[half:]) - min(peaks[:half]), 0) / 2**20
        return _limited(
            growth,
            MEMORY_GROWTH,
            f"MiB by which the lowest peak memory of a batch grows from the first half to the second of {length}",
        )

    def _shape(self) -> Finding:
        found = self._alone
        expected = f"[1, {self._encoder.dim}] float32, finite"
        value = f"{list(found.shape)} {str(found.dtype).removeprefix('torch.')}"
        value += ", finite" if bool(found.isfinite().all()) else ", not finite"
        return ("pass" if value == expected else "fail", value, expected, f"output for {self._samples} samples")

    def _determinism(self) -> Finding:
        again = self._call(self._waveforms[:1])
        return _limited(_difference(self._alone, again), 0.0, "largest difference between two outputs of one input")

    def _dependence(self) -> Finding:
        """Whether different sounds have different representations: noise, loud and soft, and tones."""
        time = torch.arange(self._samples) / self._encoder.sample_rate
        tones = [0.3 * torch.sin(2 * math.pi * hertz * time) for hertz in (110.0, 440.0, 1760.0)]
        sounds = torch.stack([self._waveforms[0, 0], self._waveforms[-1, 0], *tones])[:, None]
        found = torch.cat([self._call(sound[None]) for sound in sounds]).double()
        spread = float((found - found.mean(dim=0)).norm(dim=1).square().mean().sqrt())
        size = float(found.norm(dim=1).square().mean().sqrt())
        share = spread / size if size else 0.0
        outcome: Outcome = "fail" if not share > SAME else "info" if share < ALIKE else "pass"
        alike = "; all sounds are represented nearly alike" if outcome == "info" else ""
        value = share if math.isfinite(share) else None
        return (outcome, value, SAME, f"spread of five different sounds, as a share of the output's size{alike}")

    def _batch_invariance(self) -> Finding:
        *smaller, largest = self._effort.batches
        together = self._call(self._waveforms)
        scale = float(together.double().square().mean().sqrt()) or 1.0
        # Of the smallest batch also the last window: an error may grow with the place in the batch.
        parts = [(0, size) for size in smaller] + [(largest - smaller[0], largest)]
        worst = max(_difference(self._call(self._waveforms[a:b]), together[a:b]) for a, b in parts) / scale
        sizes = ", ".join(map(str, self._effort.batches))
        return _limited(
            worst,
            BATCH_TOLERANCE,
            f"largest difference between batches of {sizes}, as a share of the output's root mean square ({scale:.3g})",
        )

    def _silence(self) -> Finding:
        return _finite(self._call(torch.zeros_like(self._waveforms[:1])), "values not finite for digital silence")

    def _short_clip(self) -> Finding:
        encoder = self._encoder
        pcm = next(_noise_blocks(int(SHORT_SECONDS * encoder.sample_rate)))
        least = 0 if encoder.window is not None else int(MIN_SECONDS * encoder.sample_rate)
        [window] = stream_windows([pcm], max(len(pcm), least), encoder)
        found = torch.from_numpy(self._encode([window.pcm]))
        return _finite(found, f"values not finite for {len(pcm)} samples, filled up with silence to {len(window.pcm)}")

    def _layers(self) -> Finding:
        names = self._encoder.layers()
        if not names:
            return ("info", 0, None, "has no layers to probe")
        waveform = self._waveforms[:1].to(self._encode.device)
        with torch.inference_mode(), exact_float32():
            representation, outputs = self._encoder.represent(waveform, names)
        wrong = [
            name
            for name in names
            if name not in outputs
            or outputs[name].ndim != 2
            or len(outputs[name]) != 1
            or not outputs[name].isfinite().all()
        ]
        if wrong:
            return ("fail", wrong[0], None, f"of {len(names)} layers: missing, not [1, channels] or not finite")
        return _limited(
            _difference(self._alone, representation.cpu()),
            0.0,
            f"largest difference in the representation when its {len(names)} layers are asked for, all finite",
        )

    def _frames(self) -> Finding:
        with torch.inference_mode(), exact_float32():
            found = examine_frames(self._encoder, self._waveforms[:1].to(self._encode.device))
        if found.fault:
            return ("fail", None, None, found.fault)
        explanation = "largest difference of a layer from its frames' mean, as a share of their root mean square"
        return _limited(found.distance, BATCH_TOLERANCE, f"{explanation}; {found.summary}")

    def _drift(self) -> Finding:
        encoder = self._encoder
        if encoder.window is not None:
            return ("info", None, None, "takes windows of one length")
        waveform = self._waveforms[[0, -1]].reshape(1, 1, -1)[..., : encoder.max_window]
        with torch.inference_mode(), exact_float32():
            moved = largest_drift(encoder, waveform.to(self._encode.device))
        if moved is None:
            return ("info", None, None, "has no frames at a constant distance")
        return _limited(moved, MAX_DRIFT, "hops by which frames move when the window becomes twice as long")

    def _round_trip(self) -> Finding:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "encoder.safetensors"
            save_weights(self._encoder, file)
            # Another seed: what is random and not saved shows.
            copy = build_encoder(self._named, 1, file).eval().to(self._encode.device)
        found = self._call(self._waveforms[:1], copy)
        return _limited(
            _difference(self._alone, found),
            0.0,
            "largest difference after weights are saved and loaded into a new encoder",
        )

    def _reduced_precision(self, dtype: torch.dtype) -> Finding:
        name = str(dtype).removeprefix("torch.")
        try:
            with torch.autocast(self._encode.device.type, dtype=dtype):
                reduced = self._call(self._waveforms[:1]).double()
        except Exception as error:
            return ("info", None, None, f"does not run in {name}: {' '.join(str(error).split())[:80]}")
        distance = 1 - float(torch.nn.functional.cosine_similarity(reduced, self._alone.double()).min())
        value = distance if math.isfinite(distance) else None
        return ("info", value, None, f"cosine distance of {name} (autocast) from float32")

    def _parameters(self) -> Finding:
        counted = self._encoder.parameter_count()
        if not counted:
            return ("info", 0, None, "learns nothing")
        reached = self._reached
        if reached is None:
            return ("info", counted, None, "parameters; computed without gradients, so a head would not show")
        unused = counted - reached
        return (
            "pass" if unused <= UNUSED_SHARE * counted else "fail",
            unused,
            math.floor(UNUSED_SHARE * counted),
            f"of {counted:,} parameters counted have no part in the representation, as those of a head",
        )

    def _capabilities(self) -> Finding:
        for name, fault in self._abilities.items():
            if fault:
                return ("fail", name, None, fault)
        return (
            "info",
            ", ".join(self._abilities) or "none",
            None,
            "beyond the contract; see encoders.capabilities",
        )

    def _training(self) -> Finding:
        fit, missing = trainings({*self._abilities, *([DIFFERENTIABLE] if self._reached else [])})
        lacks = ", ".join(f"{need} (for {', '.join(names)})" for need, names in missing.items())
        return ("info", ", ".join(fit) or "none", None, f"lacks {lacks or 'nothing'}")

    def _unchanged(self) -> Finding:
        now = dict(self._tensors())
        changed = [
            name for name, before in self._state.items() if name not in now or not torch.equal(before, now[name])
        ]
        changed += [name for name in now if name not in self._state]
        changed += [f"{name}.training" for name, module in self._encoder.named_modules() if module.training]
        changed += [f"{name}.grad" for name, learned in self._encoder.named_parameters() if learned.grad is not None]
        first = f", the first {changed[0]}" if changed else ""
        return _limited(
            len(changed),
            0,
            f"parameters, buffers, gradients or training modes changed by all of the above{first}",
        )

    @cached_property
    def _alone(self) -> Tensor:
        """Representation of the first waveform, in a batch of its own."""
        return self._call(self._waveforms[:1])

    @cached_property
    def _abilities(self) -> dict[str, str]:
        """Capability -> what is wrong with it; empty if nothing."""
        with torch.inference_mode(), exact_float32():
            return examine_abilities(self._encoder, self._waveforms[:1].to(self._encode.device))

    @cached_property
    def _reached(self) -> int | None:
        """Numbers in parameters that the representation depends on; ``None`` if it has no gradients."""
        return parameters_behind(self._encoder, self._waveforms[:1].to(self._encode.device))

    def _call(self, waveforms: Tensor, encoder: Encoder | None = None) -> Tensor:
        with torch.inference_mode(), exact_float32():
            return (encoder or self._encoder)(waveforms.to(self._encode.device)).cpu()

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._encoder.named_parameters()
        yield from self._encoder.named_buffers()

    def _noise(self, batch: int) -> Tensor:
        """Noise whose loudness differs from window to window."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(batch, 1, self._samples, generator=generator)
        return (noise * torch.linspace(0.02, 0.2, batch)[:, None, None]).clamp(-1, 1)


def fitness_line(row: Check | None = None) -> str:
    """A line of the table of checks, in columns of a fixed width, for it is shown before the next is known.

    Parameters
    ----------
    row
        The finding; ``None`` for the heads of columns.
    """
    cells = ["check", "outcome", "value", "limit", ""]
    if row is not None:
        cells = [row.check, row.outcome, _cell(row.value), _cell(row.limit), row.explanation]
    shown = [printable(cell).ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)]
    return fitted([shown], terminal_width())


def verdict(rows: Sequence[Check]) -> str:
    """Whether an encoder is fit, in a line."""
    failed = [row.check for row in rows if row.outcome == "fail"]
    return f"Not fit to be compared: {', '.join(failed)}" if failed else "Fit to be compared"


def _cell(value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.3g}" if value % 1 else f"{value:,.0f}"


def _limited(value: float, limit: float, explanation: str) -> Finding:
    return ("pass" if value <= limit else "fail", value if math.isfinite(value) else None, limit, explanation)


def _finite(found: Tensor, explanation: str) -> Finding:
    return _limited(int((~found.isfinite()).sum()), 0, explanation)


def _difference(a: Tensor, b: Tensor) -> float:
    """Largest absolute difference; infinite if shapes differ or it is not a number."""
    if a.shape != b.shape:
        return math.inf
    largest = float((a.double() - b.double()).abs().max())
    return largest if math.isfinite(largest) else math.inf


def _memory_of(found: Mapping[str, float]) -> float:
    return found["peak_memory_bytes"] + found.get("peak_gpu_memory_bytes", 0)


def _noise_blocks(samples: int) -> Iterator[NDArray[np.int16]]:
    """Noise of a given length, a block at a time."""
    generator = np.random.default_rng(0)
    for start in range(0, samples, 2**16):
        yield (0.1 * FULL_SCALE * generator.standard_normal(min(2**16, samples - start))).astype(np.int16)
