"""From what a user asks for to runs whose steps are shared wherever their keys agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmark.arguments import file_digests
from benchmark.console import Reporter
from benchmark.entries import CorpusEntry, DatasetEntry, EncoderEntry, SupervisedEntry
from benchmark.errors import UserError, unknown_name
from benchmark.overrides import changes_in_words, override
from benchmark.plan import ALL_LAYERS, AS_GIVEN, END_TO_END, UNTRAINED, Request, Run, Step
from benchmark.registry import Named, Registry
from benchmark.sources import code_identity, extent, fingerprint, open_dataset, standin_extent
from benchmark.store import Artifact, Store, digest_file

STANDIN_SEED = 0
#: Joins the names of encoders whose representations are probed as one.
JOINT = "+"


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
        self._sources: dict[str, tuple[dict[str, Any], dict[str, Step], dict[str, Any]]] = {}
        self._codes: dict[tuple[Path, str, str], str] = {}

    def runs(self, request: Request) -> list[Run]:
        """Runs of `request`, each trained encoder followed by its untrained twin of the same seed.

        Raises
        ------
        UserError, DatasetError
            If a name is not known, a dataset is not where the user says, or an override does not fit.
        """
        runs: dict[str, Run] = {}
        for task in request.tasks:
            entry = self._registry.task(task).entry
            protocols = request.protocols or (entry.protocol,)
            corpora = [self._corpus(name) for name in request.corpora or (entry.corpus,)]
            for protocol, corpus, seed, name in product(protocols, corpora, request.seeds, request.encoders):
                parts = self._parts(name, request)
                learns = any(part.entry.learns for part in parts)
                seeded = any(part.entry.seeded for part in parts)
                for recipe in [*request.recipes, UNTRAINED] if learns else [UNTRAINED if seeded else AS_GIVEN]:
                    cell = _Cell(self, request, name, parts, corpus, recipe, task, protocol, seed)
                    for run in cell.runs():
                        runs.setdefault(run.probe.key, run)
        return list(runs.values())

    def _corpus(self, name: str) -> str:
        """Make a folder of audio that the user names a corpus, unless the registry knows the name."""
        known = self._registry.sections["corpora"]
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
        if name not in known:
            self._registry.corpus(name)
        return name

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

    def _parts(self, name: str, request: Request) -> list[Named[EncoderEntry]]:
        """Entries of an encoder's name, or of the names that it joins, at the sample rate asked for."""
        names = [name] if name in self._registry.sections["encoders"] else name.split(JOINT)
        return [_at_rate(self._registry.encoder(part), request.sample_rate) for part in names]

    def _source(self, dataset: str) -> tuple[dict[str, Any], dict[str, Step], dict[str, Any]]:
        """Spec, needs and context that a prepare step takes from where the dataset comes from."""
        if dataset not in self._sources:
            named = self._registry.dataset(dataset)
            code = self._code(named)
            if self._data is None and named.entry.root is None:
                spec = {"dataset": dataset, "class": named.entry.class_path, "code": code, "seed": STANDIN_SEED}
                context = {"dataset": named, "extent": cache(partial(standin_extent, named))}
                standin = Step("standin", spec, {}, f"make the stand-in of {dataset}", context)
                self._sources[dataset] = ({"args": named.entry.args}, {"standin": standin}, context)
            else:
                opened = open_dataset(named, self._data)
                files = fingerprint(opened, self._store, self._reporter)
                spec = {"dataset": dataset, "class": named.entry.class_path, "code": code, "files": files}
                spec["args"] = named.entry.args
                context = {"dataset": named, "root": opened.root, "extent": cache(partial(extent, opened))}
                self._sources[dataset] = (spec, {}, context)
        return self._sources[dataset]

    def _code(self, named: Named[EncoderEntry] | Named[DatasetEntry]) -> str:
        """`code_identity`, whose files are read once however many seeds and tasks there are."""
        place = (named.file, named.entry.class_path, str(named.entry.args.get("module")))
        if place not in self._codes:
            self._codes[place] = code_identity(named)
        return self._codes[place]

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
    ) -> None:
        self._planner = planner
        self._request = request
        self._registry = planner.registry
        self._parts = parts
        self._corpus = corpus
        self._recipe = recipe
        self._task = task
        self._seed = seed
        entry = None if recipe in (UNTRAINED, AS_GIVEN) else self._registry.recipe(recipe).entry
        self._supervised = isinstance(entry, SupervisedEntry)
        self._protocol = END_TO_END if self._supervised else protocol
        if self._registry.task(task).entry.folds and (self._supervised or request.probe_every is not None):
            what = f"recipe {recipe}" if self._supervised else "--probe-every"
            raise UserError(f"task {task} has folds, and {what} needs a single split")
        if self._supervised and len(parts) > 1:
            raise UserError(f"{encoder}: recipe {recipe} trains one encoder at a time; name them one by one")
        changes = changes_in_words(request.overrides)
        self._names: dict[str, Any] = {
            "encoder": encoder if request.sample_rate is None else JOINT.join(part.name for part in parts),
            "corpus": corpus if entry is not None and not self._supervised else None,
            "recipe": f"{recipe}({changes})" if changes and entry is not None else recipe,
            "task": task,
            "protocol": self._protocol,
            "seed": seed,
        }

    def runs(self) -> list[Run]:
        """Every layer, fraction of labels and deformation that is asked for."""
        layers = self._layers()
        return [
            self._run(layer, labels, deform)
            for layer, labels, deform in product(layers, self._request.labels, self._request.deforms)
        ]

    def _layers(self) -> Sequence[str | None]:
        if not self._request.layers:
            return [None]
        if len(self._parts) > 1:
            raise UserError(f"{self._names['encoder']}: layers are probed for one encoder at a time")
        from benchmark.encoding import build_encoder

        (named,) = self._parts
        known = build_encoder(named, 0).layers()
        if ALL_LAYERS in self._request.layers:
            if not known:
                raise UserError(f"encoder {named.name} has no layers; leave out --layer")
            return known
        for layer in self._request.layers:
            if layer not in known:
                raise unknown_name(f"layer of {named.name}", layer, known)
        return self._request.layers

    def _run(self, layer: str | None, labels: float, deform: str | None) -> Run:
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
            needs.setdefault("labels", labelled)
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
    return Named(f"{named.name}(sample_rate={sample_rate})", entry, named.file, named.line)


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


def _numbers(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe or protocol determines its result; the rest is for readers."""
    return {key: value for key, value in document.items() if key not in ("source", "description")}
