"""Decode a dataset once: int16 mono at one sample rate, one file, one line a clip, and a list of what is wrong.

Worker processes decode; this process writes, in dataset order, and keeps a journal, so that an interrupted
preparation goes on where it stopped and memory stays flat.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmark.audio.decoding import Undecodable, decode, silence_decoders
from benchmark.audio.unused_files import NAMED, by_kind
from benchmark.console import Reporter
from benchmark.encoding.planned import INT16, planned_audio
from benchmark.environment import workers
from benchmark.errors import UserError
from benchmark.libraries import library_errors
from benchmark.registry.datasets import contents, dataset_at
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, PcmClip, Problem, read_lines, write_lines
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import Artifact, Store, digest_of
from tasks.base import Clip

JOURNAL = "journal.jsonl"
#: Decoded clips that wait for their turn to be written, per worker.
AHEAD = 4


@dataclass(frozen=True)
class _Outcome:
    pcm: bytes = b""
    digest: str = ""
    remark: str = ""
    failure: str = ""


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `pcm.int16`, `clips.jsonl` and `problems.jsonl` in `work`.

    What an earlier artifact holds of the same file, decoded at the same rate, is copied.

    Raises
    ------
    UserError
        If the dataset's tables or files are no longer those that the step was planned for.
    """
    root = inputs["standin"].path if "standin" in inputs else step.context["root"]
    dataset = dataset_at(step.context["dataset"], root)
    clips = list(dataset.clips())
    audio: Mapping[str, str] = {}
    known: dict[str, _Decoded] = {}
    if "clips" in step.spec:  # of the user's own files; a stand-in is what its step has left
        store = Store(step.context["store"])
        found = contents(dataset, store, reporter)
        if found.clips != step.spec["clips"]:
            raise UserError(f"{root}: its tables or files were changed while this command ran; run it again")
        audio, known = found.audio, _decoded_before(step, store)
    contained = [_content(clip, audio) for clip in clips]
    journal, samples = work / JOURNAL, work / SAMPLES
    done = _resume(journal, samples)
    copied = 0
    with (
        samples.open("ab") as sound,
        journal.open("a", encoding="utf-8") as notes,
        reporter.progress(step.title, len(clips), "clips", done) as advance,
    ):
        start = samples.stat().st_size // 2
        new = [clip for clip, content in zip(clips[done:], contained[done:], strict=True) if content not in known]
        decoded = decode_all(dataset.root, new, step.spec["sample_rate"])
        for clip, content in zip(clips[done:], contained[done:], strict=True):
            if content in known:
                outcome = known[content].outcome()
                if outcome is None:  # it was deleted, or is damaged
                    outcome = _decode_one(dataset.root, clip, step.spec["sample_rate"])
                else:
                    copied += 1
            else:
                outcome = next(decoded)
            sound.write(outcome.pcm)
            sound.flush()
            entry = _entry(clip, outcome, start, content, known=clip.path in dataset.KNOWN_BAD)
            notes.write(json.dumps(entry, ensure_ascii=False) + "\n")
            notes.flush()
            start += len(outcome.pcm) // 2
            advance(1)
    count, problems = _settle(journal, work)
    _report(problems, reporter)
    if copied:
        reporter.say(f"  {copied:,} clips were decoded before, for the same files, and copied")
    return {
        "dataset": step.context["dataset"].name,
        "clips": count,
        "seconds": round(start / step.spec["sample_rate"], 1),
        "unusable": sum(not problem.used for problem in problems),
        "odd": sum(problem.used for problem in problems),
    }


@dataclass(frozen=True)
class _Decoded:
    """Where an earlier artifact holds the audio of a file."""

    samples: Path
    clip: PcmClip

    def outcome(self) -> _Outcome | None:
        """As decoding the file would give it, if it is still what was decoded."""
        try:
            with self.samples.open("rb") as file:
                file.seek(2 * self.clip.start)
                pcm = file.read(2 * self.clip.samples)
        except OSError:
            return None
        whole = hashlib.blake2b(pcm, digest_size=16).hexdigest() == self.clip.digest
        return _Outcome(pcm, self.clip.digest) if whole else None


def _content(clip: Clip, audio: Mapping[str, str]) -> str:
    """What determines a clip's samples, at one rate: its file, and what its table says of the length."""
    file = audio.get(clip.path)
    return digest_of([file, clip.promised, clip.excerpt])[:32] if file is not None else ""


