"""Clips decoded by worker processes, in order, and handed over in memory or, where they are long, in files."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from benchmark.audio.audio_source import Undecodable
from benchmark.audio.decoding import decode_into
from benchmark.audio.silenced import silence_decoders
from benchmark.environment import workers
from benchmark.libraries import library_errors
from tasks.base import Clip

#: Decoded clips that wait for their turn to be written, per worker.
AHEAD = 4
#: Samples of a clip that a worker hands over in memory; more go through a file [bytes].
HELD_BYTES = 2**24
SPILT = "spilt-"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a clip.

    Attributes
    ----------
    pcm
        Its samples, if they are few.
    spilt
        The file that holds them if they are many; whoever has read it removes it.
    samples, digest
        How many there are, and their hash.
    remark, failure
        What is odd about it, and why there is nothing of it.
    """

    pcm: bytes = b""
    spilt: Path | None = None
    samples: int = 0
    digest: str = ""
    remark: str = ""
    failure: str = ""

    def write_to(self, sound: IO[bytes]) -> None:
        """Append the samples to a file."""
        if self.spilt is None:
            sound.write(self.pcm)
            return
        with self.spilt.open("rb") as file:
            shutil.copyfileobj(file, sound, 2**20)
        self.spilt.unlink()


@dataclass(frozen=True)
class PlannedClip:
    """A clip, and what its file must hold.

    Attributes
    ----------
    clip
        Which one.
    sha256
        Of its file; ``None`` where nothing was hashed.
    lost
        Why there is nothing to decode, as it was seen when the step was planned.
    """

    clip: Clip
    sha256: str | None = None
    lost: str = ""


def clear_spilt(folder: Path) -> None:
    """Remove the samples that workers have left in a folder and nobody has taken."""
    for left in folder.glob(f"{SPILT}*"):
        left.unlink()


def decode_all(
    root: Path, clips: Sequence[PlannedClip], sample_rate: int, spill: Path | None = None, size: int | None = None
) -> Iterator[Outcome]:
    """Outcome of every clip, in order, with a bounded number decoded ahead, by `size` processes or one a core.

    Samples of long clips are left in files in the folder `spill`; without one, they are held in memory.

    Raises
    ------
    ChangedError
        If a file is not what it must be.
    """
    jobs = iter(clips)
    size = size or workers()
    pool = _pool(size)
    pending: deque[tuple[PlannedClip, Future[Outcome]]] = deque()
    try:
        while True:
            while len(pending) < AHEAD * size and (plan := next(jobs, None)) is not None:
                try:
                    pending.append((plan, pool.submit(decode_one, root, plan, sample_rate, spill)))
                except BrokenProcessPool:
                    pool = _pool(size)
                    pending.append((plan, pool.submit(decode_one, root, plan, sample_rate, spill)))
            if not pending:
                return
            plan, future = pending.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                yield _decode_alone(root, plan, sample_rate, spill)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode_alone(root: Path, plan: PlannedClip, sample_rate: int, spill: Path | None) -> Outcome:
    """Decode in a process of its own, to tell the file that crashes a decoder from those decoded beside it."""
    with _pool(1) as pool:
        try:
            return pool.submit(decode_one, root, plan, sample_rate, spill).result()
        except BrokenProcessPool:
            return Outcome(failure="crashes the decoder")


def _pool(size: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(size, mp_context=get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    """Say nothing, and end with the process that started this one, however that ends."""
    silence_decoders()
    with suppress(OSError, AttributeError):  # where the system is not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def decode_one(root: Path, plan: PlannedClip, sample_rate: int, spill: Path | None) -> Outcome:
    """Outcome of a clip, decoded in this process; see `decode_all`."""
    if plan.lost:
        return Outcome(failure=plan.lost)
    clip = plan.clip
    with _Samples(spill) as samples:
        try:
            # Here, for what an exception knows of its origin does not leave a process.
            with library_errors():
                remark = decode_into(
                    samples.add, root / clip.path, sample_rate, clip.promised, clip.excerpt, plan.sha256
                )
        except Undecodable as error:
            return Outcome(failure=str(error))
        return samples.outcome(remark)


class _Samples:
    """Takes the samples of a clip: into memory, or into a file in a folder once there are many."""

    def __init__(self, spill: Path | None) -> None:
        self._spill = spill
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self._hash = hashlib.blake2b(digest_size=16)
        self._count = 0

    def __enter__(self) -> _Samples:
        return self

    def add(self, block: NDArray[np.int16]) -> None:
        """Take more samples."""
        pcm = block.tobytes()
        self._hash.update(pcm)
        self._count += len(block)
        if self._file is None and self._spill is not None and len(self._held) + len(pcm) > HELD_BYTES:
            self._file = tempfile.NamedTemporaryFile(prefix=SPILT, dir=self._spill, delete=False)  # noqa: SIM115 (closed below)
            self._file.write(self._held)
            self._held.clear()
        if self._file is None:
            self._held += pcm
        else:
            self._file.write(pcm)

    def outcome(self, remark: str) -> Outcome:
        """All samples so far, for whoever takes them."""
        spilt = None
        if self._file is not None:
            self._file.close()
            spilt, self._file = Path(self._file.name), None
        return Outcome(bytes(self._held), spilt, self._count, self._hash.hexdigest(), remark)

    def __exit__(self, *raised: object) -> None:
        if self._file is not None:  # in vain
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
