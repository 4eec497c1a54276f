"""Decode a dataset once: int16 mono at one sample rate, one file, one line a clip, and a list of what is wrong.

Worker processes decode; this process writes, in dataset order, and keeps a journal, so that an interrupted
preparation goes on where it stopped and memory stays flat. Each file is decoded from the bytes that were hashed when
the step was planned: one that has changed or vanished since fails the step, for its samples would be kept under the
key of others.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.audio.checked_file import ChangedError
from benchmark.audio.decoding import Undecodable, decode_into, silence_decoders
from benchmark.audio.unused_files import NAMED, by_kind
from benchmark.console import Reporter
from benchmark.encoding.planned import INT16, planned_audio
from benchmark.environment import workers
from benchmark.errors import UserError
from benchmark.libraries import library_errors
from benchmark.registry.datasets import contents, dataset_at
from benchmark.store.digests import DigestCache
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, PcmClip, Problem, read_lines, write_lines
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import JOURNAL, Artifact, Store, digest_of
from tasks.base import Clip

#: Decoded clips that wait for their turn to be written, per worker.
AHEAD = 4
_PR_SET_PDEATHSIG = 1
#: Samples of a clip that a worker hands over in memory; more go through a file [bytes].
HELD_BYTES = 2**24
SPILT = "spilt-"
#: So many samples are written before what is written is synced.
SYNC_SAMPLES = 2**27
#: Kind of the problem of a file that is there and cannot be read.
UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class _Outcome:
    """What became of a clip.

    Attributes
    ----------
    pcm
        Its samples, if they are few.
    spilt
        The file that holds them if they are many; whoever has read it removes it.
    samples, digest
        How many there are, and their hash.
    remark, failure
        What is odd about it, and why there is nothing of it.
    """

    pcm: bytes = b""
    spilt: Path | None = None
    samples: int = 0
    digest: str = ""
    remark: str = ""
    failure: str = ""

    def write_to(self, sound: IO[bytes]) -> None:
        """Append the samples to a file."""
        if self.spilt is None:
            sound.write(self.pcm)
            return
        with self.spilt.open("rb") as file:
            shutil.copyfileobj(file, sound, 2**20)
        self.spilt.unlink()


@dataclass(frozen=True)
class PlannedClip:
    """A clip, and what its file must hold.

    Attributes
    ----------
    clip
        Which one.
    sha256
        Of its file; ``None`` where nothing was hashed.
    lost
        Why there is nothing to decode, as it was seen when the step was planned.
    """

    clip: Clip
    sha256: str | None = None
    lost: str = ""


def compute(step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> dict[str, Any]:
    """Leave `pcm.int16`, `clips.jsonl` and `problems.jsonl` in `work`.

    What an earlier artifact holds of the same file, decoded at the same rate, is copied.

    Raises
    ------
    UserError
        If the dataset's tables or files are no longer those that the step was planned for; see `ChangedError`.
    """
    root = inputs["standin"].path if "standin" in inputs else step.context["root"]
    dataset = dataset_at(step.context["dataset"], root)
    audio: Mapping[str, str] = {}
    known: dict[str, _Decoded] = {}
    store = None
    if "clips" in step.spec:  # of the user's own files
        store = Store(step.context["store"])
        found = contents(dataset, store, reporter)
        if found.clips != step.spec["clips"]:
            raise UserError(f"{root}: its tables or files were changed while this command ran; run it again")
        audio, known, clips = found.audio, _decoded_before(step, store), list(found.rows)
        planned = [_planned(clip, found.audio, found.unread) for clip in clips]
    else:  # a stand-in is what its step has left
        clips = list(dataset.clips())
        made = inputs["standin"].manifest["files"] if "standin" in inputs else {}
        planned = [PlannedClip(clip, made.get(clip.path, {}).get("sha256")) for clip in clips]
    contained = [_content(clip, audio) for clip in clips]
    journal, samples = work / JOURNAL, work / SAMPLES
    _clear_spilt(work)
    done = resume(journal, samples, [clip.id for clip in clips])
    copied = 0
    try:
        with (
            samples.open("ab") as sound,
            journal.open("a", encoding="utf-8") as notes,
            reporter.progress(step.title, len(clips), "clips", done) as advance,
        ):
            start = synced = samples.stat().st_size // 2
            rest = list(zip(planned[done:], contained[done:], strict=True))
            rate = step.spec["sample_rate"]
            decoded = decode_all(dataset.root, [plan for plan, content in rest if content not in known], rate, work)
            for plan, content in rest:
                if content in known:
                    outcome = known[content].outcome()
                    if outcome is None:  # it was deleted, or is damaged
                        outcome = _decode_one(dataset.root, plan, rate, work)
                    else:
                        copied += 1
                else:
                    outcome = next(decoded)
                outcome.write_to(sound)
                sound.flush()
                entry = _entry(plan.clip, outcome, start, content, known=plan.clip.path in dataset.KNOWN_BAD)
                notes.write(journal_line(entry))
                notes.flush()
                start += outcome.samples
                if start - synced > SYNC_SAMPLES:  # the samples before the lines that speak of them
                    os.fdatasync(sound.fileno())
                    os.fdatasync(notes.fileno())
                    synced = start
                advance(1)
    except ChangedError:
        if store is not None:
            _forget(store, dataset.root, planned)
        raise
    _clear_spilt(work)
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
        return _Outcome(pcm, None, self.clip.samples, self.clip.digest) if whole else None


def _planned(clip: Clip, audio: Mapping[str, str], unread: Mapping[str, str]) -> PlannedClip:
    if clip.path in unread:
        return PlannedClip(clip, lost=f"{UNREADABLE}: {unread[clip.path]}")
    return PlannedClip(clip, audio.get(clip.path), "" if clip.path in audio else "missing")


def _forget(store: Store, root: Path, planned: Sequence[PlannedClip]) -> None:
    """Have the files hashed anew by the next command, whatever their times say."""
    cache = DigestCache(store)
    cache.forget({root / plan.clip.path for plan in planned})


def _clear_spilt(work: Path) -> None:
    for left in work.glob(f"{SPILT}*"):
        left.unlink()


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
                samples=outcome.samples,
                digest=outcome.digest,
                content=content,
            )
        ),
        "problem": asdict(Problem(clip.id, clip.path, problem, used=not outcome.failure, known=known))
        if problem
        else None,
    }


def journal_line(entry: Mapping[str, Any]) -> str:
    """An entry of the journal with a hash of itself, for a power cut may leave any of its bytes unwritten."""
    text = json.dumps(entry, ensure_ascii=False)
    return f"{_line_hash(text)} {text}\n"


def _line_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _entry_of(line: bytes) -> dict[str, Any] | None:
    """The entry of a line of the journal, if it is what was written."""
    try:
        found, _, text = line.decode().rstrip("\n").partition(" ")
        entry = json.loads(text) if line.endswith(b"\n") and found == _line_hash(text) else None
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def resume(journal: Path, samples: Path, ids: Sequence[str]) -> int:
    """Number of clips that an interrupted attempt finished; cuts off the rest.

    Each line of the journal must be whole and of the clip whose turn it is, and the samples that it speaks of must have
    the digest that it names; at the first that is not so, journal and samples end.
    """
    samples.touch()
    journal.touch()
    done = whole = end = 0
    with journal.open("rb") as lines, samples.open("rb") as sound:
        for line, clip_id in zip(lines, ids, strict=False):
            entry = _entry_of(line)
            if entry is None or (entry["clip"] or entry["problem"])["id"] != clip_id:
                break
            if entry["clip"]:
                count = 2 * entry["clip"]["samples"]
                if 2 * entry["clip"]["start"] != end or _hash_of_next(sound, count) != entry["clip"]["digest"]:
                    break
                end += count
            done, whole = done + 1, whole + len(line)
    os.truncate(journal, whole)
    os.truncate(samples, end)
    return done


def _hash_of_next(file: IO[bytes], count: int) -> str:
    """Hash of the next bytes of a file, of which there may be fewer; a clip of many hours is not held at once."""
    found = hashlib.blake2b(digest_size=16)
    while count and (part := file.read(min(count, 2**20))):
        found.update(part)
        count -= len(part)
    return found.hexdigest()


def _settle(journal: Path, work: Path) -> tuple[int, list[Problem]]:
    """Turn the journal into the artifact's two lists, line by line; the number of clips found, and the problems."""
    found = 0
    problems = []
    with journal.open(encoding="utf-8") as lines, (work / CLIPS).open("w", encoding="utf-8") as clips:
        for line in lines:
            entry = json.loads(line.partition(" ")[2])
            if entry["clip"]:
                clips.write(json.dumps(entry["clip"], ensure_ascii=False) + "\n")
                found += 1
            if entry["problem"]:
                problems.append(Problem(**entry["problem"]))
    write_lines(work / PROBLEMS, problems)
    return found, problems


