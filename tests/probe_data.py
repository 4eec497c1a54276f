"""Clips with features and labels for the tests of probing."""

import json
from functools import cache

import numpy as np

from benchmark.registry.registry import load_registry
from probes.protocol import Protocol
from probes.protocols import LabelledClips
from probes.readouts.base import ProbeTask
from probes.windows import Windows
from tasks.metrics import METRICS, macro


def protocol(name, **changes):
    """A protocol of the registry, with some numbers changed."""
    numbers = json.loads(load_registry([]).protocol(name).entry.model_dump_json(exclude={"source", "description"}))
    return Protocol.model_validate({**numbers, **changes}, strict=False)


def small(**changes):
    """A protocol that trains in a moment."""
    if {"estimator", "readout"} & changes.keys():
        return Protocol.model_validate({"examples": "clip_mean", "standardise": True, **changes}, strict=False)
    numbers = {
        "examples": "clip_mean",
        "standardise": True,
        "hidden": [],
        "batch": 32,
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "max_epochs": 20,
        "patience": 5,
    }
    return Protocol.model_validate({**numbers, **changes}, strict=False)


def probe_task(kind, outputs, metric):
    def value(labels, predictions):
        return float(macro(METRICS[metric](labels, predictions)))

    return ProbeTask(kind, outputs, metric, value)


@cache
def tagged_windows():
    """90 clips of two to four windows with three tags; the features of `tests/golden/protocols.json`."""
    rng = np.random.default_rng(20260101)
    sizes = rng.integers(2, 5, 90)
    first = np.concatenate([[0], np.cumsum(sizes)])
    directions = rng.normal(size=(6, 3))
    centre = rng.normal(size=(90, 6))
    labels = (centre @ directions + 0.5 * rng.normal(size=(90, 3)) > 0.5).astype(np.uint8)
    rows = np.repeat(centre, sizes, axis=0) + 0.7 * rng.normal(size=(first[-1], 6))
    rows = rows * np.array([1, 3, 0.1, 1, 10, 1]) + np.array([0, 2, 0, -1, 0, 5])
    seconds = np.concatenate([np.arange(size) * 2.5 for size in sizes])
    return Windows(rows.astype(np.float32), first, seconds, 2.5 * sizes), labels


def tagged_splits():
    """Train, valid and test of `tagged_windows`, and the test labels."""
    windows, labels = tagged_windows()

    def part(start, stop):
        return windows.take(np.arange(start, stop))

    train = LabelledClips((part(0, 50),), labels[:50])
    valid = LabelledClips((part(50, 70),), labels[50:70])
    return train, valid, (part(70, 90),), labels[70:]


def clips_of(features, labels):
    """Clips of one window each."""
    rows = np.asarray(features, dtype=np.float32)
    windows = Windows(rows, np.arange(len(rows) + 1), np.zeros(len(rows)), np.ones(len(rows)))
    return LabelledClips((windows,), np.asarray(labels))


def class_splits(seed=0, n=240, classes=4, dim=6, noise=0.8):
    """Train, valid and test clips of Gaussian classes, and the test labels [n, 1]."""
    rng = np.random.default_rng(seed)
    centres = 1.5 * np.random.default_rng(7).normal(size=(classes, dim))
    labels = rng.integers(0, classes, (n, 1))
    features = centres[labels[:, 0]] + noise * rng.normal(size=(n, dim))
    half, rest = n // 2, 3 * n // 4
    test = clips_of(features[rest:], labels[rest:])
    return (
        clips_of(features[:half], labels[:half]),
        clips_of(features[half:rest], labels[half:rest]),
        test.encoders,
        labels[rest:],
    )
