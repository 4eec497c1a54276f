"""What to do next with scores that were just made: commands ready for a shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.cell import options_of
from benchmark.factors import AS_GIVEN, END_TO_END, UNTRAINED
from benchmark.scores.records import ScoreRecord

#: Options by which `bench encode` and `bench export-encoder` find weights.
_OF_WEIGHTS = frozenset({"--recipe", "--set", "--corpus", "--seed", "--sample-rate", "--arg"})


def next_steps(
    records: Sequence[ScoreRecord], store: Path | None, data: Path | None, registry: Sequence[Path] | None
) -> list[str]:
    """Commands that go on from scores, the most general first.

    Parameters
    ----------
    records
        Of one `bench run`.
    store, data, registry
        As the command named them; what the environment says already is not repeated.
    """
    place = _given("--store", store, "BENCH_STORE")
    named = [word for file in registry or () for word in ("--registry", str(file))]
    if not records:
        return []
    if any(record.limit is not None for record in records):
        return ["the same command without --limit, for scores that mean something"]
    lines = [["bench", "report", *place, "-o", "report.html"]]
    lines += [["bench", "compare", *pair, *place] for pair in _pair(records)]
    trained = [record for record in records if record.recipe_name not in (UNTRAINED, AS_GIVEN)]
    for record in [one for one in trained if len(one.encoders) == 1][:1]:
        weights = [word for option in options_of(record) if option[0] in _OF_WEIGHTS for word in option]
        corpus = [] if record.corpus is not None else ["--corpus", record.task]
        (encoder,) = record.encoders
        shared = [*weights, *corpus, *place, *named]
        if record.protocol != END_TO_END and not record.departures():
            folder = _given("--data", data, "BENCH_DATA")
            lines.append(["bench", "look", encoder, "--task", record.task, *weights, *folder, *place, *named])
        lines.append(["bench", "encode", "FILE", "--encoder", encoder, *shared, "-o", "embeddings.npz"])
        lines.append(["bench", "export-encoder", encoder, *shared, "-o", f"{encoder}-encoder"])
    return [shlex.join(line) for line in lines]


def _given(option: str, value: Path | None, variable: str) -> list[str]:
    return [] if value is None or os.environ.get(variable) == str(value) else [option, str(value)]


def _pair(records: Sequence[ScoreRecord]) -> Iterator[list[str]]:
    """What `bench compare` is to be asked: the first representation and the next other one on the same clips."""
    first = records[0]
    for other in records[1:]:
        alike = (first.task, first.protocol, first.data, first.departures())
        if (other.task, other.protocol, other.data, other.departures()) == alike and _name(other) != _name(first):
            yield [_name(first), _name(other), "--task", first.task]
            return


def _name(record: ScoreRecord) -> str:
    return record.encoder if record.recipe_name == AS_GIVEN else f"{record.encoder}:{record.recipe}"
