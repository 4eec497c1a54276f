"""Test clips of a task with their audio deformed, in the layout of decoded audio."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.console import Reporter
from benchmark.encoding.planned import INT16, planned_audio
from benchmark.store.file_names import TEST_CLIPS
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, PcmClip, open_pcm, read_lines, write_lines
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `pcm.int16`, `clips.jsonl` and an empty `problems.jsonl` in `work`; starts afresh if interrupted."""
    pcm = open_pcm(inputs["pcm"].path, inputs["pcm"].manifest)
    from benchmark.audio.deformations import deform

    clips = [PcmClip(**row) for row in read_lines(inputs["labels"] / TEST_CLIPS)]
    start = 0
    deformed = []
    with (work / SAMPLES).open("wb") as file, reporter.progress(step.title, len(clips), "clips") as advance:
        for clip in clips:
            sound = deform(pcm.waveform(clip), pcm.sample_rate, step.spec["name"], step.spec["strength"], clip.id)
            file.write(sound.tobytes())
            digest = hashlib.blake2b(sound.tobytes(), digest_size=16).hexdigest()
            deformed.append(replace(clip, start=start, samples=len(sound), digest=digest))
            start += len(sound)
            advance(1)
    write_lines(work / CLIPS, deformed)
    write_lines(work / PROBLEMS, [])
    return {"clips": len(deformed), "seconds": round(start / pcm.sample_rate, 1)}


def _extent(step: Step) -> Extent:
    clips, seconds = planned_audio(step.needs["pcm"])
    return Extent(f"test clips among {clips:,}", int(seconds * step.spec["sample_rate"]) * INT16)


def _libraries(step: Step) -> tuple[str, ...]:
    del step
    return ("soundfile", "soxr", "scipy.signal")


KIND = StepKind("deform", 1, Stage.WORK, compute, _extent, _libraries)
