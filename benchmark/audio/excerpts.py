"""Whether excerpts lie inside their files, as far as headers tell before anything is decoded."""

from __future__ import annotations

from benchmark.audio.decoding import header_seconds
from benchmark.errors import UserError
from tasks import DatasetError
from tasks.base import Dataset

#: A table may state an end this much too late [s]: numbers are rounded.
ROUNDED = 0.05


def check_excerpts(dataset: Dataset) -> None:
    """Raise `UserError` if an excerpt ends beyond the end of its file, where the file's format tells its length.

    Of other formats, such as MP3, the length is known once they are decoded; what lies beyond it is left out then, and
    named.
    """
    try:
        clips = dataset.clips()
    except DatasetError:
        return  # what reads the labels says so
    lengths: dict[str, float | None] = {}
    for clip in clips:
        if clip.excerpt is None:
            continue
        if clip.path not in lengths:
            lengths[clip.path] = header_seconds(dataset.root / clip.path)
        length = lengths[clip.path]
        if length is not None and clip.excerpt[1] > length + ROUNDED:
            raise UserError(
                f"{dataset.locate(clip.id)}: the clip ends at {clip.excerpt[1]:g} s, and its file {clip.path} at "
                f"{length:.2f} s"
            )
