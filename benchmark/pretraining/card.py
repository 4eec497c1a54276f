"""The card that goes with trained weights: what they are, what they were trained on, and by what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.environment import versions
from benchmark.store.pcm import Pcm, PcmClip
from benchmark.store.step import Step
from benchmark.store.store import Artifact, digest_of

CARD = "card.json"
READABLE = "card.md"


def write_card(
    step: Step,
    inputs: Mapping[str, Artifact],
    corpus: Sequence[PcmClip],
    pcm: Pcm,
    facts: Mapping[str, Any],
    work: Path,
) -> None:
    """Leave `card.json` and `card.md` in `work`.

    Parameters
    ----------
    step, inputs
        The training.
    corpus
        Clips that it was trained on.
    pcm
        The dataset that they are from.
    facts
        What the training says of itself; nothing that differs from one time to the next.
    work
        Folder to write into.
    """
    before = _earlier(inputs["start"])
    splits = Counter(clip.split or "none" for clip in corpus)
    seen = {clip.digest for clip in corpus}
    card = {
        **step.context["names"],
        "spec": step.spec,
        **({"started_from": before} if before else {}),
        "corpus_key": inputs["pcm"].manifest["key"],
        "corpus_digest": inputs["pcm"].digest,
        "clips": {
            "fingerprint": digest_of(sorted(seen)),
            "hours": round(sum(clip.samples for clip in corpus) / pcm.sample_rate / 3600, 3),
            "by_split": dict(sorted(splits.items())),
            # Of the dataset's own division; every score record counts the overlap with its own test clips.
            "test_clips_seen": sum(clip.digest in seen for clip in pcm.clips if clip.split == "test"),
        },
        "training": facts,
        "versions": versions(),
    }
    (work / CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")
    (work / READABLE).write_text(_readable(card), encoding="utf-8")


def _earlier(start: Artifact) -> dict[str, Any] | None:
    """What the card beside the weights that a training started from says of theirs; ``None`` of initial weights."""
    if not (start / CARD).exists():
        return None
    card = json.loads((start / CARD).read_text(encoding="utf-8"))
    kept = ("corpus", "task", "recipe", "spec", "corpus_key", "corpus_digest", "clips", "started_from")
    return {name: card[name] for name in kept if name in card}


def _course(card: Mapping[str, Any]) -> str:
    """E.g. ``mtt by recipe tune, then on gtzan by recipe supervised``."""
    own = f"{card.get('corpus') or card.get('task')} by recipe {card['recipe']}"
    return f"{_course(card['started_from'])}, then on {own}" if "started_from" in card else own


def _readable(card: Mapping[str, Any]) -> str:
    clips, training, recipe = card["clips"], card["training"], card["spec"]["recipe"]
    lines = [
        f"# {card['encoder']}, trained on {_course(card)}",
        "",
        f"{training['parameters']:,} parameters without head or projector; a representation has {training['dim']} "
        f"numbers. Seed {card['spec']['seed']}.",
        "",
        "## Trained on",
        "",
        f"{sum(clips['by_split'].values()):,} clips, {clips['hours']:,} hours, from "
        + ", ".join(f"{split}: {count:,}" for split, count in clips["by_split"].items())
        + f". Test clips of the dataset's own division among them: {clips['test_clips_seen']:,}. "
        f"Fingerprint `{clips['fingerprint'][:16]}`, decoded audio `{card['corpus_digest'][:16]}`.",
        "",
        "## Recipe",
        "",
        *_rows(recipe),
        "",
        "## What the training says of itself",
        "",
        *_rows(training),
        "",
        "## Computed with",
        "",
        *_rows(card["versions"]),
    ]
    return "\n".join(lines) + "\n"


def _rows(values: Mapping[str, Any]) -> list[str]:
    return ["| | |", "| --- | --- |", *(f"| {key} | {json.dumps(value)} |" for key, value in values.items())]
