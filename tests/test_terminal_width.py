"""At 80 columns every table fits, and every bar shows count, rate and time left."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import bench_json
from hypothesis import given
from hypothesis import strategies as st
from report_store import grid

from benchmark import text
from benchmark.comparison.score_tables import score_tables
from benchmark.console import bar_columns
from benchmark.data.leaks import Overlap
from benchmark.data.status_text import as_text
from benchmark.examination import fitness
from benchmark.examination.fitness import Check, fitness_line
from benchmark.forecast.plan_table import plan_table
from benchmark.forecast.resources import Resources, resources_table
from benchmark.forecast.sizes import PlannedStep

ROOT = Path(__file__).parent.parent
WORDS = st.text("abcdefg0123456789.[] _-", max_size=30)


@given(
    st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=2, max_size=5)),
    st.integers(30, 100),
)
def test_no_line_of_any_table_is_wider_and_no_letter_is_lost(rows, width):
    fitted = text.fitted_table(rows, width)
    assert all(len(line) <= width for line in fitted.split("\n"))
    for row in rows[1:]:
        for cell in row:
            assert set(cell) - {" "} <= set(fitted)
    assert text.fitted_table(rows, None) == text.aligned(rows)


def test_what_never_varies_is_said_above_and_intervals_stand_under_scores():
    head = ["encoder", "pretraining", "protocol", "seed", "ROC-AUC", "AP"]
    same = ["tune on magnatagatune", "linear", "0"]
    rows = [[f"encoder_{i}", *same, f"0.80{i} [0.790, 0.812]", f"0.30{i} [0.290, 0.312]"] for i in range(3)]
    floor = ["constant", "", "", "", "0.500", "0.053"]
    fitted = text.fitted_table([head, *rows, floor], 50)
    assert fitted.split("\n")[:7] == [
        "pretraining: tune on magnatagatune; protocol:",
        "linear; seed: 0",
        "",
        "encoder    ROC-AUC         AP",
        "encoder_0  0.800           0.300",
        "           [0.790, 0.812]  [0.290, 0.312]",
        "encoder_1  0.801           0.301",
    ]
    assert text.fitted_table([head, *rows, floor], 120) == text.aligned([head, *rows, floor])


LONG = "tune_plus_with_a_name_that_is_long"
SCORES = [*grid([LONG, "mfcc"], ["mtt", "gtzan"], [0, 1]), *grid(["mule"], ["emotion"], [0, 1, 2], labels=0.1)]
PLANNED = [
    PlannedStep(
        kind=kind, key="0123456789abcdef" * 2, title=f"{kind} mtt on {LONG} (tune, magnatagatune), linear, seed {i}",
        state="missing", work="18,706 clips", bytes=123_456_789_012, seconds=123_456.0,
    )
    for i, kind in enumerate(("prepare", "pretrain", "embed", "probe"))
]  # fmt: skip
CHECKS = [
    Check("batch invariance", "fail", 0.00123, 1e-5, "embeddings of a window depend on what else is in its batch"),
    Check("length", "pass", "59,049 samples", None, ""),
]
OVERLAPS = [
    Overlap(task=f"task_with_a_name_{i}", corpus=f"magnatagatune-{i}", clips=5329 + i, same_clips=12 + i,
            same_recordings=1234 + i, same_artists=4321 + i)
    for i in range(2)
]  # fmt: skip


RESOURCES = [
    Resources(
        encoder=LONG, parameters=62_345_742 + i, trainable_parameters=62_000_000 + i, buffers=1234 + i, dim=1728 + i,
        window=48_000 + i, sample_rate=16_000 + i, samples=48_000, multiply_adds=12_345_678_901 * (i + 1),
        activation_bytes=2**31 + i * 2**29, weight_bytes=2**28 + i * 2**20, windows_per_second_forward=123.4 + i,
        windows_per_second_training=12.3 + i, batch_forward=64, batch_training=32, device="cpu",
    )
    for i in range(2)
]  # fmt: skip


@pytest.mark.parametrize(
    "printed",
    [
        lambda: score_tables(SCORES),
        lambda: plan_table(PLANNED),
        lambda: "\n".join(map(fitness_line, [None, *CHECKS])),
        lambda: as_text([], OVERLAPS, Path("/data")),
        lambda: resources_table(RESOURCES),
    ],
    ids=["scores", "plan", "check", "overlaps", "resources"],
)
def test_tables_of_commands_fit(monkeypatch, printed):
    for module in (text, fitness):
        monkeypatch.setattr(module, "terminal_width", lambda: 80)
    shown = printed()
    table = [line for line in shown.split("\n") if "  " in line]  # of columns, or a list with what is below a name
    assert len(table) > 2
    assert max(map(len, table)) <= 80


def test_every_table_is_made_to_fit():
    """Whoever aligns columns for a terminal asks how wide it is; what is written elsewhere need not."""
    own = {"benchmark/text.py", "benchmark/forecast/large_batches.py"}  # three short columns
    users = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "benchmark").rglob("*.py")
        if re.search(r"\baligned\(", file.read_text(encoding="utf-8"))
    }
    assert users == own


def on_terminal(*words: object, columns: int = 80) -> str:
    """What a command writes to a terminal of so many columns, standard output alone."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "cli", *map(str, words)]
    process = subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment)
    os.close(slave)
    found = bytearray()
    try:
        while part := os.read(master, 65536):
            found += part
    except OSError:
        pass  # as Linux says that the other end is closed
    os.close(master)
    process.wait(timeout=60)
    return found.decode().replace("\r\n", "\n")


def test_commands_on_a_terminal_of_80_columns(tmp_path, mtt):
    data, _ = mtt
    where = ["--data", data, "--store", tmp_path / "s"]
    bench_json("run", "--encoder", "mfcc", "--task", "mtt", *where)
    run = ["run", "--encoder", "mfcc", "--encoder", "chroma", "--task", "mtt", *where]
    for words in (["list"], [*run, "--dry-run"], run, ["store", "ls", "--store", tmp_path / "s"], ["doctor"]):
        shown = on_terminal(*words)
        lines = [line for line in shown.split("\n") if "  " in line.strip()]
        assert len(lines) > 2, words
        wide = [line for line in lines if len(line) > 80 and not re.search(r"\S{50}", line)]
        assert wide == [], words


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "title", ["verify", "pretrain tune_plus_with_a_long_name (tune(epochs=10000)) on magnatagatune, seed 0"]
)
def test_every_bar_shows_count_rate_and_time_left(width, title):
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bars = Progress(*bar_columns(title, 187_060_000, "clips", width), console=console)
    task = bars.add_task(title, total=187_060_000, completed=0)
    now = [100.0]
    bars.get_time = lambda: now[0]
    bars._tasks[task]._get_time = bars.get_time
    bars.start_task(task)
    for _ in range(3):
        now[0] += 1.0
        bars.advance(task, 12_345)
    console.print(bars.get_renderable())
    (line, *rest) = [line for line in console.file.getvalue().split("\n") if line.strip()]
    assert rest == []
    assert len(line) <= width
    assert "37,035/187,060,000 clips" in line
    assert re.search(r"\d/s", line)
    assert re.search(r"left \d+:\d\d:\d\d", line)
    assert line.startswith(title[:10] if width > 60 else title[:3])
