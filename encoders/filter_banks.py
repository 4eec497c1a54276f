"""Mel filter banks and the cosine transform of cepstra: torchaudio's, or the same numbers from here.

torchaudio's compiled library loads beside some versions of torch and not beside others. Nothing is to depend on that,
so where torchaudio cannot be imported, for whatever reason, both matrices are computed by the few lines below, in the
same order of operations: they agree to the last bit, which tests hold, and librosa's agree to float32.
"""

from __future__ import annotations

import logging
import math
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

Scale = Literal["slaney", "htk"]
Norm = Literal["slaney", "l2"]

#: Slaney's scale is linear up to 1000 Hz, 200/3 Hz a mel, and from there has 27 mels for each factor of 6.4.
_LINEAR_TO = 1000.0
_HERTZ_PER_MEL = 200 / 3
_LOG_STEP = math.log(6.4) / 27


@cache
def torchaudio_fault() -> str:
    """Why torchaudio cannot be imported, in one line; empty if it can. Asked once, and a fault is logged."""
    try:
        from torchaudio.functional import create_dct, melscale_fbanks

        del create_dct, melscale_fbanks
    # What a broken extension raises is not only ImportError, and none of it may take an encoder down.
    except Exception as error:
        root: BaseException = error
        while root.__cause__ is not None:  # what the system said
            root = root.__cause__
        fault = f"{type(root).__name__}: {(str(root).strip().splitlines() or [''])[0]}".rstrip(": ")
        logging.getLogger(__name__).warning(
            "torchaudio cannot be loaded (%s); mel filters are computed by bench itself, to the same numbers", fault
        )
        return fault
    return ""


def mel_filters(
    bins: int,
    bands: int,
    sample_rate: int,
    *,
    low: float = 0.0,
    high: float | None = None,
    scale: Scale = "slaney",
    norm: Norm | None = "slaney",
) -> Tensor:
    """Triangular filters, evenly spaced in mel, for spectra.

    Parameters
    ----------
    bins
        Frequencies of the spectrum, from 0 Hz to half the sample rate.
    bands
        Number of filters.
    sample_rate
        Of the waveform [Hz].
    low, high
        Where the first filter begins and the last one ends [Hz]; by default at half the sample rate.
    scale
        ``"slaney"`` (Auditory Toolbox, 1998) or ``"htk"``, 2595 log10(1 + f / 700).
    norm
        ``"slaney"`` for filters of one area, ``"l2"`` for filters of one Euclidean length, ``None`` for filters that
        peak at 1.

    Returns
    -------
    Tensor
        float32 [bins, bands].
    """
    high = float(sample_rate // 2) if high is None else high
    area = None if norm == "l2" else norm
    if torchaudio_fault():
        filters = own_mel_filters(bins, bands, sample_rate, low=low, high=high, scale=scale, norm=area)
    else:
        from torchaudio.functional import melscale_fbanks

        filters = _tensor(melscale_fbanks(bins, low, high, bands, sample_rate, area, scale))
    if norm == "l2":
        filters = filters / torch.linalg.vector_norm(filters, dim=0).clamp_min(torch.finfo(filters.dtype).tiny)
    return filters


def dct_matrix(coefficients: int, bands: int) -> Tensor:
    """The first `coefficients` rows of the orthonormal cosine transform (DCT-II), transposed: [bands, coefficients]."""
    if not torchaudio_fault():
        from torchaudio.functional import create_dct

        return _tensor(create_dct(coefficients, bands, norm="ortho"))
    return own_dct_matrix(coefficients, bands)


def own_mel_filters(
    bins: int,
    bands: int,
    sample_rate: int,
    *,
    low: float = 0.0,
    high: float | None = None,
    scale: Scale = "slaney",
    norm: Literal["slaney"] | None = "slaney",
) -> Tensor:
    """`mel_filters` without torchaudio."""
    nyquist = float(sample_rate // 2)
    frequencies = torch.linspace(0, nyquist, bins)
    ends = _mel(low, scale), _mel(nyquist if high is None else high, scale)
    corners = _hertz(torch.linspace(*ends, bands + 2), scale)
    widths = corners.diff()
    distances = corners - frequencies[:, None]
    rising, falling = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
    filters = torch.minimum(rising, falling).clamp_min(0)
    if norm == "slaney":
        filters = filters * (2 / (corners[2:] - corners[:-2]))
    return filters


def own_dct_matrix(coefficients: int, bands: int) -> Tensor:
    """`dct_matrix` without torchaudio."""
    order = torch.arange(coefficients, dtype=torch.float32)[:, None]
    place = torch.arange(bands, dtype=torch.float32) + 0.5
    matrix = torch.cos(math.pi / bands * place * order)
    matrix[0] *= 1 / math.sqrt(2)
    return (matrix * math.sqrt(2 / bands)).T


def _mel(hertz: float, scale: Scale) -> float:
    if scale == "htk":
        return 2595 * math.log10(1 + hertz / 700)
    if hertz < _LINEAR_TO:
        return hertz / _HERTZ_PER_MEL
    return _LINEAR_TO / _HERTZ_PER_MEL + math.log(hertz / _LINEAR_TO) / _LOG_STEP


def _hertz(mels: Tensor, scale: Scale) -> Tensor:
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    above = mels - _LINEAR_TO / _HERTZ_PER_MEL
    return torch.where(above < 0, _HERTZ_PER_MEL * mels, _LINEAR_TO * torch.exp(_LOG_STEP * above))


def _tensor(found: Any) -> Tensor:
    assert isinstance(found, Tensor)
    return found
