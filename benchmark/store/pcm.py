"""Decoded audio of a dataset: one memory-mapped file of int16 samples and a line for each clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = "pcm.int16"
CLIPS = "clips.jsonl"
PROBLEMS = "problems.jsonl"


@dataclass(frozen=True, slots=True)
class PcmClip:
    """Where a clip lies in the file of samples, and what its dataset says of it.

    `start` and `samples` count samples; `digest` is a hash of them, `content` one of the file that they were decoded
    from, empty if it is not known; the other fields are those of `tasks.base.Clip`.
    """

    id: str
    path: str
    split: str | None
    artist: str
    album: str
    recording: str
    start: int
    samples: int
    digest: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be used, or that was used though something is odd about it."""

    id: str
    path: str
    reason: str
    used: bool
    known: bool


@dataclass(frozen=True)
class Pcm:
    """Prepared audio, opened for reading.

    Attributes
    ----------
    samples : ndarray of int16, shape [all samples]
        Memory map of all clips, one behind the other.
    clips
        One for each clip that could be decoded, in dataset order.
    problems
        What could not be decoded, or was odd.
    sample_rate : int
        [Hz]
    """

    samples: NDArray[np.int16]
    clips: tuple[PcmClip, ...]
    problems: tuple[Problem, ...]
    sample_rate: int

    def waveform(self, clip: PcmClip) -> NDArray[np.int16]:
        """Samples of one clip; a view, nothing is read before it is used."""
        return self.samples[clip.start : clip.start + clip.samples]


def open_pcm(folder: Path, manifest: Mapping[str, Any]) -> Pcm:
    """Open what the prepare step left in `folder`."""
    samples = folder / SAMPLES
    empty = samples.stat().st_size == 0
    return Pcm(
        samples=np.empty(0, np.int16) if empty else np.memmap(samples, dtype=np.int16, mode="r"),
        clips=tuple(PcmClip(**row) for row in read_lines(folder / CLIPS)),
        problems=tuple(Problem(**row) for row in read_lines(folder / PROBLEMS)),
        sample_rate=int(manifest["spec"]["sample_rate"]),
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_lines(path: Path, rows: list[Any]) -> None:
    """Write dataclass instances as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
