"""Decode a dataset once: int16 mono at one sample rate, one file, one line a clip, and a list of what is wrong.

Worker processes decode; this process writes, in dataset order, and keeps a journal, so that an interrupted
preparation goes on where it stopped and memory stays flat. Each file is decoded from the bytes that were hashed when
the step was planned: one that has changed or vanished since fails the step, for its samples would be kept under the
key of others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.audio.checked_file import ChangedError
from benchmark.audio.unused_files import NAMED, by_kind
from benchmark.audio.worker_decoding import Outcome, PlannedClip, clear_spilt, decode_all, decode_one
from benchmark.console import Reporter
from benchmark.encoding.planned import INT16, planned_audio
from benchmark.errors import UserError
from benchmark.registry.datasets import contents, dataset_at
from benchmark.store.digests import DigestCache
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, PcmClip, Problem, read_lines, write_lines
from benchmark.store.sample_journal import entries, journal_line, resume
from benchmark.store.step import Extent, Stage, Step, StepKind
from benchmark.store.store import JOURNAL, Artifact, Store, digest_of
from tasks.base import Clip
from tasks.limited import limited_clips

#: So many samples are written before what is written is synced.
SYNC_SAMPLES = 2**27
#: Kind of the problem of a file that is there and cannot be read.
UNREADABLE = "cannot be read"


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
    if (limit := step.spec.get("limit")) is not None:
        kept = {clip.id for clip in limited_clips(dataset, clips, limit)}
        planned = [plan for plan in planned if plan.clip.id in kept]
        clips = [plan.clip for plan in planned]
    contained = [_content(clip, audio) for clip in clips]
    journal, samples = work / JOURNAL, work / SAMPLES
    clear_spilt(work)
    done = resume(journal, samples, [clip.id for clip in clips])
    copied = anew = 0
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
                        outcome = decode_one(dataset.root, plan, rate, work)
                    else:
                        copied += 1
                else:
                    outcome = next(decoded)
                    anew += outcome.samples
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
    clear_spilt(work)
    count, problems = _settle(journal, work)
    _report(problems, reporter)
    if copied:
        reporter.say(f"  {copied:,} clips were decoded before, for the same files, and copied")
    return {
        "dataset": step.context["dataset"].name,
        "clips": count,
        "seconds": round(start / step.spec["sample_rate"], 1),
        "worked": round(anew / step.spec["sample_rate"], 1),
        "unusable": sum(not problem.used for problem in problems),
        "odd": sum(problem.used for problem in problems),
    }


def unreadable_files(artifact: Artifact) -> dict[str, str]:
    """Files that a corpus lacks for they could not be read, a trouble of this machine's, by path, and why."""
    rows = read_lines(artifact / PROBLEMS)
    return {row["path"]: row["reason"] for row in rows if row["reason"].partition(": ")[0] == UNREADABLE}


@dataclass(frozen=True)
class _Decoded:
    """Where an earlier artifact holds the audio of a file."""

    samples: Path
    clip: PcmClip

    def outcome(self) -> Outcome | None:
        """As decoding the file would give it, if it is still what was decoded."""
        try:
            with self.samples.open("rb") as file:
                file.seek(2 * self.clip.start)
                pcm = file.read(2 * self.clip.samples)
        except OSError:
            return None
        whole = hashlib.blake2b(pcm, digest_size=16).hexdigest() == self.clip.digest
        return Outcome(pcm, None, self.clip.samples, self.clip.digest) if whole else None


def _planned(clip: Clip, audio: Mapping[str, str], unread: Mapping[str, str]) -> PlannedClip:
    if clip.path in unread:
        return PlannedClip(clip, lost=f"{UNREADABLE}: {unread[clip.path]}")
    return PlannedClip(clip, audio.get(clip.path), "" if clip.path in audio else "missing")


def _forget(store: Store, root: Path, planned: Sequence[PlannedClip]) -> None:
    """Have the files hashed anew by the next command, whatever their times say."""
    cache = DigestCache(store)
    cache.forget({root / plan.clip.path for plan in planned})


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


def _entry(clip: Clip, outcome: Outcome, start: int, content: str, known: bool) -> dict[str, Any]:
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


def _settle(journal: Path, work: Path) -> tuple[int, list[Problem]]:
    """Turn the journal into the artifact's two lists, line by line; the number of clips found, and the problems."""
    found = 0
    problems = []
    with (work / CLIPS).open("w", encoding="utf-8") as clips:
        for entry in entries(journal):
            if entry["clip"]:
                clips.write(json.dumps(entry["clip"], ensure_ascii=False) + "\n")
                found += 1
            if entry["problem"]:
                problems.append(Problem(**entry["problem"]))
    write_lines(work / PROBLEMS, problems)
    return found, problems


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
    return Extent(f"{clips:,} clips, {seconds / 3600:,.1f} h", size, decoded=seconds, amount=seconds)


KIND = StepKind("prepare", 3, Stage.TASKS, compute, _extent, _libraries)
