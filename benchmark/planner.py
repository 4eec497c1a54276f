"""From what a user asks for to runs whose steps are shared wherever their keys agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from benchmark.arguments import file_digests
from benchmark.console import Reporter
from benchmark.entries import CorpusEntry, DatasetEntry, EncoderEntry, SupervisedEntry
from benchmark.errors import USER_ERRORS, UserError, unknown_name
from benchmark.overrides import changes_in_words, override
from benchmark.plan import ALL_LAYERS, AS_GIVEN, END_TO_END, UNTRAINED, Lost, Plan, Request, Run, Step
from benchmark.registry import Named, Registry
from benchmark.sources import (
    code_identity,
    extent,
    fingerprint,
    load_class,
    open_dataset,
    reading,
    standin_extent,
)
from benchmark.store import Artifact, Store, digest_file
from tasks.base import Dataset

STANDIN_SEED = 0
#: Joins the names of encoders whose representations are probed as one.
JOINT = "+"
#: What the user can put right in files of theirs.
_TROUBLE = (*USER_ERRORS, OSError)

T = TypeVar("T")


class Planner:
    """Plans requests.

    Parameters
    ----------
    registry
        What names mean.
    store
        Remembers hashes of the user's files.
    reporter
        Shows progress while files are hashed.
    data
        The user's data folder; ``None`` for stand-ins.
    """

    def __init__(self, registry: Registry, store: Store, reporter: Reporter, data: Path | None) -> None:
        self._registry = registry
        self._store = store
        self._reporter = reporter
        self._data = data
        self._found: dict[tuple[Any, ...], Any] = {}
        self._opened: dict[str, Dataset] = {}

    def plan(self, requests: Sequence[Request]) -> Plan:
        """Runs of `requests`, each trained encoder followed by its untrained twin of the same seed.

        What cannot be planned, as an encoder whose module is not there, takes its own runs with it and no others.

        Raises
        ------
        UserError
            If a name is not known, or an override or a deformation is none: then the command is wrong, not a part.
        """
        for request in requests:
            self._check(request)
        runs: dict[str, Run] = {}
        lost: dict[Lost, None] = {}
        for request in requests:
            for cell in self._cells(request):
                for found in cell.planned():
                    if isinstance(found, Run):
                        runs.setdefault(found.probe.key, found)
                    else:
                        lost.setdefault(found)
        return Plan(list(runs.values()), list(lost))

    def runs(self, request: Request) -> list[Run]:
        """The runs of `request`, if all of them can be planned.

        Raises
        ------
        UserError
            If one cannot.
        """
        plan = self.plan([request])
        for cause in plan.causes:
            raise UserError(cause)
        return list(plan.runs)

    def _check(self, request: Request) -> None:
        """Raise `UserError` for what is wrong with a command as a whole."""
        for name in request.tasks:
            self._registry.check_name("tasks", name)
        for name in request.protocols:
            self._registry.check_name("protocols", name)
        for name in request.corpora:
            self._corpus(name)
        for name in request.encoders:
            for part in self.parts(name):
                self._registry.check_name("encoders", part)
        for name in request.recipes:
            if name not in (UNTRAINED, AS_GIVEN):
                self._registry.check_name("recipes", name)
                if name in self._registry.sections["recipes"]:
                    override(self._registry.recipe(name).entry, request.overrides)
        for deform in request.deforms:
            if deform is not None:
                from benchmark.deformations import parse_deformation

                parse_deformation(deform)

    def _cells(self, request: Request) -> Iterator[_Cell]:
        for task in request.tasks:
            named = self._registry.sections["tasks"].get(task)
            own = self._registry.task(task).entry if named else None
            protocols = request.protocols or (own.protocol if own else "",)
            corpora = request.corpora or (own.corpus if own else "",)
            for protocol, corpus, seed, name in product(protocols, corpora, request.seeds, request.encoders):
                parts: Sequence[Named[EncoderEntry]] = []
                error: Exception | None = None
                try:
                    parts = [_at_rate(self._registry.encoder(part), request.sample_rate) for part in self.parts(name)]
                except UserError as broken:
                    error = broken
                learns = error is not None or any(part.entry.learns for part in parts)
                seeded = any(part.entry.seeded for part in parts)
                for recipe in [*request.recipes, UNTRAINED] if learns else [UNTRAINED if seeded else AS_GIVEN]:
                    yield _Cell(self, request, name, parts, corpus, recipe, task, protocol, seed, error)

    def parts(self, encoder: str) -> list[str]:
        """An encoder's name, or the names that it joins."""
        whole = encoder in self._registry.sections["encoders"] or encoder in self._registry.broken["encoders"]
        return [encoder] if whole else encoder.split(JOINT)

    def _corpus(self, name: str) -> None:
        """Make a folder of audio that the user names a corpus, unless the registry knows the name."""
        known = self._registry.sections["corpora"]
        if name in self._registry.broken["corpora"]:
            return
        if name not in known and Path(name).expanduser().is_dir():
            folder = Path(name).expanduser().resolve()
            entry = DatasetEntry.model_validate({"class": "tasks.folder:AudioFolder", "root": str(folder)})
            datasets = self._registry.sections["datasets"]
            dataset = name
            while dataset in datasets:  # a folder may be called like a dataset that is something else
                dataset = f"./{dataset}"
            datasets[dataset] = Named(dataset, entry, folder, 0)
            known[name] = Named(name, CorpusEntry(dataset=dataset), folder, 0)
        if name not in known and ("/" in name or name.startswith("~")):
            raise UserError(f"--corpus {name}: there is no such folder; `bench list corpora` lists what has a name")
        self._registry.check_name("corpora", name)

    def prepare_step(self, dataset: str, sample_rate: int) -> Step:
        """Decode `dataset` at a rate [Hz]."""
        spec, needs, context = self._source(dataset)
        return Step(
            "prepare", {**spec, "sample_rate": sample_rate}, needs, f"decode {dataset} at {sample_rate:,} Hz", context
        )

    def label_step(self, task: str, pcm: Step, allow_missing: bool) -> Step:
        """Labels and split of `task` for the clips of `pcm`."""
        entry = self._registry.task(task).entry
        spec: dict[str, Any] = {"options": dict(entry.options), "allow_missing": allow_missing}
        if entry.folds is not None:
            spec["folds"] = entry.folds
        context = {**pcm.context, "metrics": entry.metrics}
        return Step("label", spec, {"pcm": pcm, **pcm.needs}, f"labels and split of {task}", context)

    def initialise_step(self, named: Named[EncoderEntry], seed: int) -> Step:
        """Random weights of a seed, or the weights that the entry names."""
        entry = named.entry
        spec = {"class": entry.class_path, "args": entry.args, "code": self._code(named), "seed": seed}
        if entry.files:
            spec["files"] = file_digests(named)
        context: dict[str, Any] = {"encoder": named}
        title = f"initialise {named.name}, seed {seed}"
        if entry.weights is not None:
            file = weights_file(named)
            context["weights"] = file
            title = f"load {named.name} from {file.name}"
        spec["weights"] = digest_file(context["weights"]) if "weights" in context else None
        return Step("initialise", spec, {}, title, context)

    def layers(self, named: Named[EncoderEntry]) -> Sequence[str]:
        """Layers of an encoder that can be probed."""

        def ask() -> Sequence[str]:
            from benchmark.encoding import build_encoder

            encoder = build_encoder(named, 0)
            try:
                return tuple(encoder.layers())
            except Exception as error:
                raise UserError(
                    f"{named.file}:{named.line}: encoders.{named.name}: its layers cannot be told: {error!r}"
                ) from error

        return self._once(("layers", named.file, named.line, named.name), ask)

    def check_fit(self, task: str, protocol: str | None, labels: Step) -> None:
        """Raise `UserError` if labels, metrics and protocol are known not to go together; decodes nothing.

        Parameters
        ----------
        task, protocol
            Their names; no protocol for an encoder with a head of its own.
        labels
            The task's label step. Unless the store holds what it leaves, the tables of the user's data are read.
        """
        from benchmark.task_fit import check_protocol, kind_of

        named = self._registry.task(task)

        def kind() -> Any:
            opened = None
            if self._store.find(labels.kind, labels.key) is None:
                opened = self._opened.get(named.entry.dataset)
            return kind_of(named, self._registry.dataset(named.entry.dataset), opened)

        found = self._once(("kind", task), kind)
        if protocol is not None:
            self._once(
                ("fit", protocol, found), lambda: check_protocol(self._registry.protocol(protocol), named.name, found)
            )

    def _source(self, dataset: str) -> tuple[dict[str, Any], dict[str, Step], dict[str, Any]]:
        """Spec, needs and context that a prepare step takes from where the dataset comes from."""
        return self._once(("source", dataset), lambda: self._look_for(dataset))

    def _look_for(self, dataset: str) -> tuple[dict[str, Any], dict[str, Step], dict[str, Any]]:
        named = self._registry.dataset(dataset)
        code = self._code(named)
        if self._data is None and named.entry.root is None:
            load_class(named)
            spec = {"dataset": dataset, "class": named.entry.class_path, "code": code, "seed": STANDIN_SEED}
            context = {"dataset": named, "extent": cache(partial(standin_extent, named))}
            standin = Step("standin", spec, {}, f"make the stand-in of {dataset}", context)
            return {"args": named.entry.args}, {"standin": standin}, context
        with reading(named):
            opened = open_dataset(named, self._data)
            files = fingerprint(opened, self._store, self._reporter)
        self._opened[dataset] = opened
        spec = {"dataset": dataset, "class": named.entry.class_path, "code": code, "files": files}
        spec["args"] = named.entry.args
        context = {"dataset": named, "root": opened.root, "extent": cache(partial(extent, opened))}
        return spec, {}, context

    def _code(self, named: Named[EncoderEntry] | Named[DatasetEntry]) -> str:
        """`code_identity`, whose files are read once however many seeds and tasks there are."""
        return self._once(("code", named.file, named.line, named.name), lambda: code_identity(named))

    def _once(self, key: tuple[Any, ...], find: Callable[[], T]) -> T:
        """What `find` returns or raises, found out once however many cells ask."""
        if key not in self._found:
            try:
                self._found[key] = (find(), None)
            except _TROUBLE as error:
                self._found[key] = (None, error)
        found, trouble = self._found[key]
        if trouble is not None:
            raise trouble.with_traceback(None)
        return found  # type: ignore[no-any-return]

    @property
    def finished(self) -> Callable[[], list[Artifact]]:
        """Yields the pretrainings in the store, for a longer one to go on from."""
        return partial(_pretrainings, self._store.root.absolute())

    @property
    def registry(self) -> Registry:
        """What names mean."""
        return self._registry


