"""A document for tests of the page of `bench look`: two tasks, two features, made of numbers and tones."""

from __future__ import annotations

import numpy as np

from analysis.visualisation.document import ExcitingClips, FactorAnalysis, FactorEnd, LookDocument, SeenTask
from benchmark.visualisation.activations import activation_profile
from benchmark.visualisation.audio_clips import data_uri, faded, ogg
from benchmark.visualisation.filters import FilterSpectra

RATE = 22_050


def tone(hertz: float, seconds: float = 3.0) -> np.ndarray:
    """int16 samples of a sine."""
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def make_document(*, audio: bool = False, name: str = "tune_plus") -> LookDocument:
    """As `benchmark.visualisation.document.collect` gives it; `name` stands wherever a user may name something."""
    rng = np.random.default_rng(0)
    return {
        "schema_version": 1, "kind": "look",
        "created": "2026-01-01T00:00:00+00:00", "bench": "0.1.0", "command": f"bench look {name}",
        "shown": {
            "encoder": name, "recipe": "demo", "changes": {"pairs": "24"}, "corpus": "magnatagatune",
            "corpus_dataset": "magnatagatune", "seed": 0, "dim": 16, "weights": "0123456789abcdef" * 4,
            "pretrained": True, "descriptions": {"encoders": "", "recipes": "short", "corpora": ""},
        },
        "tasks": [_task("mtt", "magnatagatune", "in", rng, name), _task("gtzan", "gtzan", "out", rng, name)],
        "features": [
            {
                "feature": feature, "why": "labels separate it",
                "tasks": [_excited(task, feature, audio, name) for task in ("mtt", "gtzan")],
            }
            for feature in (3, 11)
        ],
        "filters": [_spectra("conv_1", rng).as_document(), _spectra("conv_4", rng).as_document()],
        "no_filters": "",
        "audio": audio,
    }  # fmt: skip


def _task(task: str, dataset: str, domain: str, rng: np.random.Generator, name: str) -> SeenTask:
    names = ["rock", name]
    rows = rng.standard_normal((60, 16)).astype(np.float32)
    classes = np.arange(30) % 2
    points = {
        "x": rng.normal(size=20).tolist(), "y": rng.normal(size=20).tolist(), "label": classes[:20].tolist(),
        "labels": names, "neighbours": 0.6, "chance": 0.5,
    }  # fmt: skip
    return {
        "name": task, "description": "two genres", "dataset": dataset, "licence": f"licence of {dataset}",
        "standin": task == "gtzan", "domain": domain, "clips": 30, "windows": 60, "clip_map": points,
        "window_map": {**points, "neighbours": 0.7},
        "item_map": {**points, "labels": [name, "another song"]},
        "activations": activation_profile(rows, np.arange(0, 61, 2), classes, names).as_document(),
        "curves": np.sort(rng.normal(size=(16, 9)))[:, ::-1].tolist(),
        "excited_labels": {
            "windows": 100, "labels": names, "share": [0.5, 0.25], "counts": rng.integers(0, 100, (16, 2)).tolist()
        },
        "factors": _factors(task, name) if task == "mtt" else None,
    }  # fmt: skip


def _factors(task: str, name: str) -> FactorAnalysis:
    def end(sign: int) -> FactorEnd:
        clips = [{"clip": str(place), "path": f"{task}/{place} {name}.mp3", "score": sign * (3.0 - place),
                  "labels": [name], "audio": ""} for place in range(2)]  # fmt: skip
        return {"clips": clips, "prevalent": [{"label": name, "count": 5, "share": 0.2}]}

    return {
        "clips": 12, "features": 16, "converged": True,
        "factors": [
            {"share": 0.4, "features": [3, 1], "loadings": [0.9, -0.4], "level_correlation": 0.82, "loudness": True,
             "high": end(1), "low": end(-1)},
            {"share": 0.1, "features": [2, 7], "loadings": [0.7, 0.1], "level_correlation": None, "loudness": False,
             "high": end(1), "low": end(-1)},
        ],
    }  # fmt: skip


def _excited(task: str, feature: int, audio: bool, name: str) -> ExcitingClips:
    clips = [
        {
            "clip": str(number), "path": f"{task}/{feature}/{number} {name}.mp3", "second": 2.5,
            "activation": 3.0 - number, "deviation": 2.0 - number, "split": "test", "labels": [name, "loud"],
            "audio": data_uri(ogg(faded(tone(220 * (number + 1)), RATE), RATE)) if audio else "",
            "audio_seconds": (2.0, 5.0) if audio else None,
        }
        for number in range(3)
    ]  # fmt: skip
    return {"task": task, "clips": clips, "prevalent": [{"label": name, "count": 3, "share": 0.5}]}


def _spectra(layer: str, rng: np.random.Generator) -> FilterSpectra:
    hertz = np.linspace(20.0, 11_025.0, 64)
    peaks = np.sort(rng.uniform(100, 10_000, 5))
    magnitude = np.maximum(-((hertz[None, :] - peaks[:, None]) ** 2) / 2e5, -80.0)
    return FilterSpectra(layer, np.arange(5), hertz, magnitude, peaks, np.zeros(5), np.ones(5))
