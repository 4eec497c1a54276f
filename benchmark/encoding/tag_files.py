"""Tags of anyone's audio files, by the head that a published tagger brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.audio.decoding import decode_blocks
from benchmark.console import Reporter
from benchmark.encoding.encode_files import AudioFile, stream_windows
from benchmark.encoding.windows import CPU_BATCH, device, exact_float32, to_waveform, window_spans
from benchmark.errors import UserError
from encoders.base import Encoder
from encoders.capabilities import Tagger


@dataclass(frozen=True)
class Tagged:
    """What a tagger says of a file.

    Attributes
    ----------
    path
        The file.
    windows
        Number of windows that were tagged.
    tags
        Tag -> probability in [0, 1], the mean over the windows; the most probable first.
    """

    path: Path
    windows: int
    tags: dict[str, float]


def check_tagger(encoder: Encoder, name: str) -> None:
    """Raise `UserError` if an encoder of this name has no tags to tell."""
    if not isinstance(encoder, Tagger):
        raise UserError(f"encoder {name}: has no tags of its own; `bench list encoders` names taggers, as musicnn_mtt")


def tag_files(files: Sequence[AudioFile], encoder: Encoder, reporter: Reporter) -> list[Tagged]:
    """Tags of files, each the mean over its windows; a last part that does not fill a window is dropped.

    Parameters
    ----------
    files
        From `benchmark.encoding.encode_files.open_files`.
    encoder
        A `encoders.capabilities.Tagger`, put into evaluation mode and onto the device.
    reporter
        Shows progress.
    """
    assert isinstance(encoder, Tagger)
    encoder.eval().to(device())
    counts = [len(window_spans(file.samples, encoder)) for file in files]
    found = []
    with reporter.progress(f"tag {len(files)} {'file' if len(files) == 1 else 'files'}", sum(counts), "windows") as go:
        for file, count in zip(files, counts, strict=True):
            total = np.zeros(len(encoder.tag_names))
            for batch in _batches(file, encoder, encoder.left_context):
                with torch.inference_mode(), exact_float32():
                    stack = torch.from_numpy(np.stack(batch)).to(device())
                    total += encoder.tags(to_waveform(stack).unsqueeze(1)).double().sum(dim=0).cpu().numpy()
                go(len(batch))
            means = dict(zip(encoder.tag_names, (total / count).tolist(), strict=True))
            ordered = sorted(means.items(), key=lambda item: -item[1])
            found.append(Tagged(file.path, count, dict(ordered)))
    return found


def _batches(file: AudioFile, encoder: Encoder, context: int) -> list[list[NDArray[np.int16]]]:
    """Windows of a file in lists of one length, all but the first behind what comes before them."""
    heard = []
    before = np.empty(0, np.int16)
    for window in stream_windows(decode_blocks(file.path, encoder.sample_rate), file.samples, encoder):
        heard.append(np.concatenate([before, window.pcm]))
        before = window.pcm[len(window.pcm) - context :]
    return [
        list(alike[start : start + CPU_BATCH])
        for _, group in groupby(heard, len)
        for alike in [list(group)]
        for start in range(0, len(alike), CPU_BATCH)
    ]