class _Cell:
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
        names = [_name_at_rate(part, request.sample_rate) for part in planner.parts(encoder)]
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
        except _TROUBLE as trouble:
            error = trouble
        for layer, labels, deform in product(layers, self._request.labels, self._request.deforms):
            try:
                if error is not None:
                    raise error
                yield self._run(layer, labels, deform)
            except _TROUBLE as found:
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
        return Run(**names, probe=Step("probe", spec, needs, title))

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


def _pretrainings(store: Path) -> list[Artifact]:
    return list(Store(store).whole("pretrain"))


def _deform(deform: str, pcm: Step, labelled: Step) -> Step:
    from benchmark.deformations import parse_deformation

    name, strength = parse_deformation(deform)
    return Step(
        "deform",
        {"deform": f"{name}={strength:g}", "name": name, "strength": strength, "sample_rate": pcm.spec["sample_rate"]},
        {"pcm": pcm, "labels": labelled},
        f"deform test audio: {deform}",
        pcm.context,
    )


def _at_rate(named: Named[EncoderEntry], sample_rate: int | None) -> Named[EncoderEntry]:
    """The entry, working at another sample rate [Hz] and named after it."""
    if sample_rate is None:
        return named
    entry = named.entry.model_copy(update={"args": {**named.entry.args, "sample_rate": sample_rate}})
    return Named(_name_at_rate(named.name, sample_rate), entry, named.file, named.line)


def _name_at_rate(name: str, sample_rate: int | None) -> str:
    return name if sample_rate is None else f"{name}(sample_rate={sample_rate})"


def _rate(named: Named[EncoderEntry]) -> int:
    return int(named.entry.args.get("sample_rate", named.entry.sample_rate))


def weights_file(named: Named[EncoderEntry]) -> Path:
    """File of weights that an encoder's entry names, looked for beside the registry file.

    Raises
    ------
    UserError
        If it is not there.
    """
    assert named.entry.weights is not None
    file = (named.file.parent / Path(named.entry.weights).expanduser()).resolve()
    if not file.is_file():
        where = f"{named.file}:{named.line}: encoders.{named.name}.weights"
        raise UserError(f"{where}: there is no file {file}; correct the path")
    return file


def _in_a_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: cannot be read: {error.strerror}"
    return " ".join(str(error).split())


def _numbers(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe or protocol determines its result; the rest is for readers."""
    return {key: value for key, value in document.items() if key not in ("source", "description")}
