"""Readouts: from representations to predictions. A file for each, and here the rule by which a protocol finds its own.

==========================  ===================================================
in a protocol               its readout
==========================  ===================================================
numbers of a network        `probes.readouts.sweep.SweepReadout`
``estimator: {...}``        `probes.readouts.estimators.EstimatorReadout`
``readout: {kind: ...}``    `probes.readouts.nearest.NearestReadout`, `probes.readouts.factors.FactorisationReadout`
``readout: {class: ...}``   one's own, see `probes.readouts.base`
==========================  ===================================================

An encoder that was trained end to end has a readout already, `probes.readouts.head.Head`.
"""