def decode_all(
    root: Path, clips: Sequence[PlannedClip], sample_rate: int, spill: Path | None = None, size: int | None = None
) -> Iterator[_Outcome]:
    """Outcome of every clip, in order, with a bounded number decoded ahead, by `size` processes or one a core.

    Samples of long clips are left in files in the folder `spill`; without one, they are held in memory.

    Raises
    ------
    ChangedError
        If a file is not what it must be.
    """
    jobs = iter(clips)
    size = size or workers()
    pool = _pool(size)
    pending: deque[tuple[PlannedClip, Future[_Outcome]]] = deque()
    try:
        while True:
            while len(pending) < AHEAD * size and (plan := next(jobs, None)) is not None:
                try:
                    pending.append((plan, pool.submit(_decode_one, root, plan, sample_rate, spill)))
                except BrokenProcessPool:
                    pool = _pool(size)
                    pending.append((plan, pool.submit(_decode_one, root, plan, sample_rate, spill)))
            if not pending:
                return
            plan, future = pending.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                yield _decode_alone(root, plan, sample_rate, spill)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode_alone(root: Path, plan: PlannedClip, sample_rate: int, spill: Path | None) -> _Outcome:
    """Decode in a process of its own, to tell the file that crashes a decoder from those decoded beside it."""
    with _pool(1) as pool:
        try:
            return pool.submit(_decode_one, root, plan, sample_rate, spill).result()
        except BrokenProcessPool:
            return _Outcome(failure="crashes the decoder")


