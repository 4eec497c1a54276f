"""Sounds shorter than a second that are whole, such as a stroke of a drum, told from what is left of longer files.

A file of which no table promises a length is taken for a stub if little decodes of it. It is none if it holds exactly
what its own header promises: a RIFF or AIFF file as many bytes as its outermost chunk says, a FLAC file as many
samples, an Ogg file a page that ends its stream, an MP3 file as many frames as its Xing header counts.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.audio.audio_source import AudioSource, Undecodable, audio_source
from benchmark.audio.mpeg import find_frames
from benchmark.audio.silenced import decoders_silenced

#: Shorter than this [s], a decoded file of unknown length is taken for a stub unless it is whole: broken files decode
#: to a few frames without an error.
MIN_SECONDS = 1.0
#: Larger files hold no less than that [bytes]: a second at 192,000 Hz of two channels, 4 bytes each.
LARGEST = 2 * 4 * 192_000
#: Where the last page of an Ogg stream begins, from the end of the file at most [bytes].
_LAST_PAGE = 65_307
#: In the header of a page: that it ends its stream.
_ENDS_STREAM = 4


def one_shot_seconds(path: Path) -> float | None:
    """Duration that a short and whole file's header promises [s]; ``None`` of any other file.

    Reads the header alone, of files so small that they may be short; of others nothing.
    """
    try:
        if path.stat().st_size > LARGEST:
            return None
        with audio_source(path) as source, decoders_silenced(), source.opened() as file:
            seconds = float(file.frames / file.samplerate)
            return seconds if seconds < MIN_SECONDS and is_whole(source, file.format, seconds) else None
    except (OSError, RuntimeError, Undecodable, ZeroDivisionError):
        return None


def is_whole(source: AudioSource, container: str, seconds: float) -> bool:
    """Whether a file holds what its header promises, and `seconds` that decode are all of that.

    Parameters
    ----------
    source
        The file.
    container
        Its format as libsndfile calls it.
    seconds
        Duration of what decodes [s].
    """
    data = source.content(LARGEST)
    if seconds <= 0 or len(data) < source.size:
        return False
    if container in ("WAV", "WAVEX", "AIFF"):
        promised = int.from_bytes(data[4:8], "big" if container == "AIFF" else "little")
        return 8 < promised + 8 <= source.size
    if container == "FLAC":
        frames, rate = _of_flac(data)
        return frames > 0 and abs(frames / rate - seconds) < 1e-3
    if container == "OGG":
        page = data.rfind(b"OggS", max(0, len(data) - _LAST_PAGE))
        return page >= 0 and len(data) > page + 5 and bool(data[page + 5] & _ENDS_STREAM)
    if container == "MP3":
        mp3 = find_frames(data)
        return 0 < mp3.stated <= len(mp3.frames) and mp3.frames[-1][1] <= len(data)
    return False


def _of_flac(data: bytes) -> tuple[int, int]:
    """Samples per channel that the first block of a FLAC file states, 0 if it does not, and its rate [Hz]."""
    start = data.find(b"fLaC") + 8  # behind the mark and the header of the block
    word = int.from_bytes(data[start + 10 : start + 18], "big")
    return word & (2**36 - 1), max(1, word >> 44)
