"""What each unit of an encoder listens for: the spectrum of the waveform that excites it most.

Gradient ascent from noise, and the magnitude spectrum of what it finds, as for Figure 7.1 of Spijkervet, "Contrastive
learning of musical representations" (thesis, 2021), section 7.1; after Lee et al., "Sample-level deep convolutional
neural networks for music auto-tagging using raw waveforms" (2017), section 5.3. Those papers ascend on 729 samples;
here the input is a whole window, because encoders take nothing shorter, and its spectrum is the mean over frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.visualisation.document import LayerSpectra
from benchmark.errors import UserError
from encoders import EncoderError
from encoders.base import Encoder

#: Steps of the ascent; after so many the peak of a spectrum hardly moves any more.
STEPS = 16
#: Level of every waveform, root mean square, about that of music.
LEVEL = 0.1
#: No sample is greater; without a bound, units with a threshold are best excited by a few clicks in silence.
PEAK = 4 * LEVEL
#: Nothing below is heard, so neither noise nor gradient has anything there [Hz].
LOWEST_HZ = 20.0
#: Length of a spectrum's frames, rounded to a power of two samples [s].
FRAME_SECONDS = 0.05
#: Window of encoders that take any length [s].
WINDOW_SECONDS = 1.0
#: Spectra end so far below their peak [dB].
FLOOR_DB = -80.0
#: Waveforms that ascend side by side.
_BATCH = 8
#: Fall of the noises' spectra, as a power of frequency: white first, darker ones where that reaches nothing.
_COLOURS = (0.0, 1.0, 2.0)
_TINY = 1e-30
_NO_GRADIENT = (
    "this encoder's output has no gradient with respect to its waveform, so what excites its units cannot be found; "
    "it must compute in PyTorch from the waveform on, without no_grad, detach or NumPy"
)


@dataclass(frozen=True)
class FilterSpectra:
    """Spectra of the waveforms that units of one layer respond to most, sorted by the frequency of their peak.

    Attributes
    ----------
    layer
        Name of the layer; ``None`` for the representation.
    units : ndarray of int64, shape [units]
        Which unit of the layer each row belongs to. Units that no noise reached come last.
    frequencies_hz : ndarray of float64, shape [bins]
        Centres of the bins, without 0 Hz.
    magnitude_db : ndarray of float64, shape [units, bins]
        From `FLOOR_DB` to 0, relative to the unit's own peak; NaN for units that no noise reached.
    peak_hz : ndarray of float64, shape [units]
        Frequency of the greatest magnitude; NaN for units that no noise reached.
    activation_before, activation_after : ndarray of float64, shape [units]
        Time-averaged output of the unit for white noise, and for the waveform found, which is no louder.
    """

    layer: str | None
    units: NDArray[np.int64]
    frequencies_hz: NDArray[np.float64]
    magnitude_db: NDArray[np.float64]
    peak_hz: NDArray[np.float64]
    activation_before: NDArray[np.float64]
    activation_after: NDArray[np.float64]

    def as_document(self) -> LayerSpectra:
        """Plain lists and numbers under the attributes' names, rounded; null for NaN, and for spectra of NaN."""
        spectra = [None if math.isnan(row[0]) else np.round(row, 1).tolist() for row in self.magnitude_db]
        return {
            "layer": self.layer,
            "units": self.units.tolist(),
            "frequencies_hz": np.round(self.frequencies_hz, 2).tolist(),
            "magnitude_db": spectra,
            "peak_hz": _plain(np.round(self.peak_hz, 2)),
            "activation_before": _plain(self.activation_before),
            "activation_after": _plain(self.activation_after),
        }


