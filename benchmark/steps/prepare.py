"""Decode a dataset once: int16 mono at one sample rate, one file, one line a clip, and a list of what is wrong.

Worker processes decode; this process writes, in dataset order, and keeps a journal, so that an interrupted
preparation goes on where it stopped and memory stays flat.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmark.audio import Undecodable, decode, silence_decoders
from benchmark.console import Reporter
from benchmark.engine import workers
from benchmark.pcm import CLIPS, PROBLEMS, SAMPLES, PcmClip, Problem, write_lines
from benchmark.plan import Step
from benchmark.sources import load_class
from benchmark.store import Artifact
from tasks.base import Clip, Dataset

JOURNAL = "journal.jsonl"
#: Decoded clips that wait for their turn to be written, per worker.
AHEAD = 4


@dataclass(frozen=True)
class _Outcome:
    pcm: bytes = b""
    remark: str = ""
    failure: str = ""


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `pcm.int16`, `clips.jsonl` and `problems.jsonl` in `work`."""
    root = inputs["standin"].path if "standin" in inputs else step.context["root"]
    dataset: Dataset = load_class(step.context["dataset"])(root)
    clips = list(dataset.clips())
    journal, samples = work / JOURNAL, work / SAMPLES
    done = _resume(journal, samples)
    with (
        samples.open("ab") as sound,
        journal.open("a", encoding="utf-8") as notes,
        reporter.progress(step.title, len(clips), "clips", len(done)) as advance,
    ):
        start = samples.stat().st_size // 2
        rest = clips[len(done) :]
        for clip, outcome in zip(rest, _decode_all(dataset.root, rest, step.spec["sample_rate"]), strict=True):
            sound.write(outcome.pcm)
            sound.flush()
            entry = _entry(clip, outcome, start, known=clip.path in dataset.KNOWN_BAD)
            notes.write(json.dumps(entry, ensure_ascii=False) + "\n")
            notes.flush()
            done.append(entry)
            start += len(outcome.pcm) // 2
            advance(1)
    found = [PcmClip(**entry["clip"]) for entry in done if entry["clip"]]
    problems = [Problem(**entry["problem"]) for entry in done if entry["problem"]]
    write_lines(work / CLIPS, found)
    write_lines(work / PROBLEMS, problems)
    journal.unlink()
    _report(problems, reporter)
    return {
        "clips": len(found),
        "seconds": round(start / step.spec["sample_rate"], 1),
        "unusable": sum(not problem.used for problem in problems),
        "odd": sum(problem.used for problem in problems),
    }


def _entry(clip: Clip, outcome: _Outcome, start: int, known: bool) -> dict[str, Any]:
    problem = outcome.failure or outcome.remark
    return {
        "clip": None
        if outcome.failure
        else asdict(
            PcmClip(
                id=clip.id,
                path=clip.path,
                split=clip.split,
                artist=clip.artist,
                album=clip.album,
                recording=clip.recording,
                start=start,
                samples=len(outcome.pcm) // 2,
                digest=hashlib.blake2b(outcome.pcm, digest_size=16).hexdigest(),
            )
        ),
        "problem": asdict(Problem(clip.id, clip.path, problem, used=not outcome.failure, known=known))
        if problem
        else None,
    }


def _resume(journal: Path, samples: Path) -> list[dict[str, Any]]:
    """Entries that an interrupted attempt finished; cuts off what it had only half written."""
    samples.touch()
    size = samples.stat().st_size
    entries: list[dict[str, Any]] = []
    end = 0
    if journal.exists():
        for line in journal.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            after = 2 * (entry["clip"]["start"] + entry["clip"]["samples"]) if entry["clip"] else end
            if after > size:
                break
            entries.append(entry)
            end = after
    with samples.open("r+b") as file:
        file.truncate(end)
    journal.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    return entries


def _decode_all(root: Path, clips: Sequence[Clip], sample_rate: int) -> Iterator[_Outcome]:
    """Outcome of every clip, in order, with a bounded number decoded ahead."""
    jobs = iter(clips)
    pool = _pool(workers())
    pending: deque[tuple[Clip, Future[_Outcome]]] = deque()
    try:
        while True:
            while len(pending) < AHEAD * workers() and (clip := next(jobs, None)) is not None:
                try:
                    pending.append((clip, pool.submit(_decode_one, root, clip, sample_rate)))
                except BrokenProcessPool:
                    pool = _pool(workers())
                    pending.append((clip, pool.submit(_decode_one, root, clip, sample_rate)))
            if not pending:
                return
            clip, future = pending.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                yield _decode_alone(root, clip, sample_rate)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode_alone(root: Path, clip: Clip, sample_rate: int) -> _Outcome:
    """Decode in a process of its own, to tell the file that crashes a decoder from those decoded beside it."""
    with _pool(1) as pool:
        try:
            return pool.submit(_decode_one, root, clip, sample_rate).result()
        except BrokenProcessPool:
            return _Outcome(failure="crashes the decoder")


def _pool(size: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(size, mp_context=get_context("spawn"), initializer=silence_decoders)


def _decode_one(root: Path, clip: Clip, sample_rate: int) -> _Outcome:
    try:
        decoded = decode(root / clip.path, sample_rate, clip.seconds)
    except Undecodable as error:
        return _Outcome(failure=str(error))
    return _Outcome(pcm=decoded.pcm.tobytes(), remark=decoded.remark)


def _report(problems: Sequence[Problem], reporter: Reporter, shown: int = 20) -> None:
    surprising = [problem for problem in problems if not problem.known and problem.reason != "missing"]
    for problem in surprising[:shown]:
        reporter.say(f"  {problem.path}: {problem.reason}{'; used' if problem.used else '; left out'}")
    if len(surprising) > shown:
        reporter.say(f"  and {len(surprising) - shown} more, all in {PROBLEMS} of this step")
    missing = sum(problem.reason == "missing" for problem in problems)
    known = sum(problem.known for problem in problems)
    if missing:
        reporter.say(f"  {missing} clips are missing")
    if known:
        reporter.say(f"  {known} files are known to be broken in every copy")
