"""What the harness itself costs: a cached step, a step that does nothing, and a store of many records."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.console import Advance, LogReporter, Reporter
from benchmark.engine.engine import Engine
from benchmark.engine.housekeeping import holdings
from benchmark.scores.long_table import as_csv, long_rows, long_table
from benchmark.scores.records import RECORD, SCORE, Overlap, Score, ScoreRecord
from benchmark.speed.results import EngineSpeed
from benchmark.steps import embed
from benchmark.store.step import Step
from benchmark.store.store import Artifact, Store

#: Steps that are timed, one artifact of a few files each.
STEPS = 200
#: Labels of each generated record, as MagnaTagATune has.
LABELS = 50


class _Idle(Engine):
    """Computes every step by writing one small file."""

    def run_step(self, step: Step, inputs: Mapping[str, Artifact], work: Path, reporter: Reporter) -> Mapping[str, Any]:
        del inputs, reporter
        (work / "result.json").write_text(json.dumps(step.spec))
        return {}


def measure(reporter: Reporter, records: int) -> EngineSpeed:
    """Time the engine and a generated store.

    Parameters
    ----------
    reporter
        Shows progress.
    records
        Score records in the generated store.

    Returns
    -------
    EngineSpeed
    """
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as folder:
        root = Path(folder)
        store = Store(root / "store")
        log = LogReporter(root / "log")
        steps = [embed.KIND.step({"number": number}, {}, f"step {number}") for number in range(STEPS)]
        idle = _Idle(store, log)
        trivial = [_seconds(lambda step=step: idle.ensure(step)) for step in steps]
        fresh = Engine(store, log)
        cached = [_seconds(lambda step=step: fresh.ensure(step)) for step in steps]
        many = root / "many"
        with reporter.progress("make a store", records, "records") as advance:
            _generate(Store(many), records, advance)
        return {
            "trivial_step_ms": 1000 * statistics.median(trivial),
            "cached_step_ms": 1000 * statistics.median(cached),
            "records": records,
            "index_s": _seconds(lambda: long_table(many)),
            "list_s": _seconds(lambda: long_table(many)),
            "export_s": _seconds(lambda: as_csv(long_rows(many))),
            "ls_s": _seconds(lambda: holdings(Store(many))),
        }


def table(found: EngineSpeed) -> str:
    """`measure`'s result for people."""
    count = f"{found['records']:,.0f} records"
    return "\n".join(
        [
            f"a step that does nothing   {found['trivial_step_ms']:8.2f} ms",
            f"a step that is cached      {found['cached_step_ms']:8.2f} ms",
            f"{count}, read once   {found['index_s']:8.1f} s",
            f"{count}, ever after  {found['list_s']:8.1f} s",
            f"{count}, as CSV      {found['export_s']:8.1f} s",
            f"{count}, bench store ls {found['ls_s']:5.1f} s",
        ]
    )


def _seconds(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _generate(store: Store, records: int, advance: Advance) -> None:
    """Fill a store with artifacts of score steps whose records differ in encoder, task and seed."""
    score = Score(
        value=0.8,
        lower=0.7,
        upper=0.9,
        level=0.95,
        replicates=1000,
        floor=0.5,
        n_labels=LABELS,
        n_clips=5_329,
        per_label={f"label {number}": 0.8 for number in range(LABELS)},
    )
    record = ScoreRecord(
        encoders=("encoder",),
        corpus=None,
        recipe_name="untrained",
        task="task",
        protocol="linear",
        seed=0,
        data="stand-in",
        metrics={"roc_auc": score, "average_precision": score},
        unscored_labels=[],
        n_expected={"test": 5_329},
        n_scored={"test": 5_329},
        test_clips_lost={},
        fingerprint="f" * 64,
        overlap=Overlap(clips=0, recordings=0, artists=0),
        selection={},
        pretraining=None,
        spec={},
        weights_sha256="0" * 64,
        parameters=1,
        dim=1,
        steps=[],
        versions={},
        finished="2026-01-01T00:00:00+00:00",
    ).model_dump()
    for number in range(records):
        key = f"{number:040x}"
        folder = store.folder(SCORE, key)
        folder.mkdir(parents=True)
        record["encoders"], record["seed"] = [f"encoder {number % 100}"], number // 100
        text = json.dumps(record)
        (folder / RECORD).write_text(text)
        manifest = {
            "kind": SCORE,
            "key": key,
            "title": f"score {number}",
            "finished": record["finished"],
            "files": {RECORD: {"bytes": len(text)}},
            "lineage": {key: {"resources": {"seconds": 1.0}}},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        advance(1)
