"""A shallow model on frozen representations, selected on validation and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["multilabel", "multiclass", "regression"]
#: Rows predicted at once.
CHUNK = 65_536


@dataclass(frozen=True)
class ProbeSettings:
    """How a probe is built and trained.

    Attributes
    ----------
    hidden
        Widths of ReLU layers between representation and output; empty for a linear probe.
    standardise
        Scale features by mean and standard deviation of the training examples.
    batch, learning_rate, weight_decay
        Of Adam.
    max_epochs, patience
        Training stops after `patience` epochs without a lower validation loss, at the latest after `max_epochs`.
    """

    hidden: tuple[int, ...]
    standardise: bool
    batch: int
    learning_rate: float
    weight_decay: float
    max_epochs: int
    patience: int


@dataclass(frozen=True)
class Examples:
    """Features [n, D] in float32 with labels [n, L] (``multiclass``: [n, 1] class indices)."""

    features: NDArray[np.float32]
    labels: NDArray[np.generic]


@dataclass(frozen=True)
class TrainedProbe:
    """A probe with the weights of its best epoch.

    Attributes
    ----------
    valid_losses
        Validation loss after each epoch.
    best_epoch
        Index of the lowest of them, whose weights were kept.
    """

    model: nn.Module
    kind: Kind
    valid_losses: tuple[float, ...]
    best_epoch: int

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (``multilabel``, ``multiclass``) or values (``regression``); shape [n, outputs]."""
        where = next(self.model.parameters()).device
        parts = []
        with torch.inference_mode():
            for first in range(0, len(features), CHUNK):
                outputs = self.model(torch.from_numpy(features[first : first + CHUNK]).to(where))
                parts.append(_LINKS[self.kind](outputs).cpu())
        return torch.cat(parts).numpy()


def train_probe(
    train: Examples, valid: Examples, kind: Kind, outputs: int, settings: ProbeSettings, seed: int, device: str = "cpu"
) -> TrainedProbe:
    """Train with early stopping on the validation loss and return the probe of the best epoch.

    Parameters
    ----------
    train, valid
        Examples; the test set has no part in this.
    kind
        Decides loss and output: binary cross entropy and sigmoid, cross entropy and softmax, or squared error.
    outputs
        Number of labels, classes or values.
    settings
        Model, optimiser and stopping.
    seed
        Of initialisation and order of examples.
    device
        Where to train.

    Raises
    ------
    ValueError
        If there is no example to train on or to select by.
    """
    if not len(train.features) or not len(valid.features):
        raise ValueError("a probe needs training and validation examples")
    generator = torch.Generator().manual_seed(seed)
    model = _build(train.features, outputs, settings, generator).to(device)
    x, y = _tensors(train, kind, device)
    x_valid, y_valid = _tensors(valid, kind, device)
    optimiser = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad], settings.learning_rate, weight_decay=settings.weight_decay
    )
    losses: list[float] = []
    best, best_state = 0, deepcopy(model.state_dict())
    for epoch in range(settings.max_epochs):
        for batch in torch.randperm(len(x), generator=generator).to(device).split(settings.batch):
            optimiser.zero_grad()
            _LOSSES[kind](model(x[batch]), y[batch]).backward()
            optimiser.step()
        losses.append(_loss(model, x_valid, y_valid, kind))
        if epoch == 0 or losses[epoch] < losses[best]:
            best, best_state = epoch, deepcopy(model.state_dict())
        elif epoch - best >= settings.patience:
            break
    model.load_state_dict(best_state)
    return TrainedProbe(model.eval(), kind, tuple(losses), best)


class Standardise(nn.Module):
    """Subtracts a mean and divides by a standard deviation [D]; features that never vary are only centred."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: NDArray[np.float32]) -> None:
        super().__init__()
        deviation = features.std(axis=0, dtype=np.float64)
        self.register_buffer("mean", torch.from_numpy(features.mean(axis=0, dtype=np.float64)).float())
        self.register_buffer("scale", torch.from_numpy(1 / np.where(deviation > 0, deviation, 1.0)).float())

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] -> [n, D]."""
        return (x - self.mean) * self.scale


def _build(
    features: NDArray[np.float32], outputs: int, settings: ProbeSettings, generator: torch.Generator
) -> nn.Sequential:
    layers: list[nn.Module] = [Standardise(features)] if settings.standardise else []
    widths: Sequence[int] = (features.shape[1], *settings.hidden, outputs)
    for i, (width_in, width_out) in enumerate(pairwise(widths)):
        layer = nn.Linear(width_in, width_out)
        # PyTorch's default for linear layers, drawn from the probe's own generator.
        bound = width_in**-0.5
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        layers += [nn.ReLU(), layer] if i else [layer]
    return nn.Sequential(*layers)


def _tensors(examples: Examples, kind: Kind, device: str) -> tuple[Tensor, Tensor]:
    labels = torch.from_numpy(np.ascontiguousarray(examples.labels))
    y = labels[:, 0].long() if kind == "multiclass" else labels.float()
    return torch.from_numpy(np.ascontiguousarray(examples.features)).to(device), y.to(device)


def _loss(model: nn.Module, x: Tensor, y: Tensor, kind: Kind) -> float:
    model.eval()
    with torch.inference_mode():
        parts = [
            _LOSSES[kind](model(part), target).item() * len(part)
            for part, target in zip(x.split(CHUNK), y.split(CHUNK), strict=True)
        ]
    model.train()
    return sum(parts) / len(x)


_LOSSES: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = {
    "multilabel": F.binary_cross_entropy_with_logits,
    "multiclass": F.cross_entropy,
    "regression": F.mse_loss,
}
_LINKS: dict[Kind, Callable[[Tensor], Tensor]] = {
    "multilabel": torch.sigmoid,
    "multiclass": lambda outputs: torch.softmax(outputs, dim=-1),
    "regression": lambda outputs: outputs,
}
