"""How long files of audio are by their own headers, of which hundreds are read in a second or two."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.environment import workers

#: Headers that are read; of more files, so many stand for all.
MOST = 400


def header_seconds(file: Path) -> float | None:
    """Duration that a file's header names [s]; ``None`` if it has none that can be read."""
    import soundfile

    try:
        found = soundfile.info(str(file))
    except (OSError, RuntimeError, ValueError):
        return None
    return found.frames / found.samplerate if found.samplerate else None


def headers_seconds(files: Sequence[Path], otherwise: float) -> NDArray[np.float64]:
    """Duration of every file by its header [files], in seconds.

    Parameters
    ----------
    files
        Of more than `MOST`, evenly spaced ones are read, and the others get their mean.
    otherwise
        Of a file whose header says nothing [s].
    """
    read = np.unique(np.linspace(0, len(files) - 1, MOST).round().astype(int)) if len(files) > MOST else None
    chosen = files if read is None else [files[place] for place in read]
    with ThreadPoolExecutor(workers()) as pool:
        found = np.array([otherwise if one is None else one for one in pool.map(header_seconds, chosen)], np.float64)
    if read is None:
        return found
    whole = np.full(len(files), found.mean())
    whole[read] = found
    return whole
