"""How large the steps of a plan are, before any of them is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmark.encoding.windows import build_encoder, fill
from benchmark.engine.engine import Engine
from benchmark.engine.foreseen import foreseen
from benchmark.errors import USER_ERRORS
from benchmark.forecast.rates import Rates
from benchmark.plan.steps_and_runs import END_TO_END, Run, Step, planned_recipe, unique_steps
from benchmark.plan.studies import trained_encoders
from benchmark.steps.pretrain import total_steps
from benchmark.store.store import digest_of
from encoders.base import Encoder

#: Bytes of a stand-in's clip of six seconds as MP3, and of one label of one clip.
_STANDIN_CLIP = 24_000
_FLOAT = 4
_INT16 = 2
#: Weights, their copy in the training state, and Adam's two moments.
_STATE_COPIES = 4

_built: dict[str, Encoder | Exception] = {}


@dataclass(frozen=True)
class PlannedStep:
    """A line of a dry run.

    Attributes
    ----------
    state
        ``"cached"`` or ``"to do"``.
    work
        What there is to do, in words; empty if cached.
    bytes
        Size of the artifact, estimated where `state` is ``"to do"``.
    seconds
        What computing it takes on this device [s], from rates measured here; 0 if cached, or for steps that take
        little: labels, initial weights, probes.
    """

    kind: str
    key: str
    title: str
    state: str
    work: str
    bytes: int
    seconds: float


def planned_steps(
    runs: Sequence[Run], engine: Engine, rates: Rates, jobs: int | None = 1
) -> tuple[list[PlannedStep], list[str]]:
    """Every step of the runs that can be had, once, in order, with its state, size and duration.

    Parameters
    ----------
    runs, engine
        What is wanted, and what knows what the store holds of it.
    rates
        Of this device.
    jobs
        As for `benchmark.engine.foreseen.foreseen`.

    Returns
    -------
    steps
        Without those that only runs need which are known to fail.
    causes
        Why these will fail, each cause once.
    """
    causes = {step.key: str(error) for step, error in foreseen(runs, engine, jobs)}
    lines = {}
    for step in unique_steps(runs):
        artifact = engine.current(step)
        if artifact is not None:
            lines[step.key] = PlannedStep(step.kind, step.key, step.title, "cached", "", artifact.bytes, 0.0)
            continue
        try:
            work, size = _SIZES[step.kind](step)
            seconds = _seconds(step, rates)
        except Exception as error:  # of someone's encoder or dataset
            expected = isinstance(error, USER_ERRORS)
            causes.setdefault(step.key, str(error) if expected else f"{step.title}: {type(error).__name__}: {error}")
        else:
            lines[step.key] = PlannedStep(step.kind, step.key, step.title, "to do", work, size, seconds)
    wanted = engine.wanted(runs)
    fatal = {key: " ".join(cause.split()) for key, cause in causes.items() if key in wanted}
    hopeful = [
        run
        for run in runs
        if engine.current(run.probe) is not None or not any(step.key in fatal for step in run.probe.lineage())
    ]
    steps = [lines[step.key] for step in unique_steps(hopeful) if step.key in lines]
    return steps, list(dict.fromkeys(fatal.values()))


def _seconds(step: Step, rates: Rates) -> float:
    if step.kind == "prepare":
        return _audio(step)[1] / rates.decode()
    if step.kind not in ("pretrain", "supervise", "embed"):
        return 0.0
    clips, seconds = _audio(step.needs["pcm"])
    named, encoder = step.context["encoder"], _encoder(step)
    window = encoder.window or encoder.max_window
    if step.kind == "embed":
        return seconds * encoder.sample_rate / rates.encode(named)
    if step.kind == "pretrain":
        recipe = planned_recipe(step)
        views = 2 * total_steps(recipe, clips) * recipe.batch
    else:
        views = clips * int(step.spec["recipe"]["epochs"])
    rate = rates.train(named)
    return views * window / rate if rate else 0.0


def parameter_counts(runs: Sequence[Run]) -> dict[str, int]:
    """Parameters of every encoder that a recipe trains; one that cannot be built is left to the step that does."""
    counts = {}
    for name, run in trained_encoders(runs).items():
        with suppress(*USER_ERRORS):
            counts[name] = _encoder(run.probe.needs["weights"].needs["start"]).parameter_count()
    return counts


def _encoder(step: Step) -> Encoder:
    """The encoder of a step's entry; one for all seeds and tasks, for a study names each many times."""
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


def _audio(prepare: Step) -> tuple[int, float]:
    clips, seconds = prepare.context["extent"]()
    return int(clips), float(seconds)


def _standin(step: Step) -> tuple[str, int]:
    clips, _ = step.context["extent"]()
    return f"{clips:,} clips", clips * _STANDIN_CLIP


def _prepare(step: Step) -> tuple[str, int]:
    clips, seconds = _audio(step)
    return f"{clips:,} clips, {seconds / 3600:,.1f} h", int(seconds * step.spec["sample_rate"]) * _INT16


def _label(step: Step) -> tuple[str, int]:
    clips, _ = _audio(step.needs["pcm"])
    return f"{clips:,} clips", clips * 64


def _initialise(step: Step) -> tuple[str, int]:
    encoder = _encoder(step)
    if "weights" in step.context:
        fill(encoder, step.context["encoder"], step.context["weights"])  # whether they fit
    parameters = encoder.parameter_count()
    return f"{parameters:,} parameters", parameters * _FLOAT


def _pretrain(step: Step) -> tuple[str, int]:
    clips, _ = _audio(step.needs["pcm"])
    recipe = planned_recipe(step)
    pairs = total_steps(recipe, clips) * recipe.batch
    return f"at most {pairs:,} pairs", _encoder(step).parameter_count() * _FLOAT * _STATE_COPIES


def _deform(step: Step) -> tuple[str, int]:
    clips, seconds = _audio(step.needs["pcm"])
    return f"test clips among {clips:,}", int(seconds * step.needs["pcm"].spec["sample_rate"]) * _INT16


def _supervise(step: Step) -> tuple[str, int]:
    clips, _ = _audio(step.needs["pcm"])
    return f"{clips:,} clips at most", _encoder(step).parameter_count() * _FLOAT * _STATE_COPIES


def _embed(step: Step) -> tuple[str, int]:
    encoder = _encoder(step)
    clips, seconds = _audio(step.needs["pcm"])
    per_clip = max(1.0, seconds / clips * encoder.sample_rate // (encoder.window or encoder.max_window)) if clips else 0
    windows = int(clips * per_clip)
    layers = max(1, len(encoder.layers())) if step.spec["layers"] else 1
    return f"about {windows:,} windows", windows * encoder.dim * _FLOAT * layers


def _probe(step: Step) -> tuple[str, int]:
    clips, _ = _audio(step.needs["labels"].needs["pcm"])
    protocol = step.spec["protocol"]
    if protocol == END_TO_END:
        return "the trained head", clips * 50
    for instead in (protocol.get("estimator"), protocol.get("readout")):
        if instead is not None:
            return str(instead.get("kind") or instead["class_path"]), clips * 50
    length = f"{protocol['max_epochs']} epochs" if protocol["max_epochs"] else f"{protocol['max_steps']:,} steps"
    return f"{length} at most", clips * 50


_SIZES: dict[str, Callable[[Step], tuple[Any, int]]] = {
    "standin": _standin,
    "prepare": _prepare,
    "deform": _deform,
    "label": _label,
    "initialise": _initialise,
    "pretrain": _pretrain,
    "supervise": _supervise,
    "embed": _embed,
    "probe": _probe,
}
