"""A corpus of short files, the step that decodes it, and a reporter that keeps what it is told."""

from __future__ import annotations

from pathlib import Path

import soundfile
from conftest import tone

from benchmark.console import Reporter
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.registry import Named
from benchmark.steps import KINDS
from benchmark.store.store import Store

RATE = 16_000


class Told(Reporter):
    """Keeps what it is told, and does what it is to do when a number of clips is written."""

    def __init__(self, after: int = 0, act=lambda: None):
        super().__init__()
        self.lines: list[str] = []
        self._after, self._act = after, act

    def say(self, text):
        self.lines.append(text)

    def progress(self, title, total, unit, done=0):
        from contextlib import nullcontext

        if title.startswith("see whether"):
            return nullcontext(lambda n: None)
        self.lines.append(f"from {done}")

        def advance(_):
            self._after -= 1
            if self._after == 0:
                self._act()

        return nullcontext(advance)


def ten_files(place: Path) -> Path:
    """A folder of ten short files."""
    root = place / "music"
    root.mkdir()
    for n in range(10):
        soundfile.write(root / f"{n}.wav", tone(1.1 + 0.1 * n, RATE, n), RATE)
    return root


def planned(root: Path, store: Store):
    """The step that decodes a folder as it is now."""
    entry = DatasetEntry.model_validate({"class": "tasks.folder:AudioFolder"})
    named = Named("music", entry, Path("r"), 1)
    from benchmark.registry.datasets import contents, dataset_at

    clips = contents(dataset_at(named, root), store, Told()).clips
    context = {"dataset": named, "root": root, "store": store.root}
    return KINDS["prepare"].step({"clips": clips, "sample_rate": RATE}, {}, "decode", context)


def samples_of(work: Path) -> bytes:
    return (work / "pcm.int16").read_bytes()
