"""What is decoded is what was hashed: files that change, vanish or cannot be read meanwhile."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import tone
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import RATE, Told, planned, samples_of, ten_files

from benchmark.audio import checked_file
from benchmark.audio.checked_file import ChangedError, CheckedFile
from benchmark.audio.decoding import decode, decode_into
from benchmark.errors import UserError
from benchmark.registry.entries import DatasetEntry
from benchmark.registry.registry import Named
from benchmark.steps import prepare
from benchmark.store import digests
from benchmark.store.digests import DigestCache, Unread
from benchmark.store.store import Store, digest_file


def test_a_file_that_changes_or_vanishes_between_hashing_and_decoding_fails_the_step_by_name(tmp_path):
    folder = ten_files(tmp_path)
    store, work = Store(tmp_path / "s"), tmp_path / "w"
    work.mkdir()
    step = planned(folder, store)
    contents = {path: path.read_bytes() for path in folder.iterdir()}
    for harm, said in (
        (lambda: (folder / "7.wav").unlink(), "7.wav: cannot be read any more (No such file or directory)"),
        (lambda: (folder / "7.wav").write_bytes(contents[folder / "8.wav"]), "7.wav: changed while it was read"),
    ):
        hashed = prepare.contents

        def then_harmed(*arguments, hashed=hashed, harm=harm):
            found = hashed(*arguments)
            harm()
            return found

        prepare.contents = then_harmed
        try:
            with pytest.raises(ChangedError) as error:
                prepare.compute(step, {}, work, Told())
        finally:
            prepare.contents = hashed
        assert said in str(error.value)
        (folder / "7.wav").write_bytes(contents[folder / "7.wav"])
    facts = prepare.compute(step, {}, work, Told())
    assert (facts["clips"], facts["unusable"]) == (10, 0)
    assert samples_of(work) == b"".join(decode(folder / f"{n}.wav", RATE).pcm.tobytes() for n in range(10))


def test_only_what_was_not_there_or_not_readable_when_it_was_hashed_is_left_out(tmp_path):
    folder = ten_files(tmp_path)
    store, work = Store(tmp_path / "s"), tmp_path / "w"
    work.mkdir()
    (folder / "eio.wav").symlink_to("/proc/self/mem")  # a read fails as of a bad sector
    step = planned(folder, store)
    facts = prepare.compute(step, {}, work, Told())
    assert (facts["clips"], facts["unusable"]) == (10, 1)
    (problem,) = map(json.loads, (work / "problems.jsonl").read_text().splitlines())
    assert (problem["path"], problem["reason"]) == ("eio.wav", "cannot be read: Input/output error")
    (folder / "eio.wav").unlink()
    assert planned(folder, store).key != step.key  # once it can be read, or is gone, all is looked at again


@settings(max_examples=20)
@given(st.binary(min_size=1, max_size=700), st.data())
def test_a_checked_file_gives_the_bytes_of_its_digest_or_none(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("f") / "f"
    path.write_bytes(content)
    digest = digest_file(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checked_file, "BLOCK_BYTES", 64)
        patch.setattr(checked_file, "KEPT_BLOCKS", 3)
        patch.setattr(checked_file, "_last", None)
        with CheckedFile(path, digest) as file:
            at, size = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 200))
            file.seek(at)
            assert file.read(size) == content[at : at + size]
            assert file.seek(0, os.SEEK_END) == len(content)
            other = bytearray(content)
            other[data.draw(st.integers(0, len(content) - 1))] ^= 1
            path.write_bytes(other)
            file.seek(0)
            found = file.read()
            if found != content:
                assert content.startswith(found)
                with pytest.raises(ChangedError, match="changed while it was read"):
                    file.check()
        with pytest.raises(ChangedError, match="changed while it was read"):
            CheckedFile(path, digest)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_samples_of_a_checked_file_are_those_of_any(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(checked_file, "KEPT_BLOCKS", 0)  # as of a file of gigabytes
    monkeypatch.setattr(checked_file, "BLOCK_BYTES", 4096)
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, np.stack([tone(4, 44_100, 1), tone(4, 44_100, 2)], axis=1), 44_100)
    for excerpt in (None, (1.25, 2.5)):
        blocks: list[bytes] = []
        decode_into(lambda b, blocks=blocks: blocks.append(b.tobytes()), path, RATE, None, excerpt, digest_file(path))
        assert b"".join(blocks) == decode(path, RATE, None, excerpt).pcm.tobytes()


def test_a_digest_is_remembered_only_of_a_file_that_had_aged_and_whose_times_all_agree(tmp_path, monkeypatch):
    store, file = Store(tmp_path / "s"), tmp_path / "f"
    file.write_bytes(b"one")
    asked = []
    real = digests.digest_file
    monkeypatch.setattr(digests, "digest_file", lambda path: asked.append(path) or real(path))

    def found():
        from contextlib import nullcontext

        (digest,) = DigestCache(store).digests([file], lambda n: nullcontext(lambda n: None))
        return digest

    first = found()
    times = file.stat()
    # Written again in the same step of the clock: same size, and the old time put back.
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found() != first
    assert len(asked) == 2
    monkeypatch.setattr(digests, "YOUNG", 0)  # it has aged
    monkeypatch.setattr(digests, "time_there", lambda folder: time.time() + 1)
    second = found()  # remembered with its new time, if it has not been
    known = len(asked)
    assert (found(), len(asked)) == (second, known)
    file.write_bytes(b"one")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (found(), len(asked)) == (first, known + 1)
    file.unlink()
    assert found() == Unread("")
    os.mkfifo(file)
    assert found() == Unread("is a named pipe, not a file")


def test_tables_and_weights_that_change_meanwhile_fail_their_steps(tmp_path):
    from benchmark.registry.datasets import check_tables, contents, dataset_at

    (tmp_path / "m").mkdir()
    soundfile.write(tmp_path / "m" / "a.wav", tone(1.1, RATE, 0), RATE)
    (tmp_path / "m" / "labels.csv").write_text("path,split,mood\na.wav,train,glad\n")
    entry = DatasetEntry.model_validate({"class": "tasks.folder:LabelledFolder"})
    dataset = dataset_at(Named("m", entry, Path("r"), 1), tmp_path / "m")
    tables = contents(dataset, Store(tmp_path / "s"), Told()).tables
    check_tables(dataset, tables)
    (tmp_path / "m" / "labels.csv").write_text("path,split,mood\na.wav,train,sad\n")
    with pytest.raises(UserError, match="its tables were changed while this command ran"):
        check_tables(dataset, tables)
