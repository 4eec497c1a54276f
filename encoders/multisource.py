"""The networks of the multi-source study: one trunk, and a branch for each source of labels from some layer on.

Source: Kim, Urbano, Liem and Hanjalic, "One deep music representation to rule them all? A comparative analysis of
different representation learning strategies", Neural Computing and Applications 32, 2020: Table 3 and Figure 4. Where
sources part makes the strategy: nowhere (MS-SR@FC), before convolution 6, 4 or 2 (MS-CR@6, @4, @2), or at the input
(SS-R of one source, MSS-CR of several).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders import EncoderError
from encoders.base import Encoder
from encoders.spectrograms import LogMel
from encoders.time_grid import TimeGrid

#: Name, channels, kernel, stride over time, and pooling of each convolution.
CONVOLUTIONS = (
    ("conv1", 16, 5, 2, 2),
    ("conv2", 32, 3, 1, 2),
    ("conv3", 64, 3, 1, 2),
    ("conv4", 64, 3, 1, 2),
    ("conv5", 128, 3, 1, 2),
    ("conv61", 256, 3, 1, 1),
    ("conv62", 256, 1, 1, 1),
)
#: The layer behind them.
FEATURE = "fc"
#: Values of a branch.
WIDTH = 256
BANDS = 128
#: Least number of frames that the poolings leave anything of.
LEAST_FRAMES = 64
#: Ends of the authors' mean over bands [dB], and the middle of their standard deviations: what an input is standardised
#: by until there are statistics of a corpus.
MEANS = (5.4, -43.8)
DEVIATION = 12.75


class MultiSource(Encoder):
    """Trunk and branches over a standardised log-mel spectrogram; the representation is the branches side by side.

    Parameters
    ----------
    sources
        Names of the sources of labels that there is a branch for, or only their number, if those of the recipe are
        meant.
    branch
        The convolution before which branches part: 2 to 6. ``"fc"`` for a single representation that all sources are
        read from, where `sources` says nothing but what it is trained on; ``"input"`` for networks with nothing in
        common.
    channels
        Of the input: 1, or 2 for weights trained on stereo, which are given the same signal twice.
    statistics
        File of arrays `mean` and `std` [128] that the log-mel spectrogram is standardised by [dB]; those of the
        corpus that it is trained on if ``None``.
    window
        Samples that are taken at once.
    sample_rate
        Rate of the waveform [Hz].

    Raises
    ------
    EncoderError
        If an argument is none of those, a window is too short, or the file cannot be read.
    """

    def __init__(
        self,
        *,
        sources: int | Sequence[str] = 1,
        branch: int | Literal["fc", "input"] = "input",
        channels: int = 1,
        statistics: str | Path | None = None,
        window: int = 55_125,
        sample_rate: int = 22_050,
    ) -> None:
        super().__init__()
        self.sources, count = _sources(sources)
        if branch not in ("fc", "input", 2, 3, 4, 5, 6):
            raise EncoderError(f"branch must be fc, input, or a convolution from 2 to 6, not {branch!r}")
        if channels not in (1, 2):
            raise EncoderError(f"channels must be 1 or 2, not {channels!r}")
        self.sample_rate, self.channels = sample_rate, channels
        self.window = self.max_window = window
        self.front_end = LogMel(
            sample_rate=sample_rate,
            fft=1024,
            hop=256,
            bands=BANDS,
            compression="decibels",
            depth=80.0,
            standardise="corpus",
        )
        if window < self.front_end.spectrogram.least or self.front_end.frame_count(window) < LEAST_FRAMES:
            raise EncoderError(f"window: {window} samples give fewer than {LEAST_FRAMES} frames")
        self._given = statistics is not None
        means, deviations = _statistics(statistics)
        self.front_end.mean.copy_(means[:, None])
        self.front_end.deviation.copy_(deviations[:, None])
        self.branch_count = 0 if branch == "fc" else count
        self.dim = WIDTH * max(1, self.branch_count)
        layers = [name for name, *_ in CONVOLUTIONS] + [FEATURE]
        parting = {"input": 0, "fc": len(layers)}.get(str(branch), int(branch) - 1 if isinstance(branch, int) else 0)
        self._common, self._own = tuple(layers[:parting]), tuple(layers[parting:])
        # Named as in the published checkpoints.
        self.shared = _stack(self._common, channels)
        self.branches_feature = nn.ModuleList(_stack(self._own, channels) for _ in range(self.branch_count))

    def layers(self) -> tuple[str, ...]:
        """The common layers, then those of each branch, as ``tag.conv61`` or ``1.conv61`` if there are several."""
        return (*self._common, *(name for place in range(self.branch_count) for name in self._names(place)))

    def represent(self, waveform: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `Encoder.represent`; outputs of convolutions are means over mel bands and time."""
        return self.trunk(self.features(waveform), layers)

    def features(self, waveform: Tensor) -> Tensor:
        """Standardised log-mel spectrogram [B, 128, t] of waveforms [B, 1, T]; see `FrontEndAndTrunk`."""
        return self.log_mel(waveform)[:, 0]

    def log_mel(self, waveform: Tensor) -> Tensor:
        """Standardised log-mel spectrogram [B, C, 128, t] of waveforms of one or two channels [B, C, T].

        Nothing is more than 80 dB softer than the loudest of all channels.
        """
        # Levels are not to be rounded to the ten bits of a network's products.
        with torch.autocast(waveform.device.type, enabled=False):
            mels = self.front_end.mels(waveform).transpose(1, 2)
            levels = self.front_end.compressed(mels.flatten(2)).view_as(mels)
            return self.front_end.standardised(levels.transpose(1, 2))

    def trunk(self, features: Tensor, layers: Sequence[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `FrontEndAndTrunk.trunk`."""
        outputs: dict[str, Tensor] = {}
        ends = []
        for name, x, _ in self._outputs(self._stacked(features)):
            if name in layers:
                outputs[name] = x if x.ndim == 2 else x.mean(dim=(2, 3))
            if name.endswith(FEATURE):
                ends.append(x)
        return torch.cat(ends, dim=1), outputs

    def branch(self, waveform: Tensor, place: int) -> Tensor:
        """See `SourceBranches.branch`; nothing of the other branches is computed."""
        return self.branch_of(self._stacked(self.features(waveform)), place)

    def branch_of(self, x: Tensor, place: int) -> Tensor:
        """Values [B, 256] of the branch at `place`, from a standardised log-mel spectrogram [B, channels, t, 128].

        Without branches, of the one representation.
        """
        x = self.shared(x)
        return cast(Tensor, self.branches_feature[place](x) if self.branch_count else x)

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """See `SourceBranches.shared_parameters`."""
        return self.shared.parameters()

    def has_statistics(self) -> bool:
        """Whether the spectrogram is standardised by statistics of a corpus, or of a file."""
        return self._given or bool(self.front_end.frames > 0)

    def fit_statistics(self, waveforms: Iterable[Tensor]) -> None:
        """Standardise by the mean and deviation of each band over waveforms [B, 1, T]; see `LogMel.fit_statistics`."""
        self.front_end.fit_statistics(waveform[:, 0] for waveform in waveforms)

    def unpublished(self) -> tuple[str, ...]:
        """Published files hold the network alone: statistics are those of a file, or missing."""
        constants = ("front_end.spectrogram.", "front_end.mel_scale.")
        return ("front_end.",) if self._given else constants

    def frames(self, waveform: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
        """Output of a convolution over time, as its mean over mel bands; all others as one frame.

        See `Encoder.frames`.
        """
        self._check_input(waveform)
        self._check_layer(layer)
        if layer is None or layer.endswith(FEATURE):
            return super().frames(waveform, layer)
        x = self._stacked(self.features(waveform))
        x, grid = next((x, grid) for name, x, grid in self._outputs(x) if name == layer)
        return x.mean(dim=3).transpose(1, 2), grid.seconds(x.shape[2], self.sample_rate)

    def _names(self, place: int) -> tuple[str, ...]:
        """Names of the layers of a branch."""
        if self.branch_count < 2:
            return self._own
        branch = self.sources[place] if self.sources else str(place + 1)
        return tuple(f"{branch}.{name}" for name in self._own)

    def _stacked(self, features: Tensor) -> Tensor:
        """Features [B, 128, t] as the network has them, [B, channels, t, 128]."""
        return features.transpose(1, 2).unsqueeze(1).expand(-1, self.channels, -1, -1)

    def _outputs(self, x: Tensor) -> Iterator[tuple[str, Tensor, TimeGrid]]:
        """Name, output and times of every layer."""
        grid = TimeGrid(0.0, self.front_end.hop)
        for name, x, grid in _through(self.shared, self._common, x, grid):  # noqa: B020
            yield name, x, grid
        for place, branch in enumerate(self.branches_feature):
            yield from _through(cast(nn.Sequential, branch), self._names(place), x, grid)


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU, and a max-pool unless `pool` is 1, over time and mel bands."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, pool: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride=(stride, 1), padding=kernel // 2)
        nn.init.xavier_uniform_(self.conv.weight)
        self.bn = nn.BatchNorm2d(channels_out)
        self.pool = pool
        self._shape = kernel, stride, kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, t, bands] -> [B, channels_out, about t / (stride * pool), bands / pool]."""
        x = self.conv(x)
        if x.device.type == "cpu":  # where channels side by side train and encode in half the time
            x = x.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.bn(x), inplace=True)
        return x if self.pool == 1 else F.max_pool2d(x, self.pool)

    def times(self, grid: TimeGrid) -> TimeGrid:
        """When the values of its output are, for an input with its values at `grid`."""
        return grid.convolved(*self._shape).pooled(self.pool)


class _Mean(nn.Module):
    """Mean over time and mel bands."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def _stack(names: Sequence[str], channels: int) -> nn.Sequential:
    """The layers of these names, which follow one another."""
    modules: list[nn.Module] = []
    before = channels
    for name, width, kernel, stride, pool in CONVOLUTIONS:
        if name in names:
            modules.append(Convolution(before, width, kernel, stride, pool))
        before = width
    if FEATURE in names:
        linear = nn.Linear(before, WIDTH)
        nn.init.xavier_uniform_(linear.weight)
        modules += [_Mean(), linear, nn.BatchNorm1d(WIDTH), nn.ReLU()]
    return nn.Sequential(*modules)


def _through(
    stack: nn.Sequential, names: Sequence[str], x: Tensor, grid: TimeGrid
) -> Iterator[tuple[str, Tensor, TimeGrid]]:
    modules = list(stack)
    for place, name in enumerate(names):
        if name.endswith(FEATURE):
            for module in modules[place:]:
                x = module(x)
        else:
            convolution = cast(Convolution, modules[place])
            x, grid = convolution(x), convolution.times(grid)
        yield name, x, grid


def _sources(sources: int | Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Names, if any, and number of the sources."""
    if isinstance(sources, int):
        names: tuple[str, ...] = ()
        count = sources
    else:
        names = () if isinstance(sources, str) else tuple(sources)
        count = len(names)
    if count < 1 or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise EncoderError(f"sources must be a number from 1 on, or a list of different names, not {sources!r}")
    return names, count


def _statistics(path: str | Path | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each band [128] from a file, or those that hold until there are any."""
    if path is None:
        return torch.linspace(*MEANS, BANDS), torch.full((BANDS,), DEVIATION)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = [
                torch.from_numpy(np.asarray(arrays[name], dtype=np.float32).reshape(-1)) for name in ("mean", "std")
            ]
    except (OSError, ValueError, KeyError) as error:
        raise EncoderError(f"{path}: no file of arrays mean and std: {str(error).strip(chr(39))}") from None
    if any(len(values) != BANDS or not values.isfinite().all() for values in found) or not (found[1] > 0).all():
        raise EncoderError(f"{path}: mean and std must have {BANDS} numbers each, and std positive ones")
    return found[0], found[1]
