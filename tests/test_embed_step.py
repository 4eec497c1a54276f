"""Encoding that was killed goes on where it was, wherever that happened."""

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


def test_an_empty_note_of_progress_is_survived(tmp_path, whole):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / dataset_pass.PROGRESS).write_text("")  # what a kill could leave
    said, _, work = encode(tmp_path, "work")
    assert said == "encode: from 0"
    np.testing.assert_array_equal(open_embeddings(work).rows, whole)


def test_a_kill_while_progress_is_noted_loses_one_batch(tmp_path, whole, monkeypatch):
    written, written_whole = [], Path.write_text

    def cut_short(path, text):
        written.append(text)
        written_whole(path, text if len(written) < 3 else "")
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", cut_short)
    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path, "work")
    monkeypatch.setattr(Path, "write_text", written_whole)
    said, _, work = encode(tmp_path, "work")
    assert said == f"encode: from {written[1]}"
    assert int(written[1]) > 0
    np.testing.assert_array_equal(open_embeddings(work).rows, whole)
    assert sorted(path.name for path in work.iterdir()) == ["embeddings.0.float32", "index.npz"]


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
    assert not (work / dataset_pass.PROGRESS).exists()


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
