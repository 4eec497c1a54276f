"""MP3 files that libsndfile leaves before their end, and those that it does not."""

import io

import numpy as np
import pytest
import soundfile
import soxr
from conftest import tone
from hypothesis import given
from hypothesis import strategies as st

from benchmark.audio import decoding as audio
from benchmark.audio.decoding import decode, decode_blocks, decoded_length, to_int16
from benchmark.audio.mpeg import DECODER_DELAY, Mp3, find_frames, frame_size

SECONDS = 4
#: From many to few bits, as the guess is made from the first frames.
LEVELS = (0.0, 0.5, 0.9)
ID3 = b"ID3\x03\0\0\0\0\x10\0" + bytes(2048)
ID3_AT_THE_END = b"TAG" + bytes(125)
APE = b"APETAGEX" + np.random.default_rng(0).bytes(20_000)


def encoded(seed, rate, channels, level, mode="CONSTANT"):
    waveform = np.stack([tone(SECONDS, rate, seed + channel) for channel in range(channels)], axis=1)
    out = io.BytesIO()
    soundfile.write(out, waveform, rate, format="MP3", bitrate_mode=mode, compression_level=level)
    return out.getvalue()


def frames_of(data):
    """Frames of an MP3 file, but for one that states its length."""
    return [data[begin:end] for begin, end in find_frames(data).frames]


def falling(rate, channels):
    """Frames of falling size, none of which states their number."""
    return [frame for level in LEVELS for frame in frames_of(encoded(1, rate, channels, level))]


@pytest.mark.parametrize(("rate", "channels", "samples"), [(44_100, 2, 1152), (16_000, 1, 576)])
@pytest.mark.parametrize("tags", [(b"", b""), (ID3, ID3_AT_THE_END)], ids=["plain", "tagged"])
def test_frames_behind_the_guessed_length_are_read(tmp_path, rate, channels, samples, tags):
    frames = falling(rate, channels)
    path = tmp_path / "x.mp3"
    path.write_bytes(tags[0] + b"".join(frames) + tags[1])
    guessed, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert len(guessed) < 0.9 * samples * len(frames)

    found = decode(path, rate)
    assert found.remark == ""
    assert len(found.pcm) == samples * len(frames)
    assert len(frames) * samples / rate == pytest.approx(len(LEVELS) * SECONDS, rel=0.03)
    # Up to where libsndfile stops by itself it is the same, and behind it there is music.
    assert np.array_equal(found.pcm[: len(guessed)], to_int16(guessed.sum(axis=1), audio.FULL_SCALE / channels))
    assert np.abs(found.pcm[-rate // 2 :]).max() > 500
    resampled = soxr.resample(found.pcm / 32_768, rate, 11_025)
    np.testing.assert_allclose(decode(path, 11_025).pcm / 32_768, resampled, atol=1e-3)
    assert sum(map(len, decode_blocks(path, rate))) == decoded_length(path, rate) == len(found.pcm)


def test_files_joined_behind_one_another_are_read_to_the_end(tmp_path):
    """Each states its own length; the second starts with a frame of silence, in which that stands."""
    first, second = encoded(1, 44_100, 2, 0.3, "VARIABLE"), encoded(5, 44_100, 2, 0.6, "VARIABLE")
    path = tmp_path / "x.mp3"
    lengths = []
    pieces = []
    for data in (first, second, first + second):
        path.write_bytes(data)
        lengths.append(len(decode(path, 44_100).pcm))
        pieces.append(decode(path, 44_100).pcm)
    assert lengths[0] == lengths[1] == SECONDS * 44_100
    assert lengths[0] + lengths[1] < lengths[2] < lengths[0] + lengths[1] + 5 * 1152
    assert np.array_equal(pieces[2][: lengths[0]], pieces[0])


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (22_050, 1)])
def test_files_that_are_read_to_their_end_are_not_read_again(tmp_path, monkeypatch, mode, rate, channels):
    def never(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(Mp3, "mended", never)
    path = tmp_path / "x.mp3"
    for level in (0.1, 0.7):
        for end in (b"", ID3_AT_THE_END, APE):
            path.write_bytes(encoded(1, rate, channels, level, mode) + end)
            assert len(decode(path, rate).pcm) == SECONDS * rate


def test_what_lies_around_the_frames_does_no_harm(tmp_path):
    """Without a stated length, libsndfile ends in an error if anything large follows the frames."""
    frames = frames_of(encoded(1, 44_100, 2, 0.5))
    path = tmp_path / "x.mp3"
    found = []
    for start, end in ((b"", b""), (b"", APE), (bytes(1_000), b""), (ID3, APE + ID3_AT_THE_END)):
        path.write_bytes(start + b"".join(frames) + end)
        found.append(decode(path, 44_100))
        assert found[-1].remark == ""
        assert np.array_equal(found[-1].pcm, found[0].pcm)
    assert len(found[0].pcm) == 1152 * len(frames)


def test_what_is_broken_in_the_middle_is_said_and_the_rest_is_read(tmp_path):
    frames = frames_of(encoded(1, 44_100, 2, 0.5))
    path = tmp_path / "x.mp3"
    path.write_bytes(b"".join(frames[:60]) + APE + b"".join(frames[60:]))
    found = decode(path, 44_100)
    assert found.remark == f"damaged: {len(APE):,} bytes amid its frames are no audio"
    assert len(found.pcm) == 1152 * len(frames)
    path.write_bytes(b"".join(frames))
    whole = decode(path, 44_100).pcm
    # A frame may need bits of the one before, which libsndfile has lost at the gap.
    assert np.count_nonzero(found.pcm != whole) == 0


def test_a_cut_off_file_is_as_long_as_what_is_left(tmp_path):
    frames = falling(44_100, 2)
    path = tmp_path / "x.mp3"
    path.write_bytes(b"".join(frames)[: -len(frames[-1]) // 2])
    assert len(decode(path, 44_100).pcm) == pytest.approx(1152 * len(frames), abs=2 * 1152)


def test_the_length_that_is_stated_is_the_number_of_frames():
    frames = falling(16_000, 1)
    mp3 = find_frames(ID3 + b"".join(frames))
    assert (len(mp3.frames), mp3.skipped, mp3.frame_samples, mp3.junk) == (len(frames), 0, 576, 0)
    whole = mp3.mended(ID3 + b"".join(frames))
    with soundfile.SoundFile(io.BytesIO(whole)) as file:
        assert file.frames == 576 * len(frames) - DECODER_DELAY
    again = find_frames(whole)
    assert (len(again.frames), again.skipped) == (len(frames), DECODER_DELAY)
    assert find_frames(encoded(1, 44_100, 2, 0.5)).skipped == DECODER_DELAY + 576  # LAME's usual delay


@given(st.binary(max_size=600))
def test_any_bytes_are_looked_at_without_an_error(data):
    mp3 = find_frames(data)
    assert all(end - begin == frame_size(data[begin : begin + 4]) for begin, end in mp3.frames)
    assert mp3.frames == sorted(mp3.frames)
    if mp3.frames:
        assert mp3.mended(data).endswith(data[slice(*mp3.frames[-1])])
