"""A protocol's factorisation of plays: users' taste, and the features that tell how it meets new clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.catalogue import places
from probes.factorisation import Factors, Penalties, factorise, objective, start
from probes.protocol import Factorisation, Protocol
from probes.readouts.base import Advance, Examples, ProbeTask
from probes.readouts.judgement import finite, highest
from probes.sweep import standardisation


@dataclass(frozen=True)
class FittedFactors:
    """The factors that were best on validation.

    `mean` and `factor` [D] standardise features; they are 0 and 1 where those come standardised.
    """

    factors: Factors
    mean: NDArray[np.float32]
    factor: NDArray[np.float32]
    selection: dict[str, Any]

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Scores of users [clips, users] by the content of each clip, whether its plays are known or not."""
        return self.factors.scores((examples.features - self.mean) * self.factor).astype(np.float32)


class FactorisationReadout:
    """Alternating least squares with every setting, of which the best on validation is kept; see `factorisation`."""

    def __init__(self, protocol: Protocol, numbers: Factorisation) -> None:
        self._protocol, self._numbers = protocol, numbers

    def fit(
        self, train: Examples, valid: Examples, task: ProbeTask, seed: int, device: str, advance: Advance
    ) -> FittedFactors:
        """Fit to what is labelled; see `probes.readouts.base.Readout`."""
        return self.fit_seeing(train, valid, None, task, seed, device, advance)

    def fit_seeing(
        self,
        train: Examples,
        valid: Examples,
        test: Examples | None,
        task: ProbeTask,
        seed: int,
        device: str,
        advance: Advance,
    ) -> FittedFactors:
        """The same; features of the `test` clips are used where the numbers say `released: true`, and only there.

        Raises
        ------
        ValueError
            If nobody plays a training clip.
        """
        del device
        plays, features = train.labels, train.features
        if not self._protocol.validates:
            plays = _stack(plays, valid.labels)
            features = np.concatenate([features, valid.features])
        if not plays.nnz:
            raise ValueError("nobody plays any of the training clips: there is nothing to learn users' taste from")
        if self._numbers.released and test is not None:
            plays = _stack(plays, None, len(test.features))
            features = np.concatenate([features, test.features])
        width = features.shape[1]
        mean, factor = np.zeros(width, dtype=np.float32), np.ones(width, dtype=np.float32)
        if self._protocol.standardise:
            mean, factor = (part.numpy() for part in standardisation(features))
            features = (features - mean) * factor

        fits, values = [], []
        settings = self._numbers.settings()
        for setting in settings:
            advance(1)
            found = factorise(
                plays,
                features,
                _penalties(setting),
                start(len(features), width, setting["factors"], seed),
                self._numbers.rounds,
                self._numbers.released,
            )
            fits.append(FittedFactors(found, mean, factor, {}))
            if self._protocol.validates:
                ranked = places(fits[-1].predict(valid), fits[-1].predict(train), train.labels)
                values.append(task.metric(valid.labels, ranked))
        chosen = highest(values) if values else 0
        selection = {
            "by": task.metric_name if values else None,
            "value": finite(values[chosen]) if values else None,
            "configurations": len(settings),
            "chosen": settings[chosen],
            "values": [finite(value) for value in values],
            "objective": objective(plays, features, _penalties(settings[chosen]), fits[chosen].factors),
            "users_without_training_plays": int(task.outputs - len(np.unique(plays.indices))),
        }
        return FittedFactors(fits[chosen].factors, mean, factor, selection)


def _penalties(setting: dict[str, Any]) -> Penalties:
    return Penalties(setting["confidence"], setting["user_ridge"], setting["clip_ridge"], setting["content_ridge"])


def _stack(plays: Any, others: Any, empty: int = 0) -> Any:
    """Plays of more clips below `plays`: those of `others`, or of `empty` clips that nobody plays."""
    from scipy.sparse import csr_array, vstack

    below = csr_array((empty, plays.shape[1])) if others is None else others
    return csr_array(vstack([plays, below]))
