r"""From what a user asks for to steps with keys. Nothing is computed here, and nothing that learns is imported.

standin -> prepare -> label -------------------+
             |  \-> pretrain or initialise     +-> probe -> score record
             +------------------ \-> embed ---+
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.console import Reporter
from benchmark.entries import EncoderEntry, RecipeEntry
from benchmark.errors import UserError
from benchmark.registry import Named, Registry
from benchmark.sources import code_identity, extent, fingerprint, open_dataset, standin_extent
from benchmark.store import Store, digest_file, digest_of

#: Raised when what a step leaves, or how it computes it, changes; every key that rests on it changes too.
STEP_VERSIONS = {"standin": 1, "prepare": 1, "label": 1, "initialise": 1, "pretrain": 1, "embed": 1, "probe": 1}
STANDIN_SEED = 0
#: The recipe column of an encoder that a recipe could have trained and did not.
UNTRAINED = "untrained"
#: The recipe column of an encoder that needs none: hand-made features, or weights that came with it.
AS_GIVEN = "as-given"


@dataclass(frozen=True, eq=False)
class Step:
    """A function from a spec and the artifacts before it to one artifact.

    Attributes
    ----------
    kind
        Which function.
    spec
        Everything, apart from `needs`, that determines the artifact; JSON-able.
    needs
        The steps whose artifacts it takes.
    title
        How it is called on the terminal.
    context
        What is needed to compute it but does not determine the result: where files lie, entries to import.
    """

    kind: str
    spec: Mapping[str, Any]
    needs: Mapping[str, Step]
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Hash of all that determines the artifact."""
        return digest_of(
            {
                "kind": self.kind,
                "version": STEP_VERSIONS[self.kind],
                "spec": self.spec,
                "needs": {name: step.key for name, step in self.needs.items()},
            }
        )[:40]

    def lineage(self) -> list[Step]:
        """The steps that this one rests on, itself last, each once, in an order in which they can be computed."""
        ordered: dict[str, Step] = {}
        for step in self.needs.values():
            ordered |= {before.key: before for before in step.lineage()}
        return [*(step for key, step in ordered.items() if key != self.key), self]


@dataclass(frozen=True)
class Run:
    """One cell of the grid.

    Attributes
    ----------
    encoder, corpus, recipe, task, protocol, seed
        The cell; `corpus` is ``None`` where nothing is pretrained. A recipe with numbers overridden has them in its
        name, for it is another recipe.
    probe
        The step that ends in its score record.
    """

    encoder: str
    corpus: str | None
    recipe: str
    task: str
    protocol: str
    seed: int
    probe: Step


@dataclass(frozen=True)
class Request:
    """What a command asks for: every combination of these becomes a run.

    `corpora` and `protocols` may be empty: then the task's own are used.
    """

    encoders: Sequence[str]
    tasks: Sequence[str]
    recipes: Sequence[str]
    corpora: Sequence[str] = ()
    protocols: Sequence[str] = ()
    seeds: Sequence[int] = (0,)
    allow_missing: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)


