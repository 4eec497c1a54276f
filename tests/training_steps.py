"""Pretraining steps on a small corpus of tones, without a command line around them."""

import json
from pathlib import Path

import numpy as np
from conftest import tone

from benchmark.encoding.windows import build_encoder
from benchmark.registry.entries import EncoderEntry, numbers
from benchmark.registry.methods import ContrastiveRecipe
from benchmark.registry.registry import Named, load_registry
from benchmark.steps import KINDS
from benchmark.store.file_names import WEIGHTS
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, PcmClip, write_lines
from benchmark.store.step import Step
from benchmark.store.store import Artifact
from encoders.weights import save_weights

RATE = 22_050
#: As `tune`, small.
RECIPE = {"epochs": 2, "batch": 4, "learning_rate": 1e-2, "projector": {"kind": "mlp", "dim": 6}}


class Quiet:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def progress(self, title, total, unit, done=0):
        from contextlib import nullcontext

        self.lines.append(f"{title}: from {done}")
        return nullcontext(lambda n: None)


def corpus(count=12, window=2187):
    """Clips of tones, two a song, three splits, one behind the other."""
    clips, parts, start = [], [], 0
    for n in range(count):
        samples = (tone((window + 400 * (1 + n)) / RATE, RATE, n) * 20_000).astype(np.int16)
        split = "valid" if n % 6 == 5 else "train"
        clips.append(PcmClip(f"{n}", f"{n}.mp3", split, "a", "b", f"song {n // 2}", start, len(samples), f"d{n}"))
        parts.append(samples)
        start += len(samples)
    return np.concatenate(parts), clips


def recipe(**changes):
    entry = load_registry().recipe("tune").entry.model_dump(mode="json")
    entry = ContrastiveRecipe.model_validate(entry | RECIPE | changes, strict=False)
    return numbers(entry)


def plain(name="Plain", **args):
    entry = EncoderEntry.model_validate({"class": f"plain_encoder:{name}", "args": args})
    return Named("plain", entry, Path(__file__).with_name("registry.yaml"), 1)


def inputs(folder: Path, encoder: Named, seed=0):
    """Artifacts that a training step takes: audio, and an encoder to start from."""
    pcm, start = folder / "pcm", folder / "start"
    if not pcm.exists():
        pcm.mkdir(parents=True)
        start.mkdir()
        samples, clips = corpus()
        samples.tofile(pcm / SAMPLES)
        write_lines(pcm / CLIPS, clips)
        write_lines(pcm / PROBLEMS, [])
        save_weights(build_encoder(encoder, seed), start / WEIGHTS)
    return {
        "pcm": Artifact(pcm, {"spec": {"sample_rate": RATE}, "key": "p", "digest": "pcm", "lineage": {}}),
        "start": Artifact(start, {"key": "s", "digest": "start", "lineage": {}}),
    }


def pretrain_step(encoder: Named, context=None, spec=None, **changes) -> Step:
    names = {"encoder": encoder.name, "corpus": "tones", "recipe": "tests"}
    return KINDS["pretrain"].step(
        {"recipe": recipe(**changes), "splits": ["train"], "seed": 0, **(spec or {})},
        {},
        "pretrain plain",
        {"encoder": encoder, "names": names, "precision": "32-true", **(context or {})},
    )


def finish(step: Step, taken: dict, folder: Path, facts: dict) -> Artifact:
    """The artifact that the engine would make of a folder."""
    needs = {name: {"kind": name, "key": artifact.manifest["key"]} for name, artifact in taken.items()}
    files = {path.name: {"bytes": path.stat().st_size} for path in folder.iterdir()}
    key = step.of.key(step.spec, {n: need["key"] for n, need in needs.items()})
    manifest = {
        "key": key,
        "spec": json.loads(json.dumps(step.spec)),
        "needs": needs,
        "inputs": {name: artifact.digest for name, artifact in taken.items()},
        "facts": facts,
        "files": files,
        "digest": "d",
    }
    return Artifact(folder, manifest)
