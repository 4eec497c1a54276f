"""One cell of a grid: from its factors to its runs, or to why they cannot be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from benchmark.errors import USER_ERRORS, UserError, unknown_name
from benchmark.plan.steps_and_runs import ALL_LAYERS, AS_GIVEN, END_TO_END, UNTRAINED, Lost, Request, Run, Step
from benchmark.registry.entries import EncoderEntry, SupervisedEntry
from benchmark.registry.overrides import changes_in_words, override
from benchmark.registry.readouts import own_readout, readout_code
from benchmark.registry.registry import JOINT, Named

if TYPE_CHECKING:
    from benchmark.plan.planner import Planner

#: What the user can put right in files of theirs.
TROUBLE = (*USER_ERRORS, OSError)


class Cell:
    """The runs of one encoder, corpus, recipe, task, protocol and seed: one for each layer, fraction of labels, ..."""

    def __init__(
        self,
        planner: Planner,
        request: Request,
        encoder: str,
        parts: Sequence[Named[EncoderEntry]],
        corpus: str,
        recipe: str,
        task: str,
        protocol: str,
        seed: int,
        error: Exception | None,
    ) -> None:
        self._planner = planner
        self._request = request
        self._registry = planner.registry
        self._parts = parts
        self._corpus = corpus
        self._recipe = recipe
        self._task = task
        self._seed = seed
        self._error = error
        named = self._registry.sections["recipes"].get(recipe)
        trained = recipe not in (UNTRAINED, AS_GIVEN)
        self._supervised = trained and named is not None and isinstance(named.entry, SupervisedEntry)
        self._pretrained = trained and not self._supervised
        self._protocol = END_TO_END if self._supervised else protocol
        changes = changes_in_words(request.overrides)
        names = [_name_at_rate(part, request.sample_rate) for part in planner.registry.encoder_names(encoder)]
        self._names: dict[str, Any] = {
            "encoder": JOINT.join(names),
            "corpus": corpus if self._pretrained else None,
            "recipe": f"{recipe}({changes})" if changes and trained else recipe,
            "task": task,
            "protocol": self._protocol,
            "seed": seed,
        }

    def planned(self) -> Iterator[Run | Lost]:
        """Every layer, fraction of labels and deformation that is asked for, if it can be had."""
        layers: Sequence[str | None] = self._request.layers or [None]
        error: Exception | None = None
        try:
            self._check()
            layers = self._layers()
        except TROUBLE as trouble:
            error = trouble
        for layer, labels, deform in product(layers, self._request.labels, self._request.deforms):
            try:
                if error is not None:
                    raise error
                yield self._run(layer, labels, deform)
            except TROUBLE as found:
                yield Lost(**self._names, layer=layer, labels=labels, deform=deform, cause=_in_a_line(found))

    def _check(self) -> None:
        """Raise `UserError` for what makes all of the runs impossible."""
        if self._error is not None:
            raise self._error
        task = self._registry.task(self._task).entry
        if self._recipe not in (UNTRAINED, AS_GIVEN):
            self._registry.recipe(self._recipe)
        if self._pretrained:
            self._registry.corpus(self._corpus)
        if not self._supervised:
            self._registry.protocol(self._protocol)
        if task.folds and (self._supervised or self._request.probe_every is not None):
            what = f"recipe {self._recipe}" if self._supervised else "--probe-every"
            raise UserError(f"task {self._task} has folds, and {what} needs a single split")
        if self._supervised and len(self._parts) > 1:
            raise UserError(
                f"{self._names['encoder']}: recipe {self._recipe} trains one encoder at a time; name them one by one"
            )

    def _layers(self) -> Sequence[str | None]:
        if not self._request.layers:
            return [None]
        if len(self._parts) > 1:
            raise UserError(f"{self._names['encoder']}: layers are probed for one encoder at a time")
        if ALL_LAYERS not in self._request.layers:
            return self._request.layers
        (named,) = self._parts
        known = self._planner.layers(named)
        if not known:
            raise UserError(f"encoder {named.name} has no layers; leave out --layer")
        return known

    def _check_layer(self, layer: str) -> None:
        (named,) = self._parts
        known = self._planner.layers(named)
        if layer not in known:
            raise unknown_name(f"layer of {named.name}", layer, known)

    def _run(self, layer: str | None, labels: float, deform: str | None) -> Run:
        if layer is not None:
            self._check_layer(layer)
        names = {**self._names, "layer": layer, "labels": labels, "deform": deform}
        spec: dict[str, Any] = {
            "run": names,
            "protocol": END_TO_END
            if self._supervised
            else _numbers(self._registry.protocol(self._protocol).entry.model_dump(mode="json")),
            "metrics": list(self._registry.task(self._task).entry.metrics),
            "seed": self._seed,
        }
        if layer is not None:
            spec["layer"] = layer
        if labels != 1 and not self._supervised:
            spec["labels"] = labels
        needs: dict[str, Step] = {}
        for number, named in enumerate(self._parts):
            suffix = f".{number}" if number else ""
            pcm = self._planner.prepare_step(self._registry.task(self._task).entry.dataset, _rate(named))
            labelled = self._planner.label_step(self._task, pcm, self._request.allow_missing)
            weights = self._weights(named, labelled, labels)
            needs[f"embeddings{suffix}"] = self._embed(named, weights, pcm, layer is not None)
            needs[f"weights{suffix}"] = weights
            if "labels" not in needs:
                self._planner.check_fit(self._task, None if self._supervised else self._protocol, labelled)
                needs["labels"] = labelled
            if deform is not None:
                deformed = _deform(deform, pcm, labelled)
                needs[f"deformed{suffix}"] = self._embed(named, weights, deformed, layer is not None)
        extras = [f"layer {layer}"] * (layer is not None) + [f"{100 * labels:g}% of labels"] * (labels != 1)
        extras += [f"test audio with {deform}"] * (deform is not None)
        title = (
            f"probe {self._task} on {names['encoder']} ({names['recipe']}), {self._protocol}, seed {self._seed}"
            + "".join(f", {extra}" for extra in extras)
        )
        context: dict[str, Any] = {}
        if not self._supervised and (own := own_readout(self._registry.protocol(self._protocol))) is not None:
            spec["readout"] = readout_code(own)
            context["readout"] = own
        return Run(**names, probe=Step("probe", spec, needs, title, context))

    def _embed(self, named: Named[EncoderEntry], weights: Step, pcm: Step, layers: bool) -> Step:
        dataset = self._registry.task(self._task).entry.dataset
        spec: dict[str, Any] = {"layers": ALL_LAYERS if layers else None}
        protocol = None if self._supervised else self._registry.protocol(self._protocol).entry
        if protocol is not None and protocol.examples == "segments":
            # Encoders of any length take a segment at a time, not the clip.
            spec["segment_seconds"] = protocol.segment_seconds
        what = f"{dataset}, {pcm.spec['deform']}" if pcm.kind == "deform" else dataset
        return Step(
            "embed",
            spec,
            {"weights": weights, "pcm": pcm},
            f"embed {what} with {named.name} ({self._names['recipe']})" + (", all layers" if layers else ""),
            {"encoder": named},
        )

    def _weights(self, named: Named[EncoderEntry], labelled: Step, labels: float) -> Step:
        if not named.entry.learns:
            return self._planner.initialise_step(named, self._seed if named.entry.seeded else 0)
        start = self._planner.initialise_step(named, self._seed)
        if self._recipe in (UNTRAINED, AS_GIVEN):
            return start
        entry = override(self._registry.recipe(self._recipe).entry, self._request.overrides)
        spec: dict[str, Any] = {"recipe": _numbers(entry.model_dump(mode="json")), "seed": self._seed}
        names = {**self._names, "encoder": named.name}
        context = {**self._request.training, "encoder": named, "names": names}
        if isinstance(entry, SupervisedEntry):
            if labels != 1:
                spec["labels"] = labels
            part = f" with {100 * labels:g}% of the labels" if labels != 1 else ""
            title = f"train {named.name} end to end on {self._task}{part}, recipe {self._recipe}, seed {self._seed}"
            return Step(
                "supervise", spec, {"start": start, "pcm": labelled.needs["pcm"], "labels": labelled}, title, context
            )
        corpus = self._registry.corpus(self._corpus).entry
        spec["splits"] = list(corpus.splits) if corpus.splits else None
        needs = {"start": start, "pcm": self._planner.prepare_step(corpus.dataset, _rate(named))}
        if self._request.probe_every is not None:
            spec["probe_every"] = self._request.probe_every
            needs["labels"] = labelled
            if labelled.needs["pcm"].key != needs["pcm"].key:
                needs["labels_pcm"] = labelled.needs["pcm"]
        length = f"{entry.pairs:,} pairs" if entry.pairs else f"{entry.epochs:,} epochs"
        title = f"pretrain {named.name} on {self._corpus}, recipe {self._recipe} ({length}), seed {self._seed}"
        return Step("pretrain", spec, needs, title, {**context, "finished": self._planner.finished})


def _deform(deform: str, pcm: Step, labelled: Step) -> Step:
    from benchmark.audio.deformations import parse_deformation

    name, strength = parse_deformation(deform)
    return Step(
        "deform",
        {"deform": f"{name}={strength:g}", "name": name, "strength": strength, "sample_rate": pcm.spec["sample_rate"]},
        {"pcm": pcm, "labels": labelled},
        f"deform test audio: {deform}",
        pcm.context,
    )


def at_rate(named: Named[EncoderEntry], sample_rate: int | None) -> Named[EncoderEntry]:
    """The entry, working at another sample rate [Hz] and named after it."""
    if sample_rate is None:
        return named
    entry = named.entry.model_copy(update={"args": {**named.entry.args, "sample_rate": sample_rate}})
    return Named(_name_at_rate(named.name, sample_rate), entry, named.file, named.line)


def _name_at_rate(name: str, sample_rate: int | None) -> str:
    return name if sample_rate is None else f"{name}(sample_rate={sample_rate})"


def _rate(named: Named[EncoderEntry]) -> int:
    return int(named.entry.args.get("sample_rate", named.entry.sample_rate))


def _in_a_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: cannot be read: {error.strerror}"
    return " ".join(str(error).split())


def _numbers(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe or protocol determines its result; the rest is for readers."""
    return {key: value for key, value in document.items() if key not in ("source", "description")}