class Planner:
    """Turns requests into runs whose steps are shared wherever their keys agree.

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

    def runs(self, request: Request) -> list[Run]:
        """Runs of `request`, each trained encoder followed by its untrained twin of the same seed.

        Raises
        ------
        UserError, DatasetError
            If a name is not known, a dataset is not where the user says, or an override does not fit.
        """
        runs: dict[str, Run] = {}
        for task in request.tasks:
            self._registry.task(task)
            for protocol in request.protocols or (self._registry.task(task).entry.protocol,):
                for corpus in request.corpora or (self._registry.task(task).entry.corpus,):
                    for seed in request.seeds:
                        for encoder in request.encoders:
                            learns = self._registry.encoder(encoder).entry.learns
                            for recipe in [*request.recipes, UNTRAINED] if learns else [AS_GIVEN]:
                                run = self._run(encoder, corpus, recipe, task, protocol, seed, request)
                                runs.setdefault(run.probe.key, run)
        return list(runs.values())

    def _run(
        self, encoder: str, corpus: str, recipe: str, task: str, protocol: str, seed: int, request: Request
    ) -> Run:
        named = self._registry.encoder(encoder)
        sample_rate = self._sample_rate(named)
        if recipe in (UNTRAINED, AS_GIVEN):
            weights = self._initialise(named, seed if recipe == UNTRAINED else 0)
        else:
            weights = self._pretrain(named, corpus, recipe, seed, sample_rate, request.overrides)
            changes = ", ".join(f"{key}={value:g}" for key, value in sorted(request.overrides.items()))
            recipe = f"{recipe}({changes})" if changes else recipe
        entry = self._registry.task(task).entry
        pcm = self._prepare(entry.dataset, sample_rate)
        embeddings = Step(
            "embed",
            {"layer": None},
            {"weights": weights, "pcm": pcm},
            f"embed {entry.dataset} with {encoder} ({recipe})",
            {"encoder": named},
        )
        labels = Step(
            "label",
            {"options": dict(entry.options), "allow_missing": request.allow_missing},
            {"pcm": pcm, **pcm.needs},
            f"labels and split of {task}",
            pcm.context,
        )
        trained = recipe not in (UNTRAINED, AS_GIVEN)
        names: dict[str, Any] = {
            "encoder": encoder,
            "corpus": corpus if trained else None,
            "recipe": recipe,
            "task": task,
            "protocol": protocol,
            "seed": seed,
        }
        probe = Step(
            "probe",
            {
                "run": names,
                "protocol": _numbers(self._registry.protocol(protocol).entry.model_dump(mode="json")),
                "metrics": list(entry.metrics),
                "seed": seed,
            },
            {"embeddings": embeddings, "labels": labels, "weights": weights},
            f"probe {task} on {encoder} ({recipe}), {protocol}, seed {seed}",
        )
        return Run(**names, probe=probe)

    def _sample_rate(self, named: Named[EncoderEntry]) -> int:
        return int(named.entry.args.get("sample_rate", named.entry.sample_rate))

    def _source(self, dataset: str) -> tuple[dict[str, Any], dict[str, Step], dict[str, Any]]:
        """Spec, needs and context that a prepare step takes from where the dataset comes from."""
        if dataset not in self._sources:
            named = self._registry.dataset(dataset)
            code = code_identity(named)
            if self._data is None:
                spec = {"dataset": dataset, "class": named.entry.class_path, "code": code, "seed": STANDIN_SEED}
                context = {"dataset": named, "extent": partial(standin_extent, named)}
                standin = Step("standin", spec, {}, f"make the stand-in of {dataset}", context)
                self._sources[dataset] = ({}, {"standin": standin}, context)
            else:
                opened = open_dataset(named, self._data)
                files = fingerprint(opened, self._store, self._reporter)
                spec = {"dataset": dataset, "class": named.entry.class_path, "code": code, "files": files}
                context = {"dataset": named, "root": opened.root, "extent": partial(extent, opened)}
                self._sources[dataset] = (spec, {}, context)
        return self._sources[dataset]

    def _prepare(self, dataset: str, sample_rate: int) -> Step:
        spec, needs, context = self._source(dataset)
        return Step(
            "prepare", {**spec, "sample_rate": sample_rate}, needs, f"decode {dataset} at {sample_rate:,} Hz", context
        )

    def _encoder_spec(self, named: Named[EncoderEntry]) -> dict[str, Any]:
        return {"class": named.entry.class_path, "args": named.entry.args, "code": code_identity(named)}

    def _initialise(self, named: Named[EncoderEntry], seed: int) -> Step:
        spec = {**self._encoder_spec(named), "seed": seed, "weights": None}
        context: dict[str, Any] = {"encoder": named}
        title = f"initialise {named.name}, seed {seed}"
        if named.entry.weights is not None:
            file = weights_file(named)
            spec["weights"] = digest_file(file)
            context["weights"] = file
            title = f"load {named.name} from {file.name}"
        return Step("initialise", spec, {}, title, context)

    def _pretrain(
        self,
        named: Named[EncoderEntry],
        corpus: str,
        recipe: str,
        seed: int,
        sample_rate: int,
        overrides: Mapping[str, Any],
    ) -> Step:
        corpus_entry = self._registry.corpus(corpus).entry
        recipe_entry = override(self._registry.recipe(recipe).entry, overrides)
        spec = {
            "recipe": _numbers(recipe_entry.model_dump(mode="json")),
            "splits": list(corpus_entry.splits) if corpus_entry.splits else None,
            "seed": seed,
        }
        length = f"{recipe_entry.pairs:,} pairs" if recipe_entry.pairs else f"{recipe_entry.epochs:,} epochs"
        return Step(
            "pretrain",
            spec,
            {"start": self._initialise(named, seed), "pcm": self._prepare(corpus_entry.dataset, sample_rate)},
            f"pretrain {named.name} on {corpus}, recipe {recipe} ({length}), seed {seed}",
            {"encoder": named, "names": {"encoder": named.name, "corpus": corpus, "recipe": recipe}},
        )


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
        raise UserError(f"{named.file}:{named.line}: encoders.{named.name}.weights: there is no file {file}")
    return file


def override(recipe: RecipeEntry, changes: Mapping[str, Any]) -> RecipeEntry:
    """`recipe` with some numbers replaced; setting one of `epochs` and `pairs` drops the other.

    Raises
    ------
    UserError
        If a number is out of its range.
    """
    document = recipe.model_dump()
    for key, value in changes.items():
        if key in ("epochs", "pairs"):
            document["epochs"] = document["pairs"] = None
        document[key] = value
    try:
        return RecipeEntry.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r}") from None


def planned_recipe(step: Step) -> RecipeEntry:
    """Recipe of a pretrain step, as its spec holds it: the numbers alone."""
    return RecipeEntry.model_validate({"source": "plan", **step.spec["recipe"]}, strict=False)


def unique_steps(runs: Iterable[Run]) -> list[Step]:
    """Every step of `runs` once, in an order in which they can be computed: cheap checks before long training."""
    ordered: dict[str, Step] = {}
    for kind_rank in (("standin", "prepare", "label"), tuple(STEP_VERSIONS)):
        for run in runs:
            for step in run.probe.lineage():
                if step.kind in kind_rank:
                    ordered.setdefault(step.key, step)
    return list(ordered.values())


def _numbers(document: dict[str, Any]) -> dict[str, Any]:
    """What of a recipe or protocol determines its result; the rest is for readers."""
    return {key: value for key, value in document.items() if key not in ("source", "description")}
