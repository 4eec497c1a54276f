"""Contrastive predictive coding's network for music: seven strided convolutions, and a recurrent context over them.

Source: Spijkervet, "Contrastive learning of musical representations", thesis, 2021, sections 3.6 and 5.2, after van den
Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018; paddings and the context's
size are those of the thesis's released code (branch v1). The text has three slips: a step of the network is
5 x 3 x 2^5 = 480 samples and not 490, which are 21.8 ms at 22,050 Hz and not 5, and the representation has 256 values
and not 512.

The code divides each file by its peak before it standardises samples by the corpus. Windows do not know the peak of
their file, so here they are standardised alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.base import Encoder
from encoders.time_grid import TimeGrid

#: Kernel, stride and padding of every convolution.
CONVOLUTIONS = ((10, 5, 2), (6, 3, 2), (4, 2, 2), (4, 2, 2), (4, 2, 1), (2, 2, 1), (2, 2, 1))
HOP = 480


class CPC(Encoder):
    """The representation is the mean over time of the context, of which there is one vector for every 480 samples.

    Parameters
    ----------
    channels
        Of every convolution.
    context
        Values of the context, and of the representation.
    window
        Samples that are taken at once.
    sample_rate
        Rate of the waveform [Hz].
    initialisation
        ``"default"`` is PyTorch's, as in the released code; ``"kaiming"`` is Kaiming-uniform on the weights of the
        convolutions and zero on their biases (thesis, section 5.3). By default latents hardly differ from one another
        before training, for nothing between the convolutions keeps their scale.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        channels: int = 512,
        context: int = 256,
        window: int = 59_049,
        sample_rate: int = 22_050,
        initialisation: Literal["default", "kaiming"] = "default",
    ) -> None:
        super().__init__()
        if min(channels, context) < 1 or window < HOP:
            raise EncoderError(
                f"channels={channels}, context={context}, window={window}: channels and context are at least 1, and a "
                f"window has {HOP} samples or more"
            )
        if initialisation not in ("default", "kaiming"):
            raise EncoderError(f"initialisation must be default or kaiming, not {initialisation!r}")
        self.sample_rate = sample_rate
        self.window = window
        self.max_window = window
        self.dim = context
        self.channels = channels
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels if place else 1, channels, kernel, stride=stride, padding=padding)
            for place, (kernel, stride, padding) in enumerate(CONVOLUTIONS)
        )
        self.recurrence = nn.GRU(channels, context, batch_first=True)
        if initialisation == "kaiming":
            for convolution in self.convolutions:
                assert isinstance(convolution, nn.Conv1d) and convolution.bias is not None
                nn.init.kaiming_uniform_(convolution.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(convolution.bias)
        # A scale of 0 until there is a corpus: what is not standardised yet goes through as it is.
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.zeros(()))

    def has_statistics(self) -> bool:
        """Whether samples are standardised by a corpus."""
        return bool(self.scale > 0)

    def fit_statistics(self, waveforms: Iterable[Tensor]) -> None:
        """Standardise by the means over windows, of waveforms [B, 1, T], of their mean and their standard deviation.

        Raises
        ------
        EncoderError
            If there is no window, or none with sound.
        """
        count, centre, scale = 0, 0.0, 0.0
        for waveform in waveforms:
            samples = waveform.double()
            count += len(samples)
            centre += float(samples.mean(dim=(1, 2)).sum())
            scale += float(samples.std(dim=(1, 2), unbiased=False).sum())
        if not scale:
            raise EncoderError("statistics of a corpus need one waveform with sound at least")
        self.centre.fill_(centre / count)
        self.scale.fill_(scale / count)

    def layers(self) -> tuple[str, ...]:
        """``conv_1`` to ``conv_7``, each after its ReLU; ``z``, the last of them; and ``c``, the context."""
        return (*(f"conv_{n}" for n in range(1, len(CONVOLUTIONS) + 1)), "z", "c")

    def latents(self, waveform: Tensor) -> Tensor:
        """What the convolutions make of a waveform [B, 1, T], z [B, t, channels]: a vector for every 480 samples."""
        return [x for x, _ in self._convolved(waveform)][-1].transpose(1, 2)

    def contexts(self, z: Tensor) -> Tensor:
        """What is known at each step of z [B, t, channels] from the steps so far: c [B, t, context]."""
        return cast(Tensor, self.recurrence(z)[0])

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`."""
        outputs: dict[str, Tensor] = {}
        for name, x, _ in self._over_time(waveform):
            if name in layers:
                outputs[name] = x.mean(dim=1)
        return x.mean(dim=1), outputs

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Output of a layer over time, by default the context; see `Encoder.frames`."""
        self._check_input(waveform)
        self._check_layer(layer)
        wanted = layer or "c"
        x, grid = next((x, grid) for name, x, grid in self._over_time(waveform) if name == wanted)
        # Padding lets the first steps of later layers have their centres up to 8 ms before the window.
        return x, grid.seconds(x.shape[1], self.sample_rate).clamp(min=0)

    def _over_time(self, waveform: Tensor) -> Iterator[tuple[str, Tensor, TimeGrid]]:
        """Name, output [B, t, values] and times of every layer."""
        for place, (x, grid) in enumerate(self._convolved(waveform)):
            yield f"conv_{place + 1}", x.transpose(1, 2), grid
        z = x.transpose(1, 2)
        yield "z", z, grid
        yield "c", self.contexts(z), grid

    def _convolved(self, waveform: Tensor) -> Iterator[tuple[Tensor, TimeGrid]]:
        x, grid = (waveform - self.centre) / self.scale if self.has_statistics() else waveform, TimeGrid()
        for convolution, shape in zip(self.convolutions, CONVOLUTIONS, strict=True):
            x, grid = F.relu(convolution(x)), grid.convolved(*shape)
            yield x, grid
