"""Log-mel spectrograms, computed where the network is, with everything that papers state about them as an argument.

What papers call a mel spectrogram differs in window, scale, filters, exponent, compression and standardisation, and a
network trained on one of them is lost on another. Nothing is therefore taken for granted but a Hann window.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from encoders import EncoderError
from encoders.filter_banks import Norm, Scale, mel_filters

Compression = Literal["none", "log", "log10", "decibels"]
Standardise = Literal["none", "input", "corpus"]
Padding = Literal["reflect", "constant", "none"]


class LogMel(nn.Module):
    """Waveforms [..., T] to a compressed mel spectrogram [..., bands, t].

    Parameters
    ----------
    sample_rate
        Of the waveform [Hz].
    fft
        Samples of the transform; a shorter window stands in the middle of them, among zeros.
    hop
        Distance of frames [samples].
    bands
        Number of mel filters.
    window
        Length of the Hann window [samples]; by default `fft`.
    low, high
        Where the first filter begins and the last one ends [Hz]; by default 0 and half the sample rate.
    scale, norm
        See `encoders.filter_banks.mel_filters`.
    power
        Exponent of the magnitudes: 2 for power, 1 for magnitude.
    padding
        What the waveform is continued by, half a transform on either side, so that frame t is centred on sample t hop.
        With ``"none"`` frames are those that fit.
    compression
        ``"log"`` and ``"log10"`` of `offset` + `gain` x; ``"decibels"`` of a power of x, from `floor` on; or none.
    gain, offset
        Of the logarithm.
    floor
        Smallest value that is told from silence, in decibels.
    depth
        Decibels further below the loudest of the spectrogram are raised to that; by default none are.
    last
        Whether the frame centred on the end of the waveform is kept, which hears half of what the others do.
    standardise
        ``"input"`` subtracts the spectrogram's mean and divides by its population standard deviation, both over bands
        and time; ``"corpus"`` does so by band with the statistics that `fit_statistics` was given, which lie among the
        weights.
    smallest
        Least standard deviation that is divided by, so that silence stays finite.

    Attributes
    ----------
    mean, deviation : Tensor, shape [bands, 1]
        Statistics of the corpus; 0 and 1 until `fit_statistics` is called.
    frames : Tensor
        How many frames they are of; 0 until then.

    Raises
    ------
    EncoderError
        If an argument is none of those, or no filter lies between `low` and `high`.
    """

    mean: Tensor
    deviation: Tensor
    frames: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        fft: int,
        hop: int,
        bands: int,
        window: int | None = None,
        low: float = 0.0,
        high: float | None = None,
        scale: Scale = "slaney",
        norm: Norm | None = "slaney",
        power: float = 2.0,
        padding: Padding = "reflect",
        compression: Compression = "log10",
        gain: float = 1.0,
        offset: float = 1e-10,
        floor: float = 1e-10,
        depth: float | None = None,
        last: bool = True,
        standardise: Standardise = "none",
        smallest: float = 1e-10,
    ) -> None:
        super().__init__()
        top = sample_rate / 2 if high is None else high
        choices = {
            "scale": (scale, ("slaney", "htk")),
            "norm": (norm, ("slaney", "l2", None)),
            "padding": (padding, ("reflect", "constant", "none")),
            "compression": (compression, ("none", "log", "log10", "decibels")),
            "standardise": (standardise, ("none", "input", "corpus")),
        }
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise EncoderError(f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}")
        if not 0 <= low < top <= sample_rate / 2:
            raise EncoderError(f"low and high must rise from 0 to {sample_rate / 2:g} Hz, not {low:g} and {top:g}")
        if not 1 <= (window or fft) <= fft or min(hop, bands) < 1:
            raise EncoderError(
                f"hop and bands must be positive, and window at most fft: {hop}, {bands}; {window}, {fft}"
            )
        self.hop, self.bands, self.last = hop, bands, last
        self.fft = fft
        # Names under which the filters and the window lie in the weights of every store.
        self.spectrogram = _Spectrogram(fft, window or fft, hop, power, padding)
        filters = mel_filters(fft // 2 + 1, bands, sample_rate, low=low, high=high, scale=scale, norm=norm)
        self.mel_scale = _MelScale(filters)
        self._compression, self._gain, self._offset = compression, gain, offset
        self._floor, self._depth, self._decibels = floor, depth, 20.0 / power
        self._standardise, self._smallest = standardise, smallest
        if standardise == "corpus":
            self.register_buffer("mean", torch.zeros(bands, 1))
            self.register_buffer("deviation", torch.ones(bands, 1))
            self.register_buffer("frames", torch.zeros((), dtype=torch.int64))

    def frame_count(self, samples: int) -> int:
        """Frames of a waveform of so many samples."""
        whole = samples if self.spectrogram.centred else samples - self.fft
        return 1 + whole // self.hop - (not self.last)

    def __call__(self, waveform: Tensor) -> Tensor:
        """Call `forward`; typed, which `Module.__call__` is not."""
        return cast(Tensor, super().__call__(waveform))

    def forward(self, waveform: Tensor) -> Tensor:
        """Spectrogram [..., bands, t] of waveforms [..., T], with t as `frame_count` says.

        Raises
        ------
        EncoderError
            If the waveform is shorter than half a transform, which reflection needs, or gives no frame.
        """
        return self.standardised(self.compressed(self.mels(waveform)))

    def mels(self, waveform: Tensor) -> Tensor:
        """What the filters pass [..., bands, t], neither compressed nor standardised; as `forward` otherwise."""
        samples = waveform.shape[-1]
        if samples < self.spectrogram.least or self.frame_count(samples) < 1:
            raise EncoderError(f"{samples} samples are too few for a spectrogram of {self.fft} samples a frame")
        x: Tensor = self.mel_scale(self.spectrogram(waveform.reshape(-1, samples)))
        x = x if self.last else x[..., :-1]
        return x.reshape(*waveform.shape[:-1], *x.shape[1:])

    def compressed(self, x: Tensor) -> Tensor:
        """What the filters pass [..., bands, t], compressed as the arguments say, over all of which `depth` looks."""
        if self._compression == "decibels":
            x = self._decibels * torch.log10(x.clamp_min(self._floor))
            if self._depth is not None:
                x = torch.maximum(x, x.amax(dim=(-2, -1), keepdim=True) - self._depth)
            return x
        if self._compression == "none":
            return x
        logarithm = torch.log if self._compression == "log" else torch.log10
        return logarithm(self._offset + self._gain * x)

    def standardised(self, x: Tensor) -> Tensor:
        """A compressed spectrogram [..., bands, t], standardised as the arguments say."""
        if self._standardise == "input":
            deviation, mean = torch.std_mean(x, dim=(-2, -1), correction=0, keepdim=True)
            return (x - mean) / deviation.clamp_min(self._smallest)
        if self._standardise == "corpus":
            return (x - self.mean) / self.deviation.clamp_min(self._smallest)
        return x

    @torch.no_grad()
    def fit_statistics(self, waveforms: Iterable[Tensor]) -> None:
        """Take mean and population standard deviation of each band from these waveforms [..., T] of a corpus.

        Raises
        ------
        EncoderError
            If nothing is to be standardised by a corpus, or there is no waveform.
        """
        if self._standardise != "corpus":
            raise EncoderError("only what is standardised by a corpus has statistics of one")
        self.mean.zero_()
        self.deviation.fill_(1)
        count = 0
        # Chan, Golub and LeVeque (1983): differences to a mean that moves, so that nothing cancels.
        mean = torch.zeros(self.bands, dtype=torch.float64, device=self.mean.device)
        squares = torch.zeros_like(mean)
        for waveform in waveforms:
            values = self(waveform).transpose(-1, -2).reshape(-1, self.bands).to(torch.float64)
            apart = values.mean(dim=0) - mean
            total = count + len(values)
            squares += (values - values.mean(dim=0)).square().sum(dim=0) + apart.square() * count * len(values) / total
            mean += apart * len(values) / total
            count = total
        if not count:
            raise EncoderError("statistics of a corpus need one waveform at least")
        self.mean.copy_(mean[:, None])
        self.deviation.copy_((squares / count).sqrt()[:, None])
        self.frames.fill_(count)


class _Spectrogram(nn.Module):
    """Waveforms [B, T] to magnitudes, to the `power`, [B, 1 + fft // 2, t]."""

    window: Tensor

    def __init__(self, fft: int, window: int, hop: int, power: float, padding: Padding) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(window))
        self.fft, self.hop, self.power, self.padding = fft, hop, power, padding
        self.centred = padding != "none"
        self.least = fft // 2 + 1 if padding == "reflect" else 1 if self.centred else fft

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(
            x,
            self.fft,
            self.hop,
            win_length=len(self.window),
            window=self.window,
            center=self.centred,
            pad_mode=self.padding if self.centred else "constant",
            return_complex=True,
        )
        magnitude = spectrum.abs()
        return magnitude.square() if self.power == 2 else magnitude.pow(self.power)


class _MelScale(nn.Module):
    """Spectra [B, bins, t] to what each of `filters` [bins, bands] passes [B, bands, t]."""

    fb: Tensor

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        self.register_buffer("fb", filters)

    def forward(self, spectrum: Tensor) -> Tensor:
        return (spectrum.mT @ self.fb).mT
