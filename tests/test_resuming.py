"""What a killed attempt has left is gone on from only as far as it can be proved to be what was written."""

from __future__ import annotations

import os

import pytest
import soundfile
from conftest import tone
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import RATE, Told, planned, samples_of, ten_files

from benchmark.audio.decoding import decode
from benchmark.pretraining import saved_state
from benchmark.steps import prepare
from benchmark.store.sample_journal import resume
from benchmark.store.store import JOURNAL, Store


def test_an_attempt_that_was_killed_as_it_finished_leaves_nothing_in_the_artifact(tmp_path, monkeypatch):
    store = Store(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "adopt", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with store.claim("embed", "k", print, True) as claim:
            (claim.work / "a").write_text("x")
            store.finish("embed", "k", {"inputs": {}}, claim)
    with store.claim("embed", "k", print, True) as claim:
        assert {path.name for path in claim.work.iterdir()} == {"a", "manifest.json"}
        (claim.work / ".manifest.json-half").write_text("{")
        folder = store.finish("embed", "k", {"inputs": {}}, claim).path
    assert store.find("embed", "k") is not None
    assert {path.name for path in folder.iterdir()} == {"a", "manifest.json"}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A corpus, its step, the files of a work folder after eight of ten clips, and the samples of all."""
    place = tmp_path_factory.mktemp("interrupted")
    root = place / "music"
    root.mkdir()
    for n in range(10):
        soundfile.write(root / f"{n}.wav", tone(1.1, RATE, n), RATE)
    store = Store(place / "s")
    step = planned(root, store)

    def stop():
        raise KeyboardInterrupt

    (place / "part").mkdir()
    with pytest.raises(KeyboardInterrupt):
        prepare.compute(step, {}, place / "part", Told(8, stop))
    (place / "whole").mkdir()
    prepare.compute(step, {}, place / "whole", Told())
    left = {name: (place / "part" / name).read_bytes() for name in ("pcm.int16", JOURNAL)}
    return left, samples_of(place / "whole"), [path.stem + ".wav" for path in sorted(root.iterdir())]


@settings(max_examples=200)
@given(st.data())
def test_a_power_cut_while_decoding_costs_what_the_journal_cannot_prove(interrupted, tmp_path_factory, data):
    """Pages are zeroed, torn or never written; what resuming keeps is what was decoded, to the byte."""
    left, whole, ids = interrupted
    work = tmp_path_factory.mktemp("w")
    for name, content in left.items():
        changed = bytearray(content)
        for _ in range(data.draw(st.integers(0, 2))):
            at, size = data.draw(st.integers(0, len(changed))), data.draw(st.integers(1, 5000))
            how = data.draw(st.sampled_from(["zero", "tear", "cut"]))
            if how == "cut":
                del changed[at:]
            else:
                page = len(changed[at : at + size])
                changed[at : at + size] = bytes(page) if how == "zero" else os.urandom(page)
        (work / name).write_bytes(changed)
    done = resume(work / JOURNAL, work / "pcm.int16", ids)
    kept = samples_of(work)
    assert kept == whole[: len(kept)]
    lines = (work / JOURNAL).read_bytes()
    assert (len(lines.splitlines()), left[JOURNAL].startswith(lines)) == (done, True)
    if all((work / name).read_bytes() == content for name, content in left.items()):
        assert done == 8


def test_a_corpus_that_lost_power_is_what_it_would_have_been(tmp_path):
    folder = ten_files(tmp_path)
    store, work = Store(tmp_path / "s"), tmp_path / "w"
    work.mkdir()
    step = planned(folder, store)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare.compute(step, {}, work, Told(6, stop))
    (work / "pcm.int16").write_bytes(bytes((work / "pcm.int16").stat().st_size))
    (work / "spilt-left").write_bytes(b"x")
    told = Told()
    prepare.compute(step, {}, work, told)
    assert "from 0" in told.lines
    assert samples_of(work) == b"".join(decode(folder / f"{n}.wav", RATE).pcm.tobytes() for n in range(10))
    assert {path.name for path in work.iterdir()} == {"pcm.int16", "clips.jsonl", "problems.jsonl", JOURNAL}


@pytest.mark.parametrize("harmed", ["last.ckpt", "epoch-00001.safetensors", JOURNAL, None])
def test_a_training_state_is_gone_on_from_only_if_it_is_what_was_saved(tmp_path, harmed):
    state, kept = tmp_path / "last.ckpt", tmp_path / "epoch-00001.safetensors"
    for file, content in ((kept, b"weights"), (state, b"one"), (state, b"two")):
        saved_state.part_of(file).write_bytes(content)
        saved_state.keep(file)
    if harmed:
        file = tmp_path / harmed
        file.write_bytes(bytes(file.stat().st_size))
    damage = saved_state.drop_damaged(state, [kept, tmp_path / "epoch-00002.safetensors"])
    assert bool(damage) == (harmed is not None)
    assert state.exists() == (harmed is None)
