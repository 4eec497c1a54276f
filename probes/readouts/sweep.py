"""A sweep of networks: every combination of a protocol's lists is trained, the best on validation predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.decisions import decide
from probes.kinds import Kind
from probes.objectives import objective_of
from probes.protocol import Decision, Loss, Protocol
from probes.readouts.base import Advance, Examples, ProbeTask
from probes.readouts.judgement import Judgement, Units, finite, highest
from probes.sweep import Network, train_seeds


@dataclass(frozen=True)
class FittedNetwork:
    """The chosen network, and how its outputs become predictions."""

    network: Network
    kind: Kind
    units: Units
    decision: Decision
    selection: dict[str, Any]
    loss: Loss = "labels"

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Probabilities or values [clips, outputs]."""
        outputs = self.units.out_of(self.network.outputs(examples.features))
        return decide(outputs, examples.first, self.kind, self.decision, self.loss)


class SweepReadout:
    """The networks of a protocol; see `probes.sweep`, which trains all seeds and combinations together."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def fit(
        self, train: Examples, valid: Examples, task: ProbeTask, seed: int, device: str, advance: Advance
    ) -> FittedNetwork:
        """Train with one seed; see `probes.readouts.base.Readout`."""
        return self.fit_seeds(train, valid, task, (seed,), device, advance)[0]

    def fit_seeds(
        self, train: Examples, valid: Examples, task: ProbeTask, seeds: Sequence[int], device: str, advance: Advance
    ) -> list[FittedNetwork]:
        """Train with every seed; see `probes.readouts.base.Repeating`."""
        protocol, objective = self._protocol, objective_of(task.kind, self._protocol.loss)
        features, labels = train.features, train.example_labels
        if not protocol.validates:
            features = np.concatenate([features, valid.features])
            labels = np.concatenate([labels, valid.example_labels])
        units = Units.of(labels, protocol.standardise_targets and objective.scalable)
        judgement = Judgement(protocol, task, valid, units)
        sweeps = train_seeds(
            features,
            units.into(objective.targets(labels, task.outputs)),
            valid.features if protocol.validates else None,
            judgement.judge(device) if protocol.validates else None,
            task.kind,
            protocol.members(sum(one.rows.shape[1] for one in train.windows)),
            protocol,
            seeds,
            device,
            advance,
        )
        return [self._chosen(networks, judgement, task, units, valid) for networks in sweeps]

    def _chosen(
        self, networks: Sequence[Network], judgement: Judgement, task: ProbeTask, units: Units, valid: Examples
    ) -> FittedNetwork:
        protocol = self._protocol
        values = [network.kept if protocol.keep == "best" else network.last for network in networks]
        chosen = highest(values) if protocol.validates else 0
        network = networks[chosen]
        decision = protocol.decision
        if decision == "best":
            decision = judgement.decision(units.out_of(network.outputs(valid.features)))
        by = task.metric_name if protocol.stop_on == "metric" else "-loss"
        selection = {
            "by": by if protocol.validates else None,
            "value": finite(values[chosen]),
            "configurations": len(networks),
            "chosen": asdict(network.member),
            "evaluations": len(network.values),
            "best_evaluation": network.best + 1,
            "steps": network.steps,
            "decision": decision,
            "values": [finite(value) for value in values],
        }
        return FittedNetwork(network, task.kind, units, decision, selection, protocol.loss)
