"""Encoding that was killed goes on where it was, wherever that happened."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_steps import Quiet, inputs, plain

from benchmark.encoding import dataset_pass
from benchmark.encoding.windows import Cutting, window_spans
from benchmark.steps import KINDS, embed
from benchmark.store.embeddings import open_embeddings
from benchmark.store.file_names import WEIGHTS
from benchmark.store.store import JOURNAL


def encode(folder, name):
    """Carry the step out in a folder: what it said, and what it left."""
    encoder = plain()
    taken = inputs(folder, encoder)
    taken["start"].manifest["files"] = {WEIGHTS: {"sha256": "0"}}
    work = folder / name
    work.mkdir(exist_ok=True)
    step = KINDS["embed"].step({"layers": ""}, {}, "encode", {"encoder": encoder})
    reporter = Quiet()
    facts = embed.compute(step, {"pcm": taken["pcm"], "weights": taken["start"]}, work, reporter)
    return reporter.lines[0], facts["windows"], work


@pytest.fixture
def whole(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_pass, "CHUNK", 8)  # on a GPU as on a CPU
    _, windows, work = encode(tmp_path, "whole")
    assert windows > 16
    return open_embeddings(work).rows


def test_half_a_line_of_the_journal_is_survived(tmp_path, whole):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / JOURNAL).write_text('{"of": "", "do')  # what a kill could leave
    said, _, work = encode(tmp_path, "work")
    assert said == "encode: from 0"
    np.testing.assert_array_equal(open_embeddings(work).rows, whole)


@pytest.fixture
def journal(tmp_path, whole):
    """Lines of the journal of a work folder in which all is done."""
    _, _, work = encode(tmp_path, "work")
    return (work / JOURNAL).read_text().splitlines(keepends=True)


@pytest.mark.parametrize("trial", range(12))
def test_a_power_cut_costs_what_the_journal_cannot_prove_and_no_more(tmp_path, whole, journal, trial):
    """Pages of rows and of the journal are zeroed or torn; what is gone on from is what was written."""
    rng, work = np.random.default_rng(trial), tmp_path / "work"
    ends = [json.loads(line)["done"] for line in journal]
    rows, notes = work / "embeddings.0.float32", work / JOURNAL
    for file in (rows, notes) if trial % 3 else (rows,):
        content = bytearray(file.read_bytes())
        at = int(rng.integers(len(content)))
        size = int(rng.integers(1, 4096))
        if trial % 2:
            content[at : at + size] = bytes(len(content[at : at + size]))
        else:
            content[at : at + size] = rng.bytes(len(content[at : at + size]))
        file.write_bytes(content)
    said, _, work = encode(tmp_path, "work")
    assert int(said.removeprefix("encode: from ")) in (0, *ends[:-1])
    np.testing.assert_array_equal(open_embeddings(work).rows, whole)
    assert (work / JOURNAL).read_text().splitlines(keepends=True) == journal


@pytest.mark.parametrize("at", ["index", "end"])
def test_a_kill_after_the_last_batch_loses_nothing(tmp_path, whole, monkeypatch, at):
    def save_half(path, **arrays):
        Path(path).write_bytes(b"PK")
        raise KeyboardInterrupt

    if at == "index":
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(np, "savez_compressed", save_half)
            encode(tmp_path, "work")
    else:  # before the store has taken it
        encode(tmp_path, "work")
    said, windows, work = encode(tmp_path, "work")
    assert said == f"encode: from {windows}"
    np.testing.assert_array_equal(open_embeddings(work).rows, whole)


@pytest.mark.parametrize(
    ("seconds", "longest", "segment", "expected"),
    [
        (120.03, 60, None, [(0, 40.01), (40.01, 80.02), (80.02, 120.03)]),
        (120.03, 60, 30, [(0, 30), (30, 60), (60, 90), (90, 120)]),
        (119.9, 60, 30, [(0, 30), (30, 60), (60, 90)]),
        (12.0, 60, 30, [(0, 12)]),
        (61.0, 20, 30, [(0, 15), (15, 30), (30, 45), (45, 60)]),
    ],
)
def test_encoders_of_any_length_take_clips_whole_or_segments(seconds, longest, segment, expected):
    encoder = SimpleNamespace(window=None, max_window=longest * 1000, sample_rate=1000)
    spans = window_spans(round(seconds * 1000), encoder, Cutting(segment))
    assert [(start / 1000, end / 1000) for start, end in spans] == expected
    assert window_spans(0, encoder, Cutting(segment)) == []
