"""What a plan says beforehand: windows exactly, times within a factor of two of what they will be."""

import csv
import json

import numpy as np
import pytest
import soundfile
from conftest import bench, bench_json
from hypothesis import given
from hypothesis import strategies as st

from benchmark.audio.headers import MOST, headers_seconds
from benchmark.environment import measured as measuring
from benchmark.forecast.history import History, Past, learnt, measured
from benchmark.forecast.plan_table import plan_table
from benchmark.forecast.sizes import PlannedStep
from benchmark.steps import embed, initialise, prepare
from benchmark.store.store import Store


@given(
    fixed=st.floats(0, 30), each=st.floats(1e-3, 10), count=st.integers(1, 40), seed=st.integers(0, 10**6),
    factor=st.floats(0.2, 20), odd=st.booleans(),
)  # fmt: skip
def test_times_are_within_a_factor_of_two_in_simulated_histories(fixed, each, count, seed, factor, odd):
    """Steps of many sizes on a machine that is busy now and then, some interrupted; asked of more or less work."""
    rng = np.random.default_rng(seed)
    amounts = 10 ** rng.uniform(1, 3, count)
    seconds = (fixed + each * amounts) * np.exp(0.15 * rng.standard_normal(count))
    if odd and count >= 8:
        seconds[: count // 8] /= 20
    amount = float(np.median(amounts)) * factor
    truth = fixed + each * amount
    found = learnt([Past(*one) for one in zip(amounts, seconds, strict=True)], amount)
    assert found.fastest < found.seconds < found.slowest
    # A single size cannot tell what a step takes anyway from what it takes for each unit.
    if count >= 5 or fixed < 0.1 * each * amounts.min() or 0.8 < factor < 1.25:
        assert truth / 2 <= found.seconds <= 2 * truth
        assert found.slowest <= 4 * found.fastest


def test_a_range_holds_most_of_what_comes_next():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        amounts = 10 ** rng.uniform(1, 3, 25)
        seconds = (3 + 0.2 * amounts) * np.exp(0.3 * rng.standard_normal(25))
        past = [Past(*one) for one in zip(amounts[:-1], seconds[:-1], strict=True)]
        found = learnt(past, amounts[-1])
        inside.append(found.fastest <= seconds[-1] <= found.slowest)
    assert 0.7 <= np.mean(inside) <= 0.95
    assert learnt([], 5.0) is None
    assert learnt([Past(0, 3.0)], 5.0) is None
    assert (measured(10.0).fastest, measured(10.0).slowest) == (5.0, 20.0)


def encoding(named: str, number: int):
    start = initialise.KIND.step({"class": named, "args": {}, "seed": 0, "weights": None}, {}, "initialise")
    pcm = prepare.KIND.step({"clips": str(number), "sample_rate": 8000}, {}, "decode")
    return embed.KIND.step({"layers": None}, {"weights": start, "pcm": pcm}, "embed")


def test_a_store_tells_how_long_its_steps_took_here(tmp_path):
    """By encoder; what another device did, and rows that were copied, tell nothing."""
    store = Store(tmp_path)
    with measuring() as here:
        pass
    pace = {"a:Quick": 0.001, "a:Slow": 0.1}
    for number in range(12):
        name = ("a:Quick", "a:Slow")[number % 2]
        step, amount = encoding(name, number), 1000.0 * (number + 1)
        lineage = {one.key: {"kind": one.kind, "spec": one.spec} for one in step.lineage()}
        seconds = 2 + pace[name] * amount * (0.001 if number > 9 else 1)
        device = "another" if number > 9 else here["device"]
        lineage[step.key]["resources"] = {"seconds": seconds, "device": device}
        with store.claim(step.kind, step.key, print, True) as claim:
            (claim.work / "rows").write_text("")
            manifest = {"spec": step.spec, "needs": {}, "inputs": {}, "lineage": lineage}
            worked = 0 if number in (8, 9) else amount
            store.finish(step.kind, step.key, {**manifest, "facts": {"worked": worked}}, claim)
    (tmp_path / "artifacts" / "embed" / "damaged").mkdir()
    (tmp_path / "artifacts" / "embed" / "damaged" / "manifest.json").write_text("[1")
    history = History(store)
    for name, each in pace.items():
        found = history.duration(encoding(name, 99), 50_000.0)
        assert found.seconds == pytest.approx(2 + each * 50_000, rel=0.01)
        assert found.fastest <= found.seconds / 1.2
    assert history.duration(encoding("a:New", 99), 50_000.0) is None
    assert history.duration(encoding("a:Quick", 99), 0.0) is None
    assert History(Store(tmp_path / "other")).duration(encoding("a:Quick", 99), 5.0) is None


def test_a_plan_shows_a_range():
    rest = ("k", "a title", "to do", "5 windows", 10)
    steps = [PlannedStep("embed", *rest, 100.0, 70.0, 130.0), PlannedStep("embed", *rest, 4.0, 3.0, 5.0)]
    text = plan_table(steps)
    assert "70 s to 2 min" in text
    assert "3 to 5 s" in text
    assert text.endswith("decoding, training and encoding take 73 s to 2 min on this device, one step at a time")


def test_of_thousands_of_files_some_headers_stand_for_all(tmp_path):
    lengths = [0.5 + 0.25 * (number % 3) for number in range(7)]
    files = [tmp_path / f"{number}.wav" for number in range(7)]
    for file, seconds in zip(files, lengths, strict=True):
        soundfile.write(file, np.zeros(int(8000 * seconds)), 8000)
    np.testing.assert_allclose(headers_seconds(files, 9.0), lengths)
    files[3].write_bytes(b"none")
    assert headers_seconds(files, 9.0)[3] == 9.0
    many = headers_seconds([files[0], files[1]] * (2 * MOST), 9.0)
    assert len(many) == 4 * MOST
    assert many.mean() == pytest.approx(0.625, rel=0.05)


REGISTRY = """
datasets:
  songs: {class: "tasks.folder:LabelledFolder", root: songs}
tasks:
  sort: {dataset: songs, metrics: [accuracy], options: {kind: multiclass}, corpus: songs, protocol: fast}
corpora:
  songs: {dataset: songs, splits: [train]}
encoders:
  tiny: {class: "encoders.tune:TUNe", args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 6561},
         pretrain: false, seeded: true}
protocols:
  fast: {source: tests, examples: clip_mean, standardise: true, estimator: {kind: knn, parameters: {n_neighbors: 1}}}
"""


def test_windows_are_told_exactly_before_and_after_decoding(tmp_path):
    """Of encoders of one window and of any length, and files of all lengths, as many as are then encoded."""
    rng = np.random.default_rng(0)
    (tmp_path / "songs").mkdir()
    with (tmp_path / "songs" / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "split", "sort"])
        for number in range(8):
            sound = 0.2 * rng.standard_normal(int(16_000 * (1.5 + 9.7 * number)))
            soundfile.write(tmp_path / "songs" / f"{number}.flac", sound, 16_000)
            table.writerow([f"{number}.flac", ("train", "train", "valid", "test")[number % 4], number // 4])
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    words = ["--encoder", "tiny", "--encoder", "mfcc", "--task", "sort", "--store", "store"]

    def plan(*more: str) -> dict[str, dict]:
        steps = bench_json("run", *words, *more, "--dry-run", cwd=tmp_path)
        return {step["title"]: step for step in steps if step["kind"] == "embed"}

    before = plan()
    ran = bench("run", *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    after = plan("--force")
    kept = {}
    for folder in (tmp_path / "store" / "artifacts" / "embed").iterdir():
        manifest = json.loads((folder / "manifest.json").read_text())
        kept[manifest["title"]] = manifest["facts"]["windows"]
    assert len(kept) == 2
    for title, windows in kept.items():
        assert before[title]["work"] == after[title]["work"] == f"{windows:,} windows"
        assert 0 < after[title]["fastest"] < after[title]["seconds"] < after[title]["slowest"]
