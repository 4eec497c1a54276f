"""What a file claims of itself takes neither memory nor time: headers, tables, pipes, devices, archives."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import tone
from small_corpus import RATE, Told, planned, ten_files

from benchmark.audio import decoding, worker_decoding
from benchmark.audio.audio_source import Undecodable
from benchmark.audio.decoding import decode, decode_into
from benchmark.errors import UserError
from benchmark.steps import prepare
from benchmark.store.store import Store, digest_file


def header(path: Path, rate: int, channels: int) -> Path:
    """A WAV file whose header claims these."""
    data = tone(1.2, RATE, 0)
    soundfile.write(path, data, RATE)
    content = bytearray(path.read_bytes())
    content[22:24] = channels.to_bytes(2, "little")
    content[24:28] = rate.to_bytes(4, "little")
    content[32:34] = (2 * channels).to_bytes(2, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("rate", "channels", "said"),
    [(1, 1, "a rate of 1 Hz"), (2_000_000_000, 1, "a rate of 2,000,000,000 Hz"), (RATE, 400, "400 channels")],
)
def test_a_header_that_claims_what_takes_memory_is_a_problem_with_a_reason(tmp_path, rate, channels, said):
    with pytest.raises(Undecodable, match=f"out of bounds: its header claims {said}"):
        decode(header(tmp_path / "x.wav", rate, channels), 22_050)


def test_what_a_table_promises_takes_no_memory_and_a_file_has_a_longest_length(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", tone(2, RATE, 0), RATE)
    with pytest.raises(Undecodable, match="stub"):
        decode(tmp_path / "x.wav", RATE, 1e300)
    monkeypatch.setattr(decoding, "LONGEST_SECONDS", 1)
    with pytest.raises(Undecodable, match="out of bounds: is longer than the 0 h that are read"):
        decode(tmp_path / "x.wav", RATE)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_nothing_waits_for_a_pipe_or_reads_a_device(tmp_path, kind):
    path = tmp_path / "x.wav"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        import socket

        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
    for ask in (lambda: decode(path, RATE), lambda: decode(path, RATE, 1.0, (0.0, 1.0))):
        with pytest.raises(Undecodable, match="not readable as audio"):
            ask()
    assert decoding.header_seconds(path) is None
    assert decoding.header_problem(path).startswith("not readable as audio")


def test_long_clips_go_through_files_and_leave_none(tmp_path, monkeypatch):
    """Where a worker may hold nothing, the artifact is the same."""
    folder = ten_files(tmp_path)
    whole = []
    for name, held in (("a", 2**24), ("b", 0)):
        monkeypatch.setattr(worker_decoding, "HELD_BYTES", held)
        monkeypatch.setattr(worker_decoding, "_pool", lambda size: _InThisProcess())
        work = tmp_path / name
        work.mkdir()
        prepare.compute(planned(folder, Store(tmp_path / f"s{name}")), {}, work, Told())
        whole.append({path.name: path.read_bytes() for path in work.iterdir()})
    assert whole[0] == whole[1]


class _InThisProcess:
    """A pool that has none."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future: Future = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, **_):
        pass


@pytest.mark.slow
def test_ten_hours_take_the_memory_of_a_block(tmp_path):
    import tracemalloc

    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(600):
            file.write(np.zeros(60 * 8_000, np.float32))
    digest, count = digest_file(path), [0]
    tracemalloc.start()
    decode_into(lambda block: count.__setitem__(0, count[0] + len(block)), path, 8_000, sha256=digest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == [36_000 * 8_000]
    assert peak < 2**26


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path, monkeypatch, kind):
    import tarfile
    import zipfile

    from benchmark.data import unpack

    monkeypatch.setattr(unpack, "ANY_SIZE", 2**20)
    (tmp_path / "zeros").write_bytes(bytes(2**24))
    archive, into = tmp_path / f"a.{kind}", tmp_path / "into"
    into.mkdir()
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(tmp_path / "zeros", "zeros")
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(tmp_path / "zeros", "zeros")
    with pytest.raises(UserError, match="unpacks to over 200 times its size"):
        unpack.unpack([archive], "a", into, lambda n: None)
    assert sum(path.stat().st_size for path in into.rglob("*")) < 2**23
