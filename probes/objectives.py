"""What a kind of labels means to a probe: its targets, its loss and the loss's derivative, and what outputs say.

One object a kind; whatever trains, selects or predicts asks it, and nothing else distinguishes kinds of labels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from probes.kinds import Kind, check_loss, check_served
from probes.protocol import Loss


class Objective(ABC):
    """What is trained towards. Outputs are a network's last layer, before the link function."""

    #: Whether targets may be scaled by their mean and standard deviation.
    scalable: ClassVar[bool] = False

    @abstractmethod
    def targets(self, labels: NDArray[np.generic], outputs: int) -> NDArray[np.float32]:
        """What outputs are compared with [n, outputs], of labels [n, L] as `tasks.targets` has them."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of outputs [n, C] for targets [n, C]; a scalar."""

    @abstractmethod
    def residual_(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Derivative of each probe's `loss` by its outputs [..., C], which may be overwritten.

        Outputs are those of several probes; targets are of shape [n, C] or [n, 1, C], whatever broadcasts to them.
        """

    @abstractmethod
    def link(self, outputs: Tensor) -> Tensor:
        """Probabilities or values [..., C]."""

    @abstractmethod
    def prediction_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of what is predicted [clips, C] after the link function, such as means over windows; a scalar."""

    def votes(self, outputs: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which output each example votes for [..., n, C].

        Raises
        ------
        ValueError
            If such labels cannot be voted on.
        """
        raise ValueError("values cannot be voted on; take the decision mean_probability or mean_logit")

    def for_targets(self, targets: Tensor) -> Objective:
        """The same, fit for these targets [n, C]: one that passes over unknown ones only where there are any."""
        del targets
        return self

    def for_mixtures(self) -> Objective:
        """The same, fit for targets that are weighted means of several examples' targets."""
        return self

    def mixture(self, mix: Callable[[Tensor], Tensor], targets: Tensor) -> Tensor:
        """Targets [n, C] that `mix` has made weighted means of; what is unknown of one of them is unknown of all."""
        return mix(targets)


class _Tags(Objective):
    """Binary cross entropy of each tag (sigmoid); mean over examples and tags."""

    def targets(self, labels: NDArray[np.generic], outputs: int) -> NDArray[np.float32]:
        """0 and 1, and -1 where nobody knows."""
        del outputs
        return labels.astype(np.float32)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over examples and tags."""
        return F.binary_cross_entropy_with_logits(outputs, targets)

    def residual_(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Overwrites `outputs`."""
        return outputs.sigmoid_().sub_(targets).div_(len(targets) * targets.shape[-1])

    def link(self, outputs: Tensor) -> Tensor:
        """Sigmoid."""
        return torch.sigmoid(outputs)

    def prediction_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Mean over clips and tags."""
        return F.binary_cross_entropy(predictions, targets.to(predictions.dtype))

    def votes(self, outputs: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Every tag above one half."""
        return np.asarray(outputs > 0)

    def for_targets(self, targets: Tensor) -> Objective:
        """Pass over unknown tags where there are any."""
        return _SomeTags() if bool((targets < 0).any()) else self


class _SomeTags(_Tags):
    """The same where tags below 0 are unknown: they have no part in the mean, and no gradient."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the known tags; 0 if none is."""
        known = targets >= 0
        losses = F.binary_cross_entropy_with_logits(outputs, targets.clamp(min=0), reduction="none")
        return (losses * known).sum() / known.sum().clamp(min=1)

    def residual_(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Overwrites `outputs`."""
        known = targets >= 0
        return outputs.sigmoid_().sub_(targets).mul_(known).div_(known.sum().clamp(min=1))

    def prediction_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Mean over the known tags."""
        known = targets >= 0
        return F.binary_cross_entropy(predictions[known], targets[known].to(predictions.dtype))

    def for_targets(self, targets: Tensor) -> Objective:
        """Stay as it is."""
        del targets
        return self

    def mixture(self, mix: Callable[[Tensor], Tensor], targets: Tensor) -> Tensor:
        """Unknown tags stay so, whatever they are mixed with."""
        return mix(targets.masked_fill(targets < 0, torch.nan)).nan_to_num(nan=-1)


class _Classes(Objective):
    """Cross entropy of one class (softmax); mean over examples."""

    def targets(self, labels: NDArray[np.generic], outputs: int) -> NDArray[np.float32]:
        """One-hot."""
        return np.eye(outputs, dtype=np.float32)[labels[:, 0].astype(np.int64)]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over examples."""
        return F.cross_entropy(outputs, targets.argmax(dim=1))

    def residual_(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Softmax less one-hot targets."""
        return torch.softmax(outputs, dim=-1).sub_(targets).div_(len(targets))

    def link(self, outputs: Tensor) -> Tensor:
        """Softmax."""
        return torch.softmax(outputs, dim=-1)

    def prediction_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Mean over clips; what is impossible costs 100 at most."""
        return F.nll_loss(predictions.log().clamp(min=-100), targets.argmax(dim=1))

    def votes(self, outputs: NDArray[np.float32]) -> NDArray[np.bool_]:
        """The class of the highest output."""
        return np.asarray(outputs == outputs.max(axis=-1, keepdims=True))

    def for_mixtures(self) -> Objective:
        """Cross entropy of shares of classes."""
        return _SharesOfClasses()


class _SharesOfClasses(_Classes):
    """The same for targets that are shares of several classes."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over examples."""
        return F.cross_entropy(outputs, targets)


class _EachClass(_Classes):
    """Binary cross entropy of each class (sigmoid), as if it were a tag; mean over examples and classes."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over examples and classes."""
        return F.binary_cross_entropy_with_logits(outputs, targets)

    def residual_(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Overwrites `outputs`."""
        return outputs.sigmoid_().sub_(targets).div_(len(targets) * targets.shape[-1])

    def link(self, outputs: Tensor) -> Tensor:
        """Sigmoid; the probabilities of an example need not add up to one."""
        return torch.sigmoid(outputs)

    def prediction_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Mean over clips and classes."""
        return F.binary_cross_entropy(predictions, targets.to(predictions.dtype))

    def for_mixtures(self) -> Objective:
        """Stay as it is."""
        return self


class _Distributions(_Classes):
    """Kullback-Leibler divergence of the predicted distribution (softmax) from the true one; mean over examples.

    Its gradient is that of the cross entropy: the two differ by the targets' own entropy.
    """

    def targets(self, labels: NDArray[np.generic], outputs: int) -> NDArray[np.float32]:
        """Shares of the classes."""
        del outputs
        return labels.astype(np.float32)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over examples."""
        return F.kl_div(F.log_softmax(outputs, dim=-1), targets, reduction="batchmean")

    def prediction_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Mean over clips."""
        return F.kl_div(predictions.log().clamp(min=-100), targets.to(predictions.dtype), reduction="batchmean")

    def for_mixtures(self) -> Objective:
        """Stay as it is."""
        return self


class _Values(Objective):
    """Squared error; mean over examples and columns."""

    scalable = True

    def targets(self, labels: NDArray[np.generic], outputs: int) -> NDArray[np.float32]:
        """The values."""
        del outputs
        return labels.astype(np.float32)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over examples and columns."""
        return F.mse_loss(outputs, targets)

    def residual_(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Overwrites `outputs`."""
        return outputs.sub_(targets).mul_(2 / (len(targets) * targets.shape[-1]))

    def link(self, outputs: Tensor) -> Tensor:
        """Outputs are values."""
        return outputs

    def prediction_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Mean over clips and columns."""
        return F.mse_loss(predictions, targets.to(predictions.dtype))


#: What each kind of labels is trained by. Interactions are factorised (`probes.factorisation`), events have nothing.
OBJECTIVES: Mapping[Kind, Objective] = {
    "multilabel": _Tags(),
    "multiclass": _Classes(),
    "regression": _Values(),
    "distribution": _Distributions(),
}


def objective_of(kind: Kind, loss: Loss = "labels") -> Objective:
    """What a kind of labels is trained by.

    Raises
    ------
    ValueError
        If there is nothing, or the loss is of another kind.
    """
    check_served(kind)
    check_loss(loss, kind)
    return _EachClass() if loss == "binary" and kind == "multiclass" else OBJECTIVES[kind]
