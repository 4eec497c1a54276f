"""A task of which a representation is shown: its clips, their files and audio, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.visualisation.document import PrevalentLabel
from benchmark.engine.engine import Engine
from benchmark.registry.datasets import dataset_at
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.registry import Named
from benchmark.store.embeddings import Embeddings
from benchmark.store.pcm import Pcm, open_pcm
from benchmark.visualisation.audio_clips import Excerpts
from benchmark.visualisation.exciting import Excited
from benchmark.visualisation.stored_embeddings import TaskEmbeddings
from tasks.base import Task


@dataclass(frozen=True)
class Seen:
    """A task, with the files and the audio of its clips."""

    stored: TaskEmbeddings
    engine: Engine
    corpus: str | None

    @property
    def name(self) -> str:
        """Of the task."""
        return self.stored.run.cell.task

    @property
    def task(self) -> Task:
        """Labels and split."""
        return self.stored.task

    @property
    def coloured(self) -> Task:
        """The same clips with the labels that maps are coloured by."""
        return self.stored.coloured or self.stored.task

    @property
    def embeddings(self) -> Embeddings:
        """Of its clips' windows."""
        return self.stored.embeddings

    @property
    def dataset(self) -> Named[DatasetEntry]:
        """The entry of its dataset."""
        named: Named[DatasetEntry] = self.stored.pcm.context["dataset"]
        return named

    @property
    def domain(self) -> str:
        """Whether the encoder was trained on this dataset: ``in``, ``out``, or empty where it was not trained here."""
        if self.corpus is None:
            return ""
        return "in" if self.corpus == self.dataset.name else "out"

    @cached_property
    def excerpts(self) -> Excerpts:
        """Audio of its clips, from the store or from files."""
        step = self.stored.pcm
        rate = int(step.spec["sample_rate"])
        if self.pcm is not None:
            return Excerpts(self.pcm, None, rate)
        standin = self.engine.current(step.needs["standin"]) if self.stored.standin else None
        root: Path | None = standin.path if standin is not None else step.context.get("root")
        return Excerpts(None, None if root is None else dataset_at(self.dataset, root), rate)

    def window_seconds(self, found: Excited) -> float:
        """Length of a clip's windows [s]; infinite for a clip with one, which is heard whole."""
        at = int(np.searchsorted(self.embeddings.first, found.window, side="right")) - 1
        seconds = self.embeddings.seconds[self.embeddings.first[at] : self.embeddings.first[at + 1]]
        return float(seconds[1] - seconds[0]) if len(seconds) > 1 else float("inf")

    def labels(self, row: int) -> list[str]:
        """What a clip is, in words."""
        own, names = self.task.labels[row], self.task.label_names
        if self.task.kind == "multiclass":
            return [names[int(own[0])]]
        if self.task.kind == "multilabel":
            return [name for name, value in zip(names, own, strict=True) if value == 1]
        return [f"{name} {value:.2f}" for name, value in zip(names, own, strict=True)]

    @cached_property
    def pcm(self) -> Pcm | None:
        """Decoded audio of the dataset, if the store holds it."""
        prepared = self.engine.current(self.stored.pcm)
        return None if prepared is None else open_pcm(prepared.path, prepared.manifest)

    @property
    def songs(self) -> Mapping[str, str]:
        """The song of each clip that is known to be part of one."""
        known = self.pcm.clips if self.pcm is not None else ()
        return {
            clip.id: " ".join(filter(None, (clip.artist, clip.album, clip.recording)))
            for clip in known
            if clip.recording
        }

    def prevalent(self, clips: Sequence[int], most: int) -> list[PrevalentLabel]:
        """Labels that clips, rows of the task, have most often, and how often all have them; none of numbers."""
        labels = self.task.targets.holders()
        if labels is None:
            return []
        counts, every = labels[list(clips)].sum(axis=0), labels.mean(axis=0)
        order = np.lexsort((every, -counts))[:most]
        return [
            {"label": self.task.label_names[i], "count": int(counts[i]), "share": float(every[i])}
            for i in order.tolist()
            if counts[i]
        ]
