"""What is known of the audio and the encoder of a step before it is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import USER_ERRORS
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


def planned_audio(step: Step) -> tuple[int, float]:
    """Number of clips that a step decodes or deforms, and their duration [s], as tables and headers tell."""
    clips, seconds = step.context["extent"]()
    prepared = next((one for one in (step, *step.needs.values()) if "limit" in one.spec), None)
    if prepared is not None and clips:
        kept = min(int(clips), int(prepared.spec["limit"]["clips"]))
        return kept, float(seconds) * kept / clips
    return int(clips), float(seconds)


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
