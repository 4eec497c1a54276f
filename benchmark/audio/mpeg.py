"""The frames of MP3 files, for those that a decoder leaves before their end.

An encoder writes the number of frames into a first frame of silence, called the Xing or Info header. Where it is
lacking, a decoder can only guess the length from the file's size and its first frames. The guess is too short if later
frames are smaller than the first ones, as they may be where the bit rate varies, and libsndfile reads no further. Nor
does it where files were joined, of which each states its own length, nor over bytes that are no frame.

Source: ISO/IEC 11172-3, section 2.4.1.3 and 2.4.2.3, and ISO/IEC 13818-3; MPEG 2.5 and the Xing header by common
practice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Bits of a header that name the version: MPEG 1, 2 and 2.5.
_MPEG1, _MPEG2, _MPEG25 = 3, 2, 0
_LAYER_3 = 1
_RATES = {
    _MPEG1: (44_100, 48_000, 32_000),
    _MPEG2: (22_050, 24_000, 16_000),
    _MPEG25: (11_025, 12_000, 8_000),
}
_KBIT_MPEG1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MONO = 3
#: Samples by which a decoder is late, which it leaves out at the start of files that state their length.
DECODER_DELAY = 529
#: Frames in a row that are taken for audio: two bytes that look like a header occur in any data.
_IN_A_ROW = 4
#: How headers of Layer III frames begin.
_BEGINNING = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")


def frame_size(header: bytes) -> int:
    """Bytes of the Layer III frame whose first four bytes are `header`; 0 if they are no such header."""
    word = int.from_bytes(header, "big")
    version, kbit, rate = word >> 19 & 3, word >> 12 & 15, word >> 10 & 3
    if len(header) < 4 or word >> 21 != 0x7FF or word >> 17 & 3 != _LAYER_3:
        return 0
    if version not in _RATES or kbit in (0, 15) or rate == 3:
        return 0
    table, per_kbit = (_KBIT_MPEG1, 144_000) if version == _MPEG1 else (_KBIT_MPEG2, 72_000)
    return per_kbit * table[kbit - 1] // _RATES[version][rate] + (word >> 9 & 1)


@dataclass(frozen=True)
class Mp3:
    """The frames of an MP3 file.

    Attributes
    ----------
    frames
        Those that hold audio: where each begins and ends in the file [bytes].
    skipped
        Samples per channel that a decoder leaves out at the start of the file.
    frame_samples
        Samples per channel of a frame.
    stated
        How many frames of audio the file says that it has; 0 if it does not say.
    """

    frames: list[tuple[int, int]]
    skipped: int
    frame_samples: int
    stated: int = 0

    @property
    def samples(self) -> int:
        """Samples per channel that decode, padding at the end included."""
        return len(self.frames) * self.frame_samples - self.skipped

    @property
    def junk(self) -> int:
        """Bytes between the first and the last frame that are no frame."""
        inside = sum(end - begin for begin, end in self.frames)
        return self.frames[-1][1] - self.frames[0][0] - inside if self.frames else 0

    def mended(self, data: bytes) -> bytes:
        """The frames of the file `data`, and nothing else, behind a header that states their number.

        A decoder leaves out `DECODER_DELAY` samples at its start.
        """
        begin, _ = self.frames[0]
        first = data[begin : begin + 4]
        # The same without checksum and padding, at a bit rate at which the header fits in.
        header = bytes((0xFF, first[1] | 1, 9 << 4 | first[2] & 0x0C, first[3]))
        xing = header + bytes(_side_information(first)) + b"Xing" + (1).to_bytes(4, "big")
        xing += len(self.frames).to_bytes(4, "big")
        return xing.ljust(frame_size(header), b"\0") + b"".join(data[begin:end] for begin, end in self.frames)


def find_frames(data: bytes) -> Mp3:
    """Find the frames of an MP3 file, all of one version and rate; what is no frame is passed over."""
    found: list[tuple[int, int]] = []
    kind: tuple[int, int] | None = None
    at, in_step = 0, False
    while (at := at if in_step else _next(data, at)) >= 0 and at + 4 <= len(data):
        size = frame_size(data[at : at + 4])
        in_step = bool(size) and kind in (None, _kind(data, at)) and (in_step or _goes_on(data, at))
        if in_step:
            kind = _kind(data, at)
            found.append((at, at + size))
        at += size if in_step else 1
    if not found:
        return Mp3([], 0, 0)
    frame_samples = 1152 if _is_mpeg1(data[found[0][0] :]) else 576
    stated = _stated(data, *found[0])
    if not stated:
        return Mp3(found, 0, frame_samples)
    return Mp3(found[1:], DECODER_DELAY + _delay(stated), frame_samples, _count(stated))


def _next(data: bytes, at: int) -> int:
    """Where from `at` on a frame may begin; -1 if nowhere."""
    found = _BEGINNING.search(data, at)
    return found.start() if found else -1


def _goes_on(data: bytes, at: int) -> bool:
    """Whether one frame follows the other from here on, or up to the end."""
    for _ in range(_IN_A_ROW):
        size = frame_size(data[at : at + 4])
        if not size:
            return False
        at += size
        if at + 4 > len(data):
            break
    return True


def _kind(data: bytes, at: int) -> tuple[int, int]:
    """Version and rate of the frame that begins at `at`."""
    return data[at + 1] & 0x18, data[at + 2] & 0x0C


def _is_mpeg1(header: bytes) -> bool:
    return header[1] >> 3 & 3 == _MPEG1


def _stated(data: bytes, begin: int, end: int) -> bytes:
    """Xing or Info header of a frame, from its name on; nothing if there is none."""
    found = data[begin + 4 + _side_information(data[begin : begin + 4]) : end]
    return found if found[:4] in (b"Xing", b"Info") else b""


def _count(stated: bytes) -> int:
    """Frames that a Xing header counts; 0 if it does not."""
    return int.from_bytes(stated[8:12], "big") if stated[7:8] and stated[7] & 1 else 0


def _delay(stated: bytes) -> int:
    """Samples of padding at the start, which LAME and those who do as it does write behind the header."""
    flags = int.from_bytes(stated[4:8], "big")
    at = 8 + sum(size for bit, size in enumerate((4, 4, 100, 4)) if flags >> bit & 1)
    delay = stated[at + 21 : at + 24]
    return int.from_bytes(delay, "big") >> 12 if any(stated[at : at + 9]) and len(delay) == 3 else 0


def _side_information(header: bytes) -> int:
    """Bytes between a frame's header and its Xing header."""
    mono = header[3] >> 6 == _MONO
    return {(True, True): 17, (False, True): 32, (True, False): 9, (False, False): 17}[mono, _is_mpeg1(header)]
