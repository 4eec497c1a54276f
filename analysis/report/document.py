"""The document that a report is made of: plain, such as JSON can hold, whoever collected it.

`benchmark.report.contents` makes one from a store. Scores are compared only within the same task, fingerprint and kind
of data (real or stand-in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from analysis.pages.clip_map import ClipMap
from analysis.pages.label_counts import LabelCounts


class OverlapRow(TypedDict):
    """Test clips, and clips of recordings and artists, that the encoder was pretrained on.

    Attributes
    ----------
    clips, recordings, artists
        Numbers of clips.
    labelled
        Of the clips, those whose labels it was trained on, by another task.
    """

    clips: int
    recordings: int
    artists: int
    labelled: int


class MetricRow(TypedDict):
    """One metric of a run; of which more is better, `analysis.tables.direction` says by its name.

    Attributes
    ----------
    value
        Mean over the metric's parts.
    lower, upper, level
        Interval over test clips, and the probability that it is made for.
    rough
        Why the interval may hold the truth less often than that; empty if nothing speaks for it.
    floor
        What the constant prediction that is best on the training labels reaches.
    n_labels, n_clips
        Parts in the mean, and test clips that the metric speaks of.
    folds
        Value in each fold, null where a fold scores no part; null for a task with a split.
    per_label
        Value of each part, of the leading metric of plain runs.
    """

    value: float
    lower: float
    upper: float
    level: float
    rough: str
    floor: float
    n_labels: int
    n_clips: int
    folds: Sequence[float | None] | None
    per_label: NotRequired[Mapping[str, float]]


class RunRow(TypedDict):
    """One run and its scores.

    Attributes
    ----------
    key
        Of its last step.
    encoder, corpus, recipe, task, protocol, seed
        What names it; `corpus` is null where nothing was pretrained.
    layer, labels, draw, shots, deform, limit
        Layer that was probed, null for the representation; share of the training labels; training clips of each class,
        null for all; deformation of the test audio, null for none; clips that the run was limited to, null for all.
    departs
        Which of these, and of further factors, are not as in a run on the representation, all labels and plain audio.
    encoders
        Names of the encoders that are probed as one.
    recipe_name, overrides
        The recipe without the numbers replaced in it, and these.
    epochs, pairs
        Length of the pretraining, or null.
    standin
        Whether the clips are a stand-in's.
    fingerprint
        Hash of the scored clips and their labels.
    n_test, n_expected
        Test clips that were scored, and those of the task's definition.
    lacking
        Of each split that lacks some, how many clips were used and how many the task has, in words; else empty.
    overlap
        With what the encoder was pretrained on.
    published
        What its publishers trained it on of the task's dataset: ``"audio"``, ``"labels"``, or nothing of it.
    unscored
        Labels that could not be scored.
    parameters, dim
        Of the encoder: how many, and size of what was probed.
    weights
        Hash of the weights.
    network
        Name of the trained network behind the scores; empty where the weights came with the encoder.
    finished
        When, in ISO 8601.
    steps
        Keys of all its steps.
    metrics
        By name, the leading one first.
    carried
        What the study's table of runs says of it beside its factors, by column; left out where it says nothing.
    """

    key: str
    encoder: str
    corpus: str | None
    recipe: str
    task: str
    protocol: str
    seed: int
    layer: str | None
    labels: float
    draw: str
    shots: int | None
    deform: str | None
    limit: int | None
    departs: Sequence[str]
    encoders: Sequence[str]
    recipe_name: str
    overrides: Mapping[str, str]
    epochs: int | None
    pairs: int | None
    standin: bool
    fingerprint: str
    n_test: int
    n_expected: int
    lacking: str
    overlap: OverlapRow
    published: str
    unscored: Sequence[str]
    parameters: int
    dim: int
    weights: str
    network: str
    finished: str
    steps: Sequence[str]
    metrics: Mapping[str, MetricRow]
    carried: NotRequired[Mapping[str, Any]]


class StepRow(TypedDict):
    """What a step cost, when it was computed.

    Attributes
    ----------
    kind, key
        Which step.
    seconds
        Duration [s].
    peak_memory_bytes, peak_gpu_memory_bytes
        Peak memory; null where there was no GPU.
    device
        What computed it.
    windows
        Windows that an embed step encoded; left out where the store no longer says it.
    """

    kind: str
    key: str
    seconds: float
    peak_memory_bytes: int
    device: str
    peak_gpu_memory_bytes: int | None
    windows: NotRequired[int]


class TaskRow(TypedDict):
    """A task.

    Attributes
    ----------
    description, dataset
        As its entry in the registry says.
    """

    description: str
    dataset: str


class StudyRow(TypedDict):
    """The study whose runs these are.

    Attributes
    ----------
    name, description, source
        As its file says.
    planned
        Number of runs.
    missing
        Titles of those that are not scored.
    """

    name: str
    description: str
    source: str
    planned: int
    missing: Sequence[str]


class FactorRow(TypedDict):
    """What one of the factors stands for that the labels of a source are reduced to.

    Attributes
    ----------
    share
        Mean over the clips that were trained on.
    terms
        Its strongest terms and their probabilities, the strongest first; none for a source of numbers.
    mean, deviation
        Of its Gaussian, for a source of numbers; else null.
    """

    share: float
    terms: Sequence[tuple[str, float]]
    mean: float | None
    deviation: float | None


class SourceRow(TypedDict):
    """A source of labels that encoders were pretrained on.

    Attributes
    ----------
    key
        Of the step that reduced its labels.
    dataset, source
        Whose clips it says something of, and its name.
    clips, labelled, fitted
        Clips of the dataset, those that it says something of, and those of them that were trained on.
    factors
        What each factor stands for.
    """

    key: str
    dataset: str
    source: str
    clips: int
    labelled: int
    fitted: int
    factors: Sequence[FactorRow]


class FailureRow(TypedDict):
    """Something that failed and has not been computed since.

    Attributes
    ----------
    title, cause
        What, and why.
    log
        File in the store that says more, or empty.
    """

    title: str
    cause: str
    log: str


class CitationRow(TypedDict):
    """What to cite.

    Attributes
    ----------
    key, bibtex
        The entry.
    used_for
        Phrases such as ``"dataset gtzan"``.
    """

    key: str
    bibtex: str
    used_for: list[str]


class TaskLabelCounts(LabelCounts):
    """Clips by label and split, of one set of scored clips.

    Attributes
    ----------
    fingerprint, standin
        As of its runs.
    """

    fingerprint: str
    standin: bool


class RunMap(ClipMap):
    """A run's test clips in the plane.

    Attributes
    ----------
    key
        Of the run.
    """

    key: str


class TopicsRow(TypedDict):
    """What a source's head expects of the clips of a map.

    Attributes
    ----------
    source
        Its name.
    topic
        Factor of each clip that it expects most.
    names
        What each factor stands for.
    """

    source: str
    topic: list[int]
    names: Sequence[str]


class TopicMap(ClipMap):
    """Clips of a task in the plane of a representation that was trained on several sources, and their topics.

    Attributes
    ----------
    title
        Task and representation.
    standin
        Whether the clips are a stand-in's.
    sources
        Those of factors, in the order of the branches.
    """

    title: str
    standin: bool
    sources: Sequence[TopicsRow]


class Document(TypedDict):
    """Everything that a report shows.

    Attributes
    ----------
    schema_version, kind
        Raised when a key changes its meaning; ``"report"``.
    created, bench
        Time, and version of the program that collected it.
    study
        Null where a whole store is reported.
    runs
        One of each run.
    older
        How many scores are not among the runs, for theirs were scored again since.
    steps
        By key.
    layers
        By encoder, the names of its layers in the order of computation.
    tasks
        By name.
    metrics
        A title for each metric.
    descriptions
        Sentences by section of the registry and name.
    trainings
        By key of a step, pairs of epoch and validation score, of the pretrainings that were probed on the way.
    sources
        Sources of labels that pretrainings learnt from.
    deformations
        By name of a deformation, the unit of its strength.
    label_counts
        Of every task whose labels can be counted.
    maps
        Of the best runs of every task, if asked for.
    topics
        Of one run on several sources, if asked for.
    failures
        What failed.
    commands
        Shell commands that make the scores again.
    versions
        Versions by package, the most frequent first.
    citations
        In order of first use.
    """

    schema_version: int
    kind: str
    created: str
    bench: str
    study: StudyRow | None
    runs: Sequence[RunRow]
    older: int
    steps: Mapping[str, StepRow]
    layers: Mapping[str, Sequence[str]]
    tasks: Mapping[str, TaskRow]
    metrics: Mapping[str, str]
    descriptions: Mapping[str, Mapping[str, str]]
    trainings: Mapping[str, Sequence[tuple[float, float]]]
    sources: Sequence[SourceRow]
    deformations: Mapping[str, str]
    label_counts: Sequence[TaskLabelCounts]
    maps: Sequence[RunMap]
    topics: Sequence[TopicMap]
    failures: Sequence[FailureRow]
    commands: Sequence[str]
    versions: Mapping[str, Sequence[str]]
    citations: Sequence[CitationRow]
