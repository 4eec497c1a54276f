"""An encoder without batch norm, for what must come out the same however a batch is divided."""

import torch
from torch import nn

from encoders.base import Encoder


class Plain(Encoder):
    """Two convolutions and a mean over time."""

    def __init__(self, window: int = 2187, dropout: float = 0.0) -> None:
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = 22_050, window, window, 12
        self.network = nn.Sequential(
            nn.Conv1d(1, 8, 27, stride=9), nn.GELU(), nn.Conv1d(8, 12, 9, stride=3), nn.GELU(), nn.Dropout(dropout)
        )

    def layers(self):
        return ()

    def represent(self, waveform: torch.Tensor, layers=()):
        return self.network(waveform).mean(dim=2), {}


class Parted(Encoder):
    """A front end that cuts frames, and a trunk like `Plain` over them."""

    def __init__(self, window: int = 2187, dropout: float = 0.0) -> None:
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = 22_050, window, window, 12
        self.network = nn.Sequential(
            nn.Conv1d(27, 8, 1), nn.GELU(), nn.Conv1d(8, 12, 9, stride=3), nn.GELU(), nn.Dropout(dropout)
        )

    def layers(self):
        return ()

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        return waveform[:, 0].unfold(1, 27, 9).transpose(1, 2)

    def trunk(self, features: torch.Tensor, layers=()):
        return self.network(features).mean(dim=2), {}

    def represent(self, waveform: torch.Tensor, layers=()):
        return self.trunk(self.features(waveform), layers)


class Forked(Encoder):
    """A common convolution, and a branch for each of the sources `pitch` and `level`."""

    def __init__(self, window: int = 2187, sources: tuple[str, ...] = ("pitch", "level")) -> None:
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = 22_050, window, window, 12 * len(sources)
        self.sources, self.branch_count = tuple(sources), len(sources)
        self.trunk_ = nn.Conv1d(1, 8, 27, stride=9)
        self.ends = nn.ModuleList(nn.Conv1d(8, 12, 9, stride=3) for _ in sources)

    def layers(self):
        return ()

    def branch(self, waveform: torch.Tensor, place: int) -> torch.Tensor:
        return self.ends[place](self.trunk_(waveform).abs().clamp_min(1e-3).log()).mean(dim=2)

    def shared_parameters(self):
        return self.trunk_.parameters()

    def represent(self, waveform: torch.Tensor, layers=()):
        return torch.cat([self.branch(waveform, place) for place in range(self.branch_count)], dim=1), {}
