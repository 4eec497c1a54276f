"""What is known of the audio and the encoder of a step before it is computed."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import USER_ERRORS
from benchmark.store.pcm import CLIPS, read_lines
from benchmark.store.step import Step
from benchmark.store.store import digest_of

if TYPE_CHECKING:
    from encoders.base import Encoder

#: Bytes of a sample of decoded audio, and of a number in float32.
INT16 = 2
FLOAT32 = 4
#: Weights, their copy in the training state, and Adam's two moments.
STATE_COPIES = 4

_built: dict[str, Encoder | Exception] = {}


def planned_lengths(step: Step) -> NDArray[np.float64]:
    """Duration of every clip that a step decodes or deforms [s]: exact once it is decoded, before as headers say."""
    decoded = _decoded(step)
    if decoded is not None:
        rate: int = step.spec["sample_rate"]
        return np.array([row["samples"] for row in decoded], np.float64) / rate
    lengths: NDArray[np.float64] = step.context["lengths"]()
    prepared = next((one for one in (step, *step.needs.values()) if "limit" in one.spec), None)
    if prepared is not None and len(lengths):
        lengths = np.full(min(len(lengths), prepared.spec["limit"]["clips"]), float(lengths.mean()))
    return lengths


def planned_audio(step: Step) -> tuple[int, float]:
    """Number of clips that a step decodes or deforms, and their duration [s]; see `planned_lengths`."""
    lengths = planned_lengths(step)
    return len(lengths), float(lengths.sum())


def planned_corpus(step: Step, splits: Collection[str] | None, seconds: float) -> int:
    """Number of clips of some splits (all by default) that are long enough [s]; before they are decoded, of all clips.

    Parameters
    ----------
    step
        Decodes them.
    splits, seconds
        Which ones.
    """
    decoded = _decoded(step)
    if decoded is None:
        return planned_audio(step)[0]
    least = seconds * step.spec["sample_rate"]
    return sum((not splits or row["split"] in splits) and row["samples"] >= least for row in decoded)


def _decoded(step: Step) -> list[dict[str, Any]] | None:
    """What a store holds of the step's clips, if it has been computed."""
    if "store" not in step.context:
        return None
    file = Path(step.context["store"]) / "artifacts" / step.kind / step.key / CLIPS
    try:
        return _rows(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


@lru_cache(8)
def _rows(file: Path, changed: int) -> list[dict[str, Any]]:
    """Lines of a file of clips; one for all encoders and seeds of a study, as long as it is not `changed`."""
    del changed
    return [{"split": row["split"], "samples": int(row["samples"])} for row in read_lines(file)]


def planned_encoder(step: Step) -> Encoder:
    """The encoder of a step's entry; one for all seeds and tasks, for a study names each many times.

    Raises
    ------
    UserError
        If it cannot be built.
    """
    from benchmark.encoding.windows import build_encoder

    named = step.context["encoder"]
    identity = digest_of([str(named.file), named.line, named.name, named.entry.class_path, named.entry.args])
    if identity not in _built:
        try:
            _built[identity] = build_encoder(named, 0)
        except USER_ERRORS as error:
            _built[identity] = error
    found = _built[identity]
    if isinstance(found, Exception):
        raise found
    return found