def filter_spectra(
    encoder: Encoder,
    layer: str | None,
    units: Sequence[int],
    seed: int = 0,
    steps: int = STEPS,
    advance: Callable[[int], None] | None = None,
) -> FilterSpectra:
    """Find what excites units of a layer, by gradient ascent on one window of noise for each.

    The ascent is on the unit's output, averaged over time by the encoder, in evaluation mode. Each step goes along
    the gradient at the waveform's own level, so that its size does not depend on the unit's scale, and back to that
    level; it is taken if it raises the output, else tried again at half the length. The encoder is left as it was.

    Parameters
    ----------
    encoder : Encoder
        Runs on the device where it is.
    layer
        Name from `Encoder.layers`, or ``None`` for the representation.
    units
        Which outputs of the layer, from 0.
    seed
        Of the noise. A unit's noise does not depend on the other units.
    steps
        Number of steps of each ascent, at least 1.
    advance
        Called with the number of units just finished.

    Raises
    ------
    UserError
        If no units, units that the layer does not have, or no steps are asked for.
    EncoderError
        If the layer is not known, or the encoder's output has no gradient with respect to its waveform.
    """
    if steps < 1 or not units:
        raise UserError(f"filter spectra need at least one unit and one step, not {len(units)} and {steps}")
    device = next((tensor.device for tensor in (*encoder.parameters(), *encoder.buffers())), torch.device("cpu"))
    samples = encoder.view_samples(WINDOW_SECONDS)
    found = []
    with _undisturbed(encoder):
        _check_units(encoder, layer, units, torch.zeros(1, 1, samples, device=device))
        for start in range(0, len(units), _BATCH):
            some = list(units[start : start + _BATCH])
            ascent = _Ascent(encoder, layer, some, samples, seed, device)
            for _ in range(steps):
                ascent.step()
            found.append((ascent.best.cpu().numpy(), ascent.reached.cpu().numpy(), ascent.before, ascent.values.cpu()))
            if advance is not None:
                advance(len(some))
    waveforms, reached, before, after = (np.concatenate(parts) for parts in zip(*found, strict=True))
    frequencies, power = _mean_spectrum(waveforms, encoder.sample_rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.maximum(10 * np.log10(power / power.max(axis=1, keepdims=True)), FLOOR_DB)
    magnitude[~reached] = np.nan
    peaks = np.where(reached, frequencies[power.argmax(axis=1)], np.nan)
    order = np.argsort(peaks, kind="stable")
    return FilterSpectra(
        layer,
        np.asarray(units, np.int64)[order],
        frequencies,
        magnitude[order],
        peaks[order],
        before[order].astype(np.float64),
        after[order].astype(np.float64),
    )


class _Ascent:
    """One waveform for each of some units: the best so far, and which way it goes on.

    Parameters
    ----------
    encoder, layer, units, seed
        As for `filter_spectra`.
    samples
        Length of the waveforms.
    device
        Where the encoder is.
    """

    def __init__(
        self, encoder: Encoder, layer: str | None, units: Sequence[int], samples: int, seed: int, device: torch.device
    ) -> None:
        self._encoder, self._layer, self._units, self._samples = encoder, layer, list(units), samples
        self._generators = [np.random.default_rng([seed, unit]) for unit in units]
        self._frequencies = torch.fft.rfftfreq(samples, 1 / encoder.sample_rate).to(device)
        self._heard = self._frequencies >= LOWEST_HZ
        self._lengths = torch.ones(len(units), device=device)
        self._noises = 1
        self.best = self._noise(_COLOURS[0])
        self.values, self._directions = self._evaluate(self.best)
        self.before = self.values.cpu()
        #: Whether a unit's output had a gradient somewhere [units].
        self.reached = self._directions.flatten(1).any(dim=1)

    def step(self) -> None:
        """Try one step for each unit, or other noise for units that have not been reached."""
        tried = self._bounded(self.best + self._lengths[:, None, None] * self._directions)
        if not bool(self.reached.all()):
            colour = _COLOURS[self._noises % len(_COLOURS)]
            self._noises += 1
            tried = torch.where(self.reached[:, None, None], tried, self._noise(colour))
        values, directions = self._evaluate(tried)
        newly = ~self.reached & directions.flatten(1).any(dim=1)
        better = (values > self.values) | newly
        self.reached = self.reached | newly
        self.best = torch.where(better[:, None, None], tried, self.best)
        self._directions = torch.where(better[:, None, None], directions, self._directions)
        self.values = torch.where(better, values, self.values)
        # Longer steps come near to replacing the waveform by its gradient, the fastest way up a convex function.
        self._lengths = torch.where(better, 2 * self._lengths, 0.5 * self._lengths).clamp(max=8.0)

    def _noise(self, colour: float) -> Tensor:
        """One waveform for each unit, whose magnitude falls with frequency to the power of `colour`."""
        white = np.stack([generator.standard_normal((1, self._samples)) for generator in self._generators])
        noise = torch.from_numpy(white.astype(np.float32)).to(self._frequencies.device)
        return self._bounded(self._filtered(noise, self._frequencies.clamp_min(LOWEST_HZ) ** -colour))

    def _filtered(self, x: Tensor, weights: Tensor) -> Tensor:
        """Waveforms with their spectrum weighted, and without what is too low to be heard."""
        found: Tensor = torch.fft.irfft(torch.fft.rfft(x) * (weights * self._heard), n=self._samples)
        return found

    def _bounded(self, x: Tensor) -> Tensor:
        """Waveforms at `LEVEL`, or a little below where samples are cut at `PEAK`; silence stays silence."""
        return (x * (LEVEL / _level(x))).clamp(-PEAK, PEAK)

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the units [units], and their gradients at `LEVEL` [units, 1, samples], 0 where there is none."""
        x = x.detach().requires_grad_()
        try:
            outputs = self._encoder(x, self._layer)
            own = outputs[torch.arange(len(self._units)), self._units]
            if not own.requires_grad:
                raise EncoderError(_NO_GRADIENT)
            (gradient,) = torch.autograd.grad(own.sum(), x, allow_unused=True)
        except RuntimeError as error:
            if "requires grad" in str(error):  # what PyTorch says where code leaves it for NumPy
                raise EncoderError(_NO_GRADIENT) from error
            raise
        if gradient is None:
            raise EncoderError(_NO_GRADIENT)
        # A value that is not finite counts as the lowest, and as a place from which no way leads on.
        values = own.detach().float().nan_to_num(-math.inf, -math.inf, -math.inf)
        finite = gradient.isfinite().flatten(1).all(dim=1) & values.isfinite()
        gradient = torch.where(finite[:, None, None], gradient, 0.0)
        # The greatest first becomes 1, lest the square of a small gradient is 0.
        gradient = gradient / gradient.abs().amax(dim=(1, 2), keepdim=True).clamp_min(_TINY)
        gradient = self._filtered(gradient, torch.ones_like(self._frequencies))
        return values, gradient * (LEVEL / _level(gradient))


def _check_units(encoder: Encoder, layer: str | None, units: Sequence[int], silence: Tensor) -> None:
    with torch.no_grad():
        count = encoder(silence, layer).shape[1]
    wrong = next((unit for unit in units if not 0 <= unit < count), None)
    if wrong is not None:
        name = "the representation" if layer is None else f"layer {layer}"
        raise UserError(f"no unit {wrong}: {name} has {count}, from 0 to {count - 1}")


def _level(x: Tensor) -> Tensor:
    """Root mean square over time, [units, 1, 1]; above 0."""
    return x.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(_TINY)


@contextmanager
def _undisturbed(encoder: Encoder) -> Iterator[None]:
    """Evaluation mode and frozen weights inside the block, also where no gradients are wanted outside."""
    modes = {module: module.training for module in encoder.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in encoder.parameters()}
    encoder.eval().requires_grad_(False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, value in wanted.items():
            parameter.requires_grad_(value)


def _mean_spectrum(x: NDArray[np.float32], sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies [bins], and power [units, bins] of waveforms [units, 1, samples]: mean over Hann-windowed frames."""
    length = min(2 ** round(math.log2(FRAME_SECONDS * sample_rate)), x.shape[2])
    window = np.hanning(length + 1)[:-1]
    starts = range(0, x.shape[2] - length + 1, max(1, length // 2))
    power = sum(np.abs(np.fft.rfft(x[:, 0, start : start + length] * window)) ** 2 for start in starts) / len(starts)
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate).astype(np.float64)
    return frequencies[1:], np.asarray(power, np.float64)[:, 1:]


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
