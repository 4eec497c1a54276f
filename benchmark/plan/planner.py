"""From what a user asks for to runs whose steps are shared wherever their keys agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from benchmark.audio.excerpts import check_excerpts
from benchmark.cell import Cell
from benchmark.console import Reporter
from benchmark.errors import UserError, unknown_name
from benchmark.factors import AS_GIVEN, END_TO_END, UNTRAINED
from benchmark.plan.cell_planner import TROUBLE, CellPlanner
from benchmark.plan.divisions import Members, shared_clips
from benchmark.plan.encoder_spec import encoder_spec
from benchmark.plan.requests import Request
from benchmark.plan.runs import Lost, Plan, Run
from benchmark.pretraining.source_labels import SELF
from benchmark.registry.augmentation_plugins import Recipe, augmentation_code, check_augmentation
from benchmark.registry.datasets import (
    clip_lengths,
    contents,
    dataset_at,
    open_dataset,
    reading,
    source_tables,
    standin_lengths,
)
from benchmark.registry.entries import CorpusEntry, DatasetEntry, EncoderEntry, TaskEntry, numbers
from benchmark.registry.overrides import override, with_arguments
from benchmark.registry.plugins import PlugIn, code_identity, load_class, read_recipe, standin_module
from benchmark.registry.published import require, weights_file
from benchmark.registry.recipes import RecipeEntry
from benchmark.registry.registry import Named, Registry
from benchmark.scores.trained_labels import read_shared, refuse
from benchmark.steps import initialise, label, label_source, prepare, standin
from benchmark.store.digests import DigestCache
from benchmark.store.file_names import LABELS
from benchmark.store.labels import read_labels
from benchmark.store.step import Step, every
from benchmark.store.store import Artifact, Store, digest_file
from tasks.base import Clip, Dataset, Split
from tasks.copies import copied
from tasks.folds import divide
from tasks.learnable import remarks
from tasks.limited import limited
from tasks.targets import Kind

STANDIN_SEED = 0

T = TypeVar("T")


@dataclass(frozen=True)
class _Source:
    """What steps take from where a dataset comes from.

    Attributes
    ----------
    audio
        What determines its clips and their audio, of the step that decodes them.
    read_by
        What else determines its labels: the class that reads the tables, and the tables.
    needs
        The step that makes its stand-in, if there is no other data.
    context
        As for a step.
    """

    audio: Mapping[str, Any]
    read_by: Mapping[str, Any]
    needs: Mapping[str, Step]
    context: Mapping[str, Any]


@dataclass(frozen=True)
class _Sources:
    """What each of a dataset's sources is, by name, and what determines what they say."""

    described: Mapping[str, str]
    read_by: Mapping[str, Any]


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
        self._audio: dict[str, Mapping[str, str]] = {}
        self._rows: dict[str, Sequence[Clip]] = {}

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
                        runs.setdefault(found.score.key, found)
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
        for name in request.levels("task"):
            self._registry.check_name("tasks", name)
        for name in request.levels("protocol"):
            if name != END_TO_END:
                self._registry.check_name("protocols", name)
        starts = [settings.get("start_from") for settings in request.levels("settings")]
        before = [start.get("corpus") for start in starts if isinstance(start, Mapping)]
        for name in [*request.levels("corpus"), *(name for name in before if isinstance(name, str))]:
            if name not in self._registry.sections["tasks"] or name in self._registry.sections["corpora"]:
                self._corpus(name)
        for name in request.levels("encoders"):
            for part in self._registry.encoder_names(name):
                self._registry.check_name("encoders", part)
        for name in request.levels("recipe_name"):
            if name not in (UNTRAINED, AS_GIVEN):
                self._registry.check_name("recipes", name)
                if name in self._registry.sections["recipes"]:
                    for settings in request.levels("settings"):
                        override(read_recipe(self._registry.recipe(name)).entry, settings)
        for deform in request.levels("deform"):
            if deform is not None:
                from benchmark.audio.deformations import parse_deformation

                parse_deformation(deform)

    def _cells(self, request: Request) -> Iterator[CellPlanner]:
        varied = ("sample_rate", "arguments", "settings", "task")
        for rate, arguments, settings, task in product(*map(request.levels, varied)):
            own = self._registry.task(task).entry if task in self._registry.sections["tasks"] else None
            protocols = request.levels("protocol") or (own.protocol if own else "",)
            corpora = request.levels("corpus") or (own.corpus if own else "",)
            named = (request.levels("seed"), request.levels("encoders"))
            for protocol, corpus, seed, name in product(protocols, corpora, *named):
                parts: Sequence[Named[EncoderEntry]] = []
                error: Exception | None = None
                names = self._registry.encoder_names(name)
                try:
                    parts = [with_arguments(self._registry.encoder(part), arguments, rate) for part in names]
                except UserError as broken:
                    error = broken
                learns = error is not None or any(part.entry.learns for part in parts)
                seeded = any(part.entry.seeded for part in parts)
                recipes = request.levels("recipe_name")
                for recipe in [*recipes, UNTRAINED] if learns else [UNTRAINED if seeded else AS_GIVEN]:
                    cell = Cell(
                        encoders=tuple(names), sample_rate=rate, arguments=arguments, corpus=corpus, recipe_name=recipe,
                        settings=settings, protocol=protocol, task=task, seed=seed,
                    )  # fmt: skip
                    yield CellPlanner(self, request, parts, cell, corpus, error)

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

    def prepare_step(self, dataset: str, sample_rate: int, limit: Mapping[str, Any] | None = None) -> Step:
        """Decode `dataset`, or what of it a limit leaves, at a rate [Hz]."""

        def make() -> Step:
            source = self._source(dataset)
            title = f"decode {dataset} at {sample_rate:,} Hz"
            context = {**source.context, "store": self._store.root.absolute()}
            spec = {**source.audio, "sample_rate": sample_rate}
            if limit is not None:
                spec["limit"] = limit
                title = f"decode {limit['clips']:,} clips of {dataset} at {sample_rate:,} Hz"
            return prepare.KIND.step(spec, source.needs, title, context)

        return self._once(("prepare", dataset, sample_rate, repr(limit)), make)

    def limit_of(self, task: str, clips: int | None) -> Mapping[str, Any] | None:
        """What leaves so many clips of a task; see `tasks.limited.limited_clips`."""
        if clips is None:
            return None
        entry = self._registry.task(task).entry
        folds = {} if entry.folds is None else {"folds": entry.folds}
        return {"clips": clips, "options": dict(entry.options), **folds}

    def label_step(self, task: str, pcm: Step, allow_missing: bool) -> Step:
        """Labels and split of `task` for the clips of `pcm`."""

        def make() -> Step:
            named = self._registry.task(task)
            entry = named.entry
            source = self._source(entry.dataset)
            options: Mapping[str, str] = entry.options
            if entry.dataset in self._opened:
                from benchmark.plan.task_fit import options_of

                options = options_of(named, self._registry.dataset(entry.dataset), self._opened[entry.dataset])
            spec: dict[str, Any] = {**source.read_by, "options": dict(options), "allow_missing": allow_missing}
            if entry.folds is not None:
                spec["folds"] = entry.folds
            context = {**source.context, "metrics": entry.metrics, "task": task}
            return label.KIND.step(spec, {"pcm": pcm, **source.needs}, f"labels and split of {task}", context)

        return self._once(("label", task, pcm.key, allow_missing), make)

    def source_step(self, corpus: str, source: str, factors: int, pcm: Step) -> Step:
        """What a source says of the clips of `pcm`, reduced to factors; fitted to those that `corpus` trains on.

        Raises
        ------
        UserError
            If the corpus's dataset has no such source.
        """
        entry = self._registry.corpus(corpus).entry
        if source == SELF:
            title = f"source {SELF} of {entry.dataset}"
            return label_source.KIND.step({"source": SELF}, {"pcm": pcm}, title, pcm.context)
        known = self._sources(entry.dataset)
        if source not in known.described:
            raise unknown_name(f"source of corpus {corpus}", source, (SELF, *known.described))
        spec = {
            **known.read_by,
            "source": source,
            "factors": factors,
            "splits": list(entry.splits) if entry.splits else None,
        }
        came = self._source(entry.dataset)
        title = f"reduce {source} of {entry.dataset} to {factors} factors"
        return label_source.KIND.step(spec, {"pcm": pcm, **came.needs}, title, came.context)

    def sources(self, corpus: str) -> Mapping[str, str]:
        """What can be learnt from a corpus's clips, or a folder's: name of a source -> what it is, in a line.

        Raises
        ------
        UserError
            If there is no such corpus.
        """
        self._corpus(corpus)
        known = self._sources(self._registry.corpus(corpus).entry.dataset)
        return {SELF: "the audio: whether two crops are of one clip", **known.described}

    def _sources(self, dataset: str) -> _Sources:
        """The sources that a dataset has, and what determines what they say."""
        return self._once(("sources", dataset), lambda: self._look_for_sources(dataset))

    def _look_for_sources(self, dataset: str) -> _Sources:
        came, named = self._source(dataset), self._registry.dataset(dataset)
        read_by = {key: value for key, value in came.read_by.items() if key != "tables"}
        if dataset not in self._opened:
            return _Sources(load_class(named).SOURCES, read_by)
        opened = self._opened[dataset]
        with reading(named):
            tables = source_tables(opened, self._store, self._reporter)
            return _Sources(opened.sources(), {**read_by, "tables": tables})

    def initialise_step(self, named: Named[EncoderEntry], seed: int) -> Step:
        """Random weights of a seed, or the weights that the entry names."""
        require(named)
        spec = {
            **self._once(("spec", named.file, named.line, named.name), lambda: self._encoder_spec(named)),
            "seed": seed,
        }
        context: dict[str, Any] = {"encoder": named}
        title = f"initialise {named.name}, seed {seed}"
        file = weights_file(named)
        if file is not None:
            context["weights"] = file
            title = f"load {named.name} from {file.name}"
        spec["weights"] = digest_file(context["weights"]) if "weights" in context else None
        return initialise.KIND.step(spec, {}, title, context)

    def _encoder_spec(self, named: Named[EncoderEntry]) -> dict[str, Any]:
        return encoder_spec(named, self.code(named), self._digest)

    def _digest(self, file: Path) -> str:
        """Hash of a file's content, which is not read again while it stays as it was."""

        def progress(count: int) -> Any:
            return self._reporter.progress(f"hash {file.name}", count, "files")

        (found,) = DigestCache(self._store).digests([file], progress)
        return found if isinstance(found, str) else digest_file(file)

    def sample_rate(self, named: Named[EncoderEntry]) -> int:
        """Rate of the audio that an encoder takes [Hz]; a model of others is loaded where its entry does not say it."""

        def ask() -> int:
            from benchmark.encoding.windows import build_encoder

            return build_encoder(named, 0).sample_rate

        stated = named.entry.stated_rate
        return self._once(("rate", named.file, named.line, named.name), ask) if stated is None else stated

    def layers(self, named: Named[EncoderEntry]) -> Sequence[str]:
        """Layers of an encoder that can be probed."""

        def ask() -> Sequence[str]:
            from benchmark.encoding.windows import build_encoder

            encoder = build_encoder(named, 0)
            try:
                return tuple(encoder.layers())
            except Exception as error:
                raise UserError(
                    f"{named.file}:{named.line}: encoders.{named.name}: its layers cannot be told: {error!r}"
                ) from error

        return self._once(("layers", named.file, named.line, named.name), ask)

    def check_windows(self, named: Named[EncoderEntry], seconds: float) -> None:
        """Raise `UserError` if an encoder cannot take windows of so many seconds."""

        def ask() -> None:
            from benchmark.encoding.windows import Cutting, build_encoder

            Cutting(window_seconds=seconds).prepare(build_encoder(named, 0), named.name)

        self._once(("windows", named.file, named.line, named.name, seconds), ask)

    def check_fit(self, task: str, protocol: str | None, labels: Step) -> None:
        """Raise `UserError` if labels, metrics and protocol are known not to go together; decodes nothing.

        Parameters
        ----------
        task, protocol
            Their names; no protocol for an encoder with a head of its own.
        labels
            The task's label step. Unless the store holds what it leaves, the tables of the user's data are read.
        """
        from benchmark.plan.task_fit import check_protocol

        named = self._registry.task(task)
        found = self._once(("kind", task), lambda: self._kind(named, labels))
        chosen = self._registry.protocol(protocol) if protocol is not None else None
        self._once(("fit", protocol, found), lambda: check_protocol(chosen, named.name, found))

    def _kind(self, task: Named[TaskEntry], labels: Step) -> Kind:
        """Kind of a task's labels, once they are known to be learnable; says what takes from the meaning of scores."""
        from benchmark.plan.task_fit import kind_of, planned_task

        dataset = self._registry.dataset(task.entry.dataset)
        kind = kind_of(task, dataset)
        opened = self._opened.get(dataset.name)
        if opened is None:
            return kind
        done = self._store.find(labels.kind, labels.key)
        found = planned_task(task, dataset, opened) if done is None else read_labels(done / LABELS)
        audio, rows = self._audio[dataset.name], self._rows[dataset.name]
        content = {clip.id: f"{audio[clip.path]} {clip.excerpt}" for clip in rows if clip.path in audio}
        for remark in (*remarks(found), *copied(found, content)):
            self._reporter.warn(f"{task.name}: {remark}")
        return found.kind

    def check_apart(self, compared: Step) -> None:
        """Raise `UserError` if clips that are tested are known to be trained on with labels, which is not allowed.

        Parameters
        ----------
        compared
            A step of the kind `overlap`, whose context says whether it is allowed.
        """
        if compared.context["allowed"]:
            return
        shared, tested = self._once(("apart", compared.key), lambda: self._shared(compared))
        if shared:
            raise refuse(compared.context["task"], compared.context["trained"], shared, tested)

    def _shared(self, compared: Step) -> tuple[Sequence[str], int]:
        """Ids of the test clips that are known to be trained on, and the number of test clips."""
        done = self._store.find(compared.kind, compared.key)
        if done is not None:
            return read_shared([done]), done.manifest["facts"]["tested"]
        tested = self.members(compared.needs["labels"], "test")
        if tested is None:
            return (), 0
        trained = [self.members(labels, "train") for labels in every(compared.needs, "trained")]
        found = [clip for one in trained if one is not None for clip in shared_clips(tested, one)]
        return list(dict.fromkeys(found)), len(tested.clips)

    def members(self, labels: Step, split: Split) -> Members | None:
        """Clips of a split of a label step's task; ``None`` of a stand-in that is still to be made."""
        return self._once(("members", labels.key, split), lambda: self._members(labels, split))

    def corpus_members(self, corpus: str, pcm: Step) -> Members | None:
        """Clips of a corpus; ``None`` of a stand-in that is still to be made.

        Parameters
        ----------
        corpus
            Its name.
        pcm
            The step that decodes its dataset.
        """
        entry = self._registry.corpus(corpus).entry
        named = self._registry.dataset(entry.dataset)
        opened = self._opened_for(named, pcm)
        if opened is None:
            return None
        with reading(named):
            own = [clip for clip in opened.clips() if not entry.splits or clip.split in entry.splits]
        return Members(named.name, own, self._audio.get(named.name, {}))

    def _opened_for(self, named: Named[DatasetEntry], step: Step) -> Dataset | None:
        """A dataset in the user's folder, or the stand-in that a step needs; ``None`` if that is still to be made."""
        if named.name in self._opened:
            return self._opened[named.name]
        made = self._store.find(standin.KIND.name, step.needs["standin"].key)
        return None if made is None else dataset_at(named, made.path)

    def _members(self, labels: Step, split: Split) -> Members | None:
        named: Named[DatasetEntry] = labels.context["dataset"]
        opened = self._opened_for(named, labels)
        if opened is None:
            return None
        with reading(named):
            task = divide(opened.task(**labels.spec["options"]), opened, labels.spec.get("folds"))
            if (limit := labels.needs["pcm"].spec.get("limit")) is not None:
                task = limited(task, limit["clips"])
            clips = {clip.id: clip for clip in opened.clips()}
        own = [clips[clip_id] for clip_id, of in zip(task.clip_ids, task.splits, strict=True) if of == split]
        return Members(named.name, own, self._audio.get(named.name, {}))

    def augmentation_code(self, recipe: Recipe, sample_rate: int) -> dict[str, str]:
        """Code of what augments by a recipe and is not bench's own, once all of it is known to work at a rate [Hz]."""

        def ask() -> dict[str, str]:
            code = augmentation_code(recipe)
            check_augmentation(recipe, sample_rate)
            return code

        chain = recipe.entry.model_dump_json(include={"augmentation"})
        return self._once(("augmentation", recipe.file, recipe.line, recipe.name, chain, sample_rate), ask)

    def _source(self, dataset: str) -> _Source:
        return self._once(("source", dataset), lambda: self._look_for(dataset))

    def _look_for(self, dataset: str) -> _Source:
        named = self._registry.dataset(dataset)
        code = self.code(named)
        if self._data is None and named.entry.root is None:
            standin_module(named)
            spec = {"dataset": dataset, "class": named.entry.class_path, "code": code, "seed": STANDIN_SEED}
            read_by = {"class": named.entry.class_path, "code": code, "args": named.entry.args}
            context = {"dataset": named, "lengths": cache(partial(standin_lengths, named))}
            made = standin.KIND.step(spec, {}, f"make the stand-in of {dataset}", context)
            return _Source({"args": named.entry.args}, read_by, {"standin": made}, context)
        with reading(named):
            opened = open_dataset(named, self._data)
            found = contents(opened, self._store, self._reporter)
            check_excerpts(opened)
        self._opened[dataset] = opened
        self._audio[dataset], self._rows[dataset] = found.audio, found.rows
        read_by = {"class": named.entry.class_path, "code": code, "args": named.entry.args, "tables": found.tables}
        context = {"dataset": named, "root": opened.root, "lengths": cache(partial(clip_lengths, opened))}
        return _Source({"clips": found.clips}, read_by, {}, context)

    def recipe(self, name: str, overrides: Mapping[str, Any]) -> tuple[Recipe, Mapping[str, Any]]:
        """A recipe with numbers of it replaced, and those of its numbers that determine a training."""

        def make() -> tuple[Recipe, Mapping[str, Any]]:
            named = self._registry.recipe(name)
            entry = override(read_recipe(named).entry, overrides)
            return Named(named.name, entry, named.file, named.line), recipe_numbers(entry)

        return self._once(("recipe", name, repr(sorted(overrides.items()))), make)

    def protocol_numbers(self, name: str) -> Mapping[str, Any]:
        """Numbers of a protocol that determine a probe."""
        return self._once(("protocol", name), lambda: numbers(self._registry.protocol(name).entry))

    def code(self, named: PlugIn) -> str:
        """`code_identity`, whose files are read once however many seeds and tasks there are."""
        return self._once(("code", named.file, named.line, named.name), lambda: code_identity(named))

    def _once(self, key: tuple[Any, ...], find: Callable[[], T]) -> T:
        """What `find` returns or raises, found out once however many cells ask."""
        if key not in self._found:
            try:
                self._found[key] = (find(), None)
            except TROUBLE as error:
                self._found[key] = (None, error)
        found, trouble = self._found[key]
        if trouble is not None:
            raise trouble.with_traceback(None)
        return found  # type: ignore[no-any-return]

    def earlier(self, kind: str) -> Callable[[], list[Artifact]]:
        """Yields the artifacts of a kind in the store, for a step to take from them what it need not do again."""
        return partial(whole_artifacts, self._store.root.absolute(), kind)

    @property
    def registry(self) -> Registry:
        """What names mean."""
        return self._registry


def whole_artifacts(store: Path, kind: str) -> list[Artifact]:
    """Every whole artifact of a kind in a store; a function of its own, so that steps can be sent to workers."""
    return list(Store(store).whole(kind))


def recipe_numbers(entry: RecipeEntry) -> dict[str, Any]:
    """What of a recipe determines a training; what it starts from is told by that training's own key."""
    return {key: value for key, value in numbers(entry).items() if key != "start_from"}
