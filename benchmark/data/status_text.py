"""The status of datasets in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from analysis.pages.label_counts import label_counts_told
from benchmark.audio.unused_files import summary
from benchmark.console import printable
from benchmark.data.leaks import Leak, Overlap
from benchmark.data.status import Prepared, Status
from benchmark.text import table

#: Files that are named before the rest is counted.
NAMED = 5


def as_text(found: Sequence[Status], overlaps: Sequence[Overlap], data: Path | None) -> str:
    """A section for each dataset, and one for what test clips share with corpora."""
    sections = [_section(status) for status in found]
    if data is None and any(status.state == "stand-in" for status in found):
        sections.insert(
            0,
            "No data folder is given: runs use STAND-INS, synthetic music whose scores mean nothing outside this "
            "program.\nFor your own data set BENCH_DATA=DIR or pass --data DIR; DIR has a subfolder for each dataset.",
        )
    shared = [overlap for overlap in overlaps if overlap.same_clips or overlap.same_recordings or overlap.same_artists]
    if shared:
        rows = [["  task", "corpus", "test clips", "in it", "recording in it", "artist in it"]]
        rows += [
            [
                f"  {overlap.task}",
                overlap.corpus,
                *(f"{count:,}" for count in (overlap.clips, overlap.same_clips)),
                *(f"{count:,}" for count in (overlap.same_recordings, overlap.same_artists)),
            ]
            for overlap in shared
        ]
        sections.append(f"Test clips that pretraining corpora share something with\n{table(rows)}")
    return "\n\n".join(sections)


def _section(status: Status) -> str:
    lines = [f"{status.name}: {status.state}"]
    if status.root:
        lines.append(f"looked for in {status.root}")
    if status.licence:
        lines.append(f"licence: {status.licence}")
    if status.reason:
        lines.append(status.reason)
    lines += status.faults
    if status.state in ("complete", "incomplete", "faulty"):
        lines.append(f"{status.clips - len(status.missing):,} of {status.clips:,} clips are there")
        lines += _some("missing", status.missing)
        lines += _by_kind("unexpectedly broken", status.broken)
        lines += _by_kind("broken in every copy", status.known_bad)
        lines += _by_kind("not used", status.unused)
        lines += _some("named by no table", status.unnamed)
        lines += [line for prepared in status.prepared for line in _prepared(prepared)]
        lines += [
            f"{count.what}: {count.found:,}"
            + ("" if count.found == count.published else f", but {count.published:,} are published")
            + f" ({count.source})"
            for count in status.counts
        ]
        lines += [_leak(leak) for leak in status.leaks if leak.groups_shared]
        lines += _unknown_groups(status.leaks)
        lines += status.remarks
    lines += [f"{counted['task']}: {label_counts_told(counted)}" for counted in status.labels]
    if status.next:
        lines.append(f"next: {status.next}")
    return "\n  ".join(map(printable, lines))


def _some(what: str, paths: Sequence[str]) -> list[str]:
    more = [f"  and {len(paths) - NAMED:,} more"] if len(paths) > NAMED else []
    return _titled(f"{len(paths):,} {what}:", [*(f"  {path}" for path in paths[:NAMED]), *more])


def _by_kind(what: str, reasons: Mapping[str, str]) -> list[str]:
    return _titled(f"{len(reasons):,} {what}:", [f"  {line}" for line in summary(reasons)])


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    shown = list(lines)
    return [title, *shown] if shown else []


def _prepared(prepared: Prepared) -> list[str]:
    rate = f"{prepared.sample_rate:,} Hz"
    first = f"prepared at {rate} ({prepared.finished}): {prepared.clips:,} clips"
    problems = _by_kind(f"unusable or odd when decoded at {rate}", prepared.problems)
    return [first, *problems, f"  all are listed in {prepared.file}"] if problems else [first]


def _leak(leak: Leak) -> str:
    return (
        f"{leak.task}: {leak.groups_shared:,} of {leak.groups:,} {leak.split} {leak.group}s are in {leak.other} too, "
        f"with {leak.clips_shared:,} of {leak.clips:,} {leak.split} clips"
    )


def _unknown_groups(leaks: Sequence[Leak]) -> list[str]:
    return [
        f"{leak.task}: the {leak.group} of {leak.clips_unknown:,} of {leak.clips:,} test clips is not known"
        for leak in leaks
        if leak.split == "test" and leak.other == "train" and leak.clips_unknown
    ]
