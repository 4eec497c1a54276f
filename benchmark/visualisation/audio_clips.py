"""Short excerpts of clips as Ogg Vorbis, small enough to be embedded in a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.audio.audio_source import Undecodable
from benchmark.audio.decoding import FULL_SCALE, decode
from benchmark.errors import UserError
from benchmark.store.pcm import Pcm
from tasks.base import Dataset

#: Length of an excerpt [s]: the window with what is around it, but never less or more than this.
SHORTEST, LONGEST = 3.0, 6.0
#: Silence turns into music, and back, over so long [s]: a cut wave clicks.
FADE = 0.02
#: libsndfile's scale from 0 (best) to 1 (smallest): about 40 kbit/s for mono at 22,050 Hz.
_COMPRESSION = 0.9


class Excerpts:
    """Cuts excerpts out of a dataset's clips.

    Parameters
    ----------
    pcm
        Decoded audio in the store; ``None`` if it was deleted since.
    dataset
        The dataset's own files, which are decoded where there is no `pcm`; ``None`` if they are gone.
    sample_rate : int
        The encoder's [Hz]; what is heard is what it heard.
    """

    def __init__(self, pcm: Pcm | None, dataset: Dataset | None, sample_rate: int) -> None:
        self._pcm = pcm
        self._sample_rate = sample_rate
        self._root = None if dataset is None else dataset.root
        # Where a file holds several clips, which part of it each is.
        self._parts: dict[str, tuple[float, float] | None] = {}
        if pcm is not None:
            self._paths = {clip.id: clip.path for clip in pcm.clips}
        else:
            clips = dataset.clips() if dataset is not None else ()
            self._paths = {clip.id: clip.path for clip in clips}
            self._parts = {clip.id: clip.excerpt for clip in clips}
        self._clips = {} if pcm is None else {clip.id: clip for clip in pcm.clips}
        self._decoded: dict[str, NDArray[np.int16]] = {}

    def path(self, clip_id: str) -> str:
        """File of a clip, relative to the dataset's folder; empty if nothing says it."""
        return self._paths.get(clip_id, "")

    def cut(self, clip_id: str, second: float, window_seconds: float) -> tuple[NDArray[np.int16], float]:
        """A window with what is around it, and where in the clip that begins [s].

        Parameters
        ----------
        second, window_seconds
            Start and length of the window in the clip [s].

        Raises
        ------
        UserError
            If the clip's audio is neither in the store nor in the dataset's folder.
        """
        waveform = self._waveform(clip_id)
        rate = self._sample_rate
        # A window longer than an excerpt is heard from its beginning.
        window = min(window_seconds, LONGEST)
        length = min(round(min(max(1.2 * window, SHORTEST), LONGEST) * rate), len(waveform))
        around = max(length - round(window * rate), 0) // 2
        start = min(max(round(second * rate) - around, 0), len(waveform) - length)
        return faded(waveform[start : start + length], rate), start / rate

    def _waveform(self, clip_id: str) -> NDArray[np.int16]:
        if self._pcm is not None:
            return self._pcm.waveform(self._clips[clip_id])
        if clip_id not in self._decoded:
            if self._root is None or not self.path(clip_id):
                raise UserError(f"clip {clip_id}: its audio is no longer in the store; the same `bench run` decodes it")
            file: Path = self._root / self.path(clip_id)
            try:
                self._decoded[clip_id] = decode(file, self._sample_rate, excerpt=self._parts.get(clip_id)).pcm
            except Undecodable as error:
                raise UserError(f"{file}: {error}; without --audio the page needs no audio") from None
        return self._decoded[clip_id]


def faded(waveform: NDArray[np.int16], sample_rate: int) -> NDArray[np.int16]:
    """`waveform` [samples] with its ends faded."""
    steps = min(round(FADE * sample_rate), len(waveform) // 2)
    ramp = np.linspace(0.0, 1.0, steps, dtype=np.float32)
    scaled = waveform.astype(np.float32)
    scaled[:steps] *= ramp
    scaled[len(scaled) - steps :] *= ramp[::-1]
    return np.asarray(np.rint(scaled), dtype=np.int16)


def ogg(waveform: NDArray[np.int16], sample_rate: int) -> bytes:
    """`waveform` [samples], mono, as Ogg Vorbis."""
    import soundfile

    buffer = io.BytesIO()
    scaled = waveform.astype(np.float32) / FULL_SCALE
    soundfile.write(buffer, scaled, sample_rate, format="OGG", subtype="VORBIS", compression_level=_COMPRESSION)
    return buffer.getvalue()


def data_uri(audio: bytes) -> str:
    """Ogg bytes as the address of an audio element."""
    return f"data:audio/ogg;base64,{base64.b64encode(audio).decode('ascii')}"