def _pool(size: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(size, mp_context=get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    """Say nothing, and end with the process that started this one, however that ends."""
    silence_decoders()
    with suppress(OSError, AttributeError):  # where the system is not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _decode_one(root: Path, plan: PlannedClip, sample_rate: int, spill: Path | None) -> _Outcome:
    if plan.lost:
        return _Outcome(failure=plan.lost)
    clip = plan.clip
    with _Samples(spill) as samples:
        try:
            # Here, for what an exception knows of its origin does not leave a process.
            with library_errors():
                remark = decode_into(
                    samples.add, root / clip.path, sample_rate, clip.promised, clip.excerpt, plan.sha256
                )
        except Undecodable as error:
            return _Outcome(failure=str(error))
        return samples.outcome(remark)


class _Samples:
    """Takes the samples of a clip: into memory, or into a file in a folder once there are many."""

    def __init__(self, spill: Path | None) -> None:
        self._spill = spill
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self._hash = hashlib.blake2b(digest_size=16)
        self._count = 0

    def __enter__(self) -> _Samples:
        return self

    def add(self, block: NDArray[np.int16]) -> None:
        pcm = block.tobytes()
        self._hash.update(pcm)
        self._count += len(block)
        if self._file is None and self._spill is not None and len(self._held) + len(pcm) > HELD_BYTES:
            self._file = tempfile.NamedTemporaryFile(prefix=SPILT, dir=self._spill, delete=False)  # noqa: SIM115 (closed below)
            self._file.write(self._held)
            self._held.clear()
        if self._file is None:
            self._held += pcm
        else:
            self._file.write(pcm)

    def outcome(self, remark: str) -> _Outcome:
        spilt = None
        if self._file is not None:
            self._file.close()
            spilt, self._file = Path(self._file.name), None
        return _Outcome(bytes(self._held), spilt, self._count, self._hash.hexdigest(), remark)

    def __exit__(self, *raised: object) -> None:
        if self._file is not None:  # in vain
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)


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