def _decoded_before(step: Step, store: Store) -> dict[str, _Decoded]:
    """Clips that earlier artifacts hold at this rate, without a remark on them, by content."""
    known: dict[str, _Decoded] = {}
    for artifact in store.whole(step.kind):
        if artifact.manifest["spec"].get("sample_rate") != step.spec["sample_rate"] or not step.of.left(artifact):
            continue
        odd = {problem["id"] for problem in read_lines(artifact / PROBLEMS)}
        for row in read_lines(artifact / CLIPS):
            if row.get("content") and row["id"] not in odd:
                known.setdefault(row["content"], _Decoded(artifact / SAMPLES, PcmClip(**row)))
    return known


def _entry(clip: Clip, outcome: _Outcome, start: int, content: str, known: bool) -> dict[str, Any]:
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
                digest=outcome.digest,
                content=content,
            )
        ),
        "problem": asdict(Problem(clip.id, clip.path, problem, used=not outcome.failure, known=known))
        if problem
        else None,
    }


def _resume(journal: Path, samples: Path) -> int:
    """Number of clips that an interrupted attempt finished; cuts off what it had only half written."""
    samples.touch()
    journal.touch()
    size = samples.stat().st_size
    done = whole = end = 0
    with journal.open("rb") as lines:
        for line in lines:
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                break
            if entry is None:
                break
            after = 2 * (entry["clip"]["start"] + entry["clip"]["samples"]) if entry["clip"] else end
            if after > size:
                break
            done, whole, end = done + 1, whole + len(line), after
    os.truncate(journal, whole)
    os.truncate(samples, end)
    return done


def _settle(journal: Path, work: Path) -> tuple[int, list[Problem]]:
    """Turn the journal into the artifact's two lists, line by line; the number of clips found, and the problems."""
    found = 0
    problems = []
    with journal.open(encoding="utf-8") as lines, (work / CLIPS).open("w", encoding="utf-8") as clips:
        for line in lines:
            entry = json.loads(line)
            if entry["clip"]:
                clips.write(json.dumps(entry["clip"], ensure_ascii=False) + "\n")
                found += 1
            if entry["problem"]:
                problems.append(Problem(**entry["problem"]))
    write_lines(work / PROBLEMS, problems)
    journal.unlink()
    return found, problems


def decode_all(root: Path, clips: Sequence[Clip], sample_rate: int, size: int | None = None) -> Iterator[_Outcome]:
    """Outcome of every clip, in order, with a bounded number decoded ahead, by `size` processes or one a core."""
    jobs = iter(clips)
    size = size or workers()
    pool = _pool(size)
    pending: deque[tuple[Clip, Future[_Outcome]]] = deque()
    try:
        while True:
            while len(pending) < AHEAD * size and (clip := next(jobs, None)) is not None:
                try:
                    pending.append((clip, pool.submit(_decode_one, root, clip, sample_rate)))
                except BrokenProcessPool:
                    pool = _pool(size)
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
        # Here, for what an exception knows of its origin does not leave a process.
        with library_errors():
            decoded = decode(root / clip.path, sample_rate, clip.promised, clip.excerpt)
    except Undecodable as error:
        return _Outcome(failure=str(error))
    pcm = decoded.pcm.tobytes()
    return _Outcome(pcm, hashlib.blake2b(pcm, digest_size=16).hexdigest(), decoded.remark)


def _report(problems: Sequence[Problem], reporter: Reporter) -> None:
    """Name the first few files of each kind; `bench data prepare` says where all are listed."""
    surprising = [problem for problem in problems if not problem.known and problem.reason != "missing"]
    # Excerpts of one file are told apart by their ids.
    cut = [path for path, count in Counter(problem.path for problem in surprising).items() if count > 1]
    names = [problem.id if problem.path in cut else problem.path for problem in surprising]
    fate = {name: "used" if one.used else "left out" for name, one in zip(names, surprising, strict=True)}
    for kind, files in by_kind({name: one.reason for name, one in zip(names, surprising, strict=True)}).items():
        for path, rest in list(files.items())[:NAMED]:
            reporter.warn(f"  {path}: {kind}{rest and f': {rest}'}; {fate[path]}")
        if len(files) > NAMED:
            reporter.warn(f"  and {len(files) - NAMED:,} more: {kind}")
    missing = sum(problem.reason == "missing" for problem in problems)
    known = sum(problem.known for problem in problems)
    if missing:
        reporter.warn(f"  {missing} clips are missing")
    if known:
        reporter.say(f"  {known} files are known to be broken in every copy")


def _libraries(step: Step) -> tuple[str, ...]:
    del step
    return ("soundfile",)  # soxr too, where rates differ, which headers of files alone tell


def _extent(step: Step) -> Extent:
    clips, seconds = planned_audio(step)
    size = int(seconds * step.spec["sample_rate"]) * INT16
    return Extent(f"{clips:,} clips, {seconds / 3600:,.1f} h", size, decoded=seconds)


KIND = StepKind("prepare", 3, Stage.TASKS, compute, _extent, _libraries)
