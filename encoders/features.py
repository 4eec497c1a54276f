"""Hand-made features: the floor that a learned representation has to beat. Nothing in them is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from encoders.base import Encoder

#: Longest part of a clip that is described at once [s].
MAX_SECONDS = 60


class Mfcc(Encoder):
    """Mel-frequency cepstral coefficients of a clip: means and deviations of them and of their differences.

    As the MFCC baseline of jukemir (Castellon et al. 2021), on librosa's defaults: 128 Slaney mel bands of a
    2048-sample Hann window every 512 samples, power in dB down to 80 dB below the loudest, orthonormal DCT.

    Parameters
    ----------
    coefficients
        Number of coefficients, the first included.
    sample_rate
        Rate of the waveform [Hz].
    """

    def __init__(self, *, coefficients: int = 20, sample_rate: int = 22_050) -> None:
        super().__init__()
        # torchaudio takes seconds to import and only these features need it.
        from torchaudio import functional as audio
        from torchaudio.transforms import MelSpectrogram

        self.sample_rate = sample_rate
        self.window = None
        self.max_window = MAX_SECONDS * sample_rate
        self.dim = 3 * 2 * coefficients
        self._mel = MelSpectrogram(
            sample_rate, n_fft=2048, hop_length=512, n_mels=128, norm="slaney", mel_scale="slaney", pad_mode="constant"
        )
        self.register_buffer("_dct", audio.create_dct(coefficients, 128, norm="ortho"), persistent=False)

    def layers(self) -> tuple[str, ...]:
        """Features have no layers."""
        return ()

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`; a silent clip gives finite features."""
        del layers
        x = waveform[:, 0]
        x = x / x.abs().amax(dim=-1, keepdim=True).clamp_min(1e-9)
        decibels = 10 * torch.log10(self._mel(x).clamp_min(1e-10))
        decibels = torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - 80)
        c = torch.einsum("bmt,mc->bct", decibels, self._dct)
        parts = (c, c.diff(n=1), c.diff(n=2))
        return torch.cat([s for p in parts for s in (p.mean(dim=-1), p.std(dim=-1, correction=0))], dim=1), {}
