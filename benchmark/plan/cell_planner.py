"""From a cell of the grid to the runs that it asks for, or to why they cannot be had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from benchmark.cell import Cell
from benchmark.errors import USER_ERRORS, UserError, unknown_name
from benchmark.factors import ALL_LAYERS, AS_GIVEN, DRAWN_CLIPS, DRAWN_WINDOWS, END_TO_END, FACTORS, PLAIN, UNTRAINED
from benchmark.plan.requests import Request
from benchmark.plan.runs import Lost, Run
from benchmark.plan.shared_steps import Steps
from benchmark.plan.trainings import Asked, labels_of, training_step
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.plugins import read_recipe
from benchmark.registry.published import facts_of
from benchmark.registry.readouts import own_readout
from benchmark.registry.registry import Named
from benchmark.steps import deform, embed, overlap, probe, score, supervise
from benchmark.store.step import Step, numbered

#: What the user can put right in files of theirs.
TROUBLE = (*USER_ERRORS, OSError)


class CellPlanner:
    """Plans the runs of the grid's factors: one for each layer, fraction of labels, ...

    Parameters
    ----------
    steps
        Plans what cells share.
    request
        What is asked for.
    parts
        Entries of the cell's encoders, at its sample rate; empty where `error` says why there are none.
    cell
        Its factors, without departures from a plain run.
    corpus
        Name of the corpus that is asked for; it stands in the cell only where something is pretrained on it.
    error
        Why nothing of it can be had, if that is known.
    """

    def __init__(
        self,
        steps: Steps,
        request: Request,
        parts: Sequence[Named[EncoderEntry]],
        cell: Cell,
        corpus: str,
        error: Exception | None,
    ) -> None:
        self._steps = steps
        self._request = request
        self._registry = steps.registry
        self._parts = parts
        self._error = error
        self._corpus = corpus
        name, protocol = cell.recipe_name, cell.protocol
        trained = name not in (UNTRAINED, AS_GIVEN)
        labelled = False
        try:
            if trained and name in self._registry.sections["recipes"]:
                labelled = read_recipe(self._registry.recipe(name)).entry.LABELLED
        except UserError as broken:
            self._error = self._error or broken
        # Without a corpus of its own, what learns from labels learns from the task's, and its own head is scored.
        self._end_to_end = labelled and (not request.levels("corpus") or protocol == END_TO_END)
        self._labelled = labelled
        if protocol == END_TO_END and not trained and cell.task in self._registry.sections["tasks"]:
            protocol = self._registry.task(cell.task).entry.protocol  # of an untrained twin
        self._cell = cell.model_copy(
            update={
                "corpus": corpus if trained and not self._end_to_end else None,
                "settings": cell.settings if trained else {},
                "protocol": END_TO_END if self._end_to_end else protocol,
            }
        )

    def planned(self) -> Iterator[Run | Lost]:
        """Every combination of departures from a plain run that is asked for, if it can be had."""
        levels = {name: self._request.levels(name) for name, factor in FACTORS.items() if factor.departs}
        error: Exception | None = None
        try:
            self._check()
            levels["layer"] = self._layers(levels["layer"])
        except TROUBLE as trouble:
            error = trouble
        for values in product(*levels.values()):
            cell = self._cell.model_copy(update=dict(zip(levels, values, strict=True)))
            if cell.labels == 1:  # all are all, however a part would be drawn
                cell = cell.model_copy(update={"draw": DRAWN_CLIPS})
            try:
                if error is not None:
                    raise error
                yield self._run(cell)
            except TROUBLE as found:
                yield Lost(cell, _in_a_line(found))

    def _check(self) -> None:
        """Raise `UserError` for what makes all of the runs impossible."""
        if self._error is not None:
            raise self._error
        cell = self._cell
        task = self._registry.task(cell.task).entry
        if cell.recipe_name not in (UNTRAINED, AS_GIVEN):
            self._registry.recipe(cell.recipe_name)
        if cell.corpus is not None and not self._labelled:
            self._registry.corpus(cell.corpus)
        if self._end_to_end:
            self._check_head()
        elif cell.protocol == END_TO_END:
            raise UserError(f"protocol {END_TO_END}: recipe {cell.recipe_name} leaves no head; name another protocol")
        else:
            self._registry.protocol(cell.protocol)
        if task.folds and (self._end_to_end or self._request.probe_every is not None):
            what = f"recipe {cell.recipe_name}" if self._end_to_end else "--probe-every"
            raise UserError(f"task {cell.task} has folds, and {what} needs a single split")
        if self._end_to_end and len(self._parts) > 1:
            raise UserError(
                f"{cell.encoder}: recipe {cell.recipe_name} trains one encoder at a time; name them one by one"
            )

    def _check_head(self) -> None:
        """Raise `UserError` if the head of a training on another task's labels is to be scored."""
        cell, asked = self._cell, self._request.levels("corpus")
        if asked and labels_of(self._registry, self._corpus, cell.recipe_name) != cell.task:
            raise UserError(
                f"protocol {END_TO_END}: the head of a training on {self._corpus} cannot be scored on {cell.task}; "
                "leave out --corpus, or name another protocol"
            )

    def _layers(self, asked: tuple[str | None, ...]) -> tuple[str | None, ...]:
        if asked == (None,):
            return asked
        if len(self._parts) > 1:
            raise UserError(f"{self._cell.encoder}: layers are probed for one encoder at a time")
        if ALL_LAYERS not in asked:
            return asked
        (named,) = self._parts
        known = self._steps.layers(named)
        if not known:
            raise UserError(f"encoder {named.name} has no layers; leave out --layer")
        return tuple(known)

    def _check_layer(self, layer: str) -> None:
        (named,) = self._parts
        known = self._steps.layers(named)
        if layer not in known:
            raise unknown_name(f"layer of {named.name}", layer, known)

    def _run(self, cell: Cell) -> Run:
        if cell.layer is not None:
            self._check_layer(cell.layer)
        if self._end_to_end and (meaningless := [n for n in cell.departures() if FACTORS[n].needs_probe]):
            raise UserError(
                f"{FACTORS[meaningless[0]].option}: recipe {cell.recipe_name} is scored by its own head, and trains no "
                "probe; leave the option out, or name a --corpus"
            )
        if cell.draw == DRAWN_WINDOWS:
            self._check_windows(cell)
        dataset = self._registry.task(cell.task).entry.dataset
        weights: dict[str, Step] = {}
        heard: dict[str, Step] = {}
        compared: dict[str, Step] = {}
        labels: Step | None = None
        for number, named in enumerate(self._parts):
            limit = self._steps.limit_of(cell.task, cell.limit)
            pcm = self._steps.prepare_step(dataset, self._steps.sample_rate(named), limit)
            labelled = self._steps.label_step(cell.task, pcm, self._request.allow_missing)
            if labels is None:
                self._steps.check_fit(cell.task, None if self._end_to_end else cell.protocol, labelled)
                labels = labelled
            own = self._weights(named, cell)
            if (comparison := self._compared(cell.task, labelled, own)) is not None:
                compared[numbered("overlap", len(compared))] = comparison
            weights[numbered("weights", number)] = own
            heard[numbered("embeddings", number)] = self._embed(named, own, pcm, cell)
            if cell.deform is not None:
                deformed = _deformed(cell.deform, pcm, labelled)
                heard[numbered("deformed", number)] = self._embed(named, own, deformed, cell)
        assert labels is not None
        metrics = list(self._registry.task(cell.task).entry.metrics)
        title = cell.title()
        head = {"head": weights["weights"]} if self._end_to_end else {}
        spec, context = self._probe_spec(cell, metrics[0])
        probed = probe.KIND.step(spec, {**heard, "labels": labels, **head}, f"probe {title}", context)
        scored = score.KIND.step(
            {"run": cell.determining(), "metrics": metrics},
            {"probe": probed, "labels": labels, **weights, **compared},
            f"score {title}",
            {"published": [facts for named in self._parts if (facts := facts_of(named, dataset)) is not None]},
        )
        return Run(cell, scored)

    def _check_windows(self, cell: Cell) -> None:
        """Raise `UserError` where windows cannot be drawn, or would not be what is trained on."""
        protocol = None if self._end_to_end else self._registry.protocol(cell.protocol).entry
        why = ""
        if len(self._parts) > 1:
            why = "windows of one encoder are drawn, not of several"
        elif protocol is not None and protocol.examples == "segments":
            why = f"protocol {cell.protocol} trains on segments"
        elif protocol is not None and not protocol.validates:
            why = f"protocol {cell.protocol} trains on validation clips too"
        if why:
            raise UserError(f"--draw {cell.draw}: {why}; draw clips instead")

    def _compared(self, task: str, tested: Step, weights: Step) -> Step | None:
        """The step that looks for test clips among those of other tasks whose labels the weights are trained on."""
        trained = {
            step.needs["labels"].key: step.needs["labels"]
            for step in weights.lineage()
            if step.kind == supervise.KIND.name
        }
        trained.pop(tested.key, None)  # of this very task: trained on its training clips
        if not trained:
            return None
        needs = {"labels": tested}
        for number, labels in enumerate(trained.values()):
            needs[numbered("trained", number)] = labels
            needs[numbered("pcm", number)] = labels.needs["pcm"]
        names = [labels.context["task"] for labels in trained.values()]
        found = overlap.KIND.step(
            {},
            needs,
            f"look for test clips of {task} among those of {', '.join(names)}",
            {"allowed": self._request.allow_overlap, "task": task, "trained": names},
        )
        self._steps.check_apart(found)
        return found

    def _probe_spec(self, cell: Cell, leading: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Spec of the step that probes, and its context."""
        spec: dict[str, Any] = {"protocol": END_TO_END}
        context: dict[str, Any] = {}
        if not self._end_to_end:
            protocol = self._registry.protocol(cell.protocol)
            spec = {"protocol": self._steps.protocol_numbers(cell.protocol), "seed": cell.seed}
            if protocol.entry.chooses_by_metric:
                spec["metric"] = leading
            if (own := own_readout(protocol)) is not None:
                spec["readout"] = self._steps.code(own)
                context["readout"] = own
        for name, value in cell.departures().items():
            if FACTORS[name].probed and (name == "layer" or not self._end_to_end):
                spec[name] = value
        return spec, context

    def _embed(self, named: Named[EncoderEntry], weights: Step, pcm: Step, cell: Cell) -> Step:
        dataset = self._registry.task(cell.task).entry.dataset
        spec: dict[str, Any] = {"layers": ALL_LAYERS if cell.layer is not None else None}
        protocol = None if self._end_to_end else self._registry.protocol(cell.protocol).entry
        if protocol is not None:
            # Of segments, encoders of any length take one at a time, not the clip.
            spec |= protocol.cutting()
            if protocol.window_seconds is not None:
                self._steps.check_windows(named, protocol.window_seconds)
        what = f"{dataset}, {pcm.spec['deform']}" if pcm.kind == deform.KIND.name else dataset
        return embed.KIND.step(
            spec,
            {"weights": weights, "pcm": pcm},
            f"embed {what} with {named.name} ({cell.recipe})" + (", all layers" if cell.layer is not None else ""),
            {"encoder": named, "earlier": self._steps.earlier(embed.KIND.name)},
        )

    def _weights(self, named: Named[EncoderEntry], cell: Cell) -> Step:
        if not named.entry.learns:
            return self._steps.initialise_step(named, cell.seed if named.entry.seeded else 0)
        if cell.recipe_name in (UNTRAINED, AS_GIVEN):
            return self._steps.initialise_step(named, cell.seed)
        names = {key: value for key, value in cell.columns().items() if key not in PLAIN} | {"encoder": named.name}
        asked = Asked(
            encoder=named,
            recipe=cell.recipe_name,
            overrides=cell.settings,
            corpus=cell.corpus,
            task=cell.task,
            labels=cell.labels,
            draw=cell.draw,
            seed=cell.seed,
            allow_missing=self._request.allow_missing,
            sample_rate=self._steps.sample_rate(named),
            probe_every=self._request.probe_every,
            context=self._request.training,
            names=names if cell.limit is None else {**names, "limit": cell.limit},
            limit=cell.limit,
        )
        return training_step(self._steps, asked)


def _deformed(deformation: str, pcm: Step, labelled: Step) -> Step:
    from benchmark.audio.deformations import parse_deformation

    name, strength = parse_deformation(deformation)
    return deform.KIND.step(
        {"deform": f"{name}={strength:g}", "name": name, "strength": strength, "sample_rate": pcm.spec["sample_rate"]},
        {"pcm": pcm, "labels": labelled},
        f"deform test audio: {deformation}",
        pcm.context,
    )


def _in_a_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: cannot be read: {error.strerror}"
    return " ".join(str(error).split())
