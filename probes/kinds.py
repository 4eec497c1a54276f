"""Kinds of labels, and what each can be served by, as far as that is known before anything is trained.

Apart from `probes.objectives`, so that a plan is made without the seconds that importing PyTorch takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: As in `tasks.targets`, which probes must not know.
Kind = Literal["multilabel", "multiclass", "regression", "distribution", "interactions", "events"]
#: A tag of which nobody knows whether a clip has it.
UNKNOWN = -1


@dataclass(frozen=True)
class Service:
    """What can be asked of labels of a kind.

    Attributes
    ----------
    estimators
        Estimators of scikit-learn that can learn them.
    votes
        Whether a clip's examples can vote: whether one label excludes the others.
    """

    estimators: tuple[str, ...]
    votes: bool = False


#: What networks, estimators and neighbours can serve; anything else needs a readout of its own.
SERVED: Mapping[Kind, Service] = {
    "multilabel": Service(("logistic", "ridge", "knn", "svm")),
    "multiclass": Service(("logistic", "ridge", "knn", "svm"), votes=True),
    "regression": Service(("ridge", "knn", "svm")),
    "distribution": Service(()),
}
#: What `readout: {kind: factorisation}` serves.
FACTORISED: Kind = "interactions"
#: What would have to be there to predict the other kinds.
_MISSING: Mapping[Kind, str] = {
    "interactions": "a factorisation of users and clips; take the protocol kim-wmf, another one with "
    "`readout: {kind: factorisation}`, or a readout of one's own",
    "events": "a probe of frames, for a prediction is one row of numbers a clip so far",
}


def check_served(kind: Kind, own_readout: bool = False, factorisation: bool = False) -> None:
    """Raise `ValueError` if labels of a kind can be predicted by nothing that there is.

    Parameters
    ----------
    kind
        Of the labels.
    own_readout
        Whether the protocol names a readout that is not bench's own, which may predict any row of numbers a clip.
    factorisation
        Whether the protocol's readout is a factorisation of plays.
    """
    if factorisation:
        if kind != FACTORISED:
            raise ValueError(f"a factorisation predicts what users play, and these labels are {kind}")
        return
    if kind not in SERVED and not (own_readout and kind != "events"):
        raise ValueError(f"no network, estimator or neighbour predicts {kind}: what is missing is {_MISSING[kind]}")


def check_decision(decision: str, kind: Kind) -> None:
    """Raise `ValueError` if a clip's examples are to vote on labels that cannot be voted on."""
    if decision in ("vote", "best") and not (kind in SERVED and SERVED[kind].votes):
        raise ValueError(f"the decision {decision} needs a task of classes, and this one is {kind}")


def check_loss(loss: str, kind: Kind) -> None:
    """Raise `ValueError` if labels of a kind are no classes or tags, and are to be trained by binary cross entropy."""
    if loss == "binary" and kind not in ("multilabel", "multiclass"):
        raise ValueError(f"the loss {loss} needs a task of classes or tags, and this one is {kind}")
