"""The document that a look at one representation is drawn from, whoever collected it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from analysis.pages.clip_map import ClipMap


class Shown(TypedDict):
    """What is looked at.

    Attributes
    ----------
    encoder, recipe, seed
        What names it.
    changes
        Numbers replaced in the recipe, in words.
    corpus, corpus_dataset
        What it was pretrained on, and the dataset of its clips; null where it was not.
    dim
        Size of the representation.
    weights
        Hash of the weights.
    pretrained
        Whether they are trained.
    descriptions
        Sentences on its entry in ``encoders``, ``recipes`` and ``corpora``.
    """

    encoder: str
    recipe: str
    changes: Mapping[str, str]
    corpus: str | None
    corpus_dataset: str | None
    seed: int
    dim: int
    weights: str
    pretrained: bool
    descriptions: Mapping[str, str]


class UnitActivations(TypedDict):
    """How the units of a representation answer to a task's windows; null for what is no number.

    Attributes
    ----------
    windows, clips
        How many.
    dead
        How many units say the same of every window.
    mean, deviation, zero_share, sparsity
        Of each unit, over windows.
    population_sparsity, participation_ratio
        Over units at a window, and effective dimensions of the clips' means.
    classes, class_clips
        Names of the classes that are compared, and their numbers of clips.
    eta_squared, f_ratio
        Of each unit, between the means of classes.
    chance_eta
        What the largest eta squared seldom exceeds if classes do not differ.
    chosen
        Units of the largest eta squared, largest first; none where there are no classes to compare.
    table
        Standardised means by class and chosen unit.
    """

    windows: int
    clips: int
    dead: int
    mean: list[float | None]
    deviation: list[float | None]
    zero_share: list[float | None]
    sparsity: list[float | None]
    population_sparsity: float | None
    participation_ratio: float | None
    classes: list[str]
    class_clips: list[int]
    eta_squared: list[float | None]
    f_ratio: list[float | None]
    chance_eta: float | None
    chosen: list[int]
    table: list[list[float | None]]


class PrevalentLabel(TypedDict):
    """A label that clips have.

    Attributes
    ----------
    label, count
        The label, and how many of the exciting clips have it.
    share
        Of all clips that have it.
    """

    label: str
    count: int
    share: float


class ExcitedLabels(TypedDict):
    """Labels of the windows that excite each feature most.

    Attributes
    ----------
    windows
        How many are taken of each feature.
    labels, share
        Names of labels, the most frequent first, and the share of all windows whose clip has each.
    counts
        Of each feature, how many of its windows are of clips with each label.
    """

    windows: int
    labels: list[str]
    share: list[float]
    counts: list[list[int]]


class FactorClip(TypedDict):
    """A clip at an end of a factor.

    Attributes
    ----------
    clip, path
        Its name, and its file within the dataset.
    score
        Of the factor, in standard units.
    labels
        Of the clip, in words.
    audio
        A ``data:`` address of an excerpt, or empty.
    """

    clip: str
    path: str
    score: float
    labels: list[str]
    audio: str


class FactorEnd(TypedDict):
    """What lies at one end of a factor.

    Attributes
    ----------
    clips
        The outermost first.
    prevalent
        Labels that these have more often than all clips.
    """

    clips: list[FactorClip]
    prevalent: list[PrevalentLabel]


class Factor(TypedDict):
    """Features that go together.

    Attributes
    ----------
    share
        Of the variance of all features.
    features, loadings
        Those of the largest loading, whatever its sign, largest first; and their loadings.
    level_correlation
        Of the scores with the clips' level; null where that is not known.
    loudness
        Whether it is so large that the factor is loudness.
    high, low
        What lies at its ends.
    """

    share: float
    features: list[int]
    loadings: list[float]
    level_correlation: float | None
    loudness: bool
    high: FactorEnd
    low: FactorEnd


class FactorAnalysis(TypedDict):
    """Factors of a task's clips, turned by varimax.

    Attributes
    ----------
    clips, features
        That they rest on; features that do not vary are left out.
    converged
        Whether the fit came to an end.
    factors
        That with the largest share of variance first.
    """

    clips: int
    features: int
    converged: bool
    factors: list[Factor]


class SeenTask(TypedDict):
    """A task with whose clips the representation is shown.

    Attributes
    ----------
    name, description, dataset, licence
        The task, and the dataset of its clips.
    standin
        Whether the clips are a stand-in's.
    domain
        ``in`` if the encoder was trained on this dataset, ``out`` if on another, empty where it was not trained here.
    clips, windows
        How many.
    clip_map, window_map, item_map
        Points in the plane; null where they are too few. On the last, windows of a few clips or songs, each a colour.
    activations
        Of its units.
    curves
        Of each unit, mean activations of clips, sorted from the highest, at even places.
    excited_labels
        Of the windows that excite each unit most; null where labels are numbers.
    factors
        Of the clips' means; null where none are asked for.
    """

    name: str
    description: str
    dataset: str
    licence: str
    standin: bool
    domain: str
    clips: int
    windows: int
    clip_map: ClipMap | None
    window_map: ClipMap | None
    item_map: ClipMap | None
    activations: UnitActivations
    curves: list[list[float | None]]
    excited_labels: ExcitedLabels | None
    factors: FactorAnalysis | None


class ExcitingClip(TypedDict):
    """A clip that excites a feature.

    Attributes
    ----------
    clip, path
        Its name, and its file within the dataset.
    second
        Where the most exciting window begins [s].
    activation, deviation
        Of the feature there, and how many standard deviations above its mean.
    split, labels
        Of the clip, in words.
    audio, audio_seconds
        A ``data:`` address of an excerpt, and its beginning and end in the clip [s]; empty and null where none is held.
    """

    clip: str
    path: str
    second: float
    activation: float
    deviation: float
    split: str
    labels: list[str]
    audio: str
    audio_seconds: tuple[float, float] | None


class ExcitingClips(TypedDict):
    """What of a task excites a feature.

    Attributes
    ----------
    task
        Its name.
    clips
        The most exciting first.
    prevalent
        Labels that these have most often.
    """

    task: str
    clips: list[ExcitingClip]
    prevalent: list[PrevalentLabel]


class HeardFeature(TypedDict):
    """A feature to listen to.

    Attributes
    ----------
    feature, why
        Its number, and why it was chosen.
    tasks
        What excites it, by task.
    """

    feature: int
    why: str
    tasks: list[ExcitingClips]


class LayerSpectra(TypedDict):
    """What excites the units of a layer most, sorted by peaks; null for units that nothing excited.

    Attributes
    ----------
    layer
        Null for the representation.
    units
        Numbers of the units.
    frequencies_hz
        Of the bins [Hz].
    magnitude_db
        Of each unit and bin, relative to the unit's peak [dB].
    peak_hz
        Of each unit [Hz].
    activation_before, activation_after
        Of each unit, for noise and for the waveform found.
    """

    layer: str | None
    units: list[int]
    frequencies_hz: list[float]
    magnitude_db: list[list[float] | None]
    peak_hz: list[float | None]
    activation_before: list[float | None]
    activation_after: list[float | None]


class LookDocument(TypedDict):
    """One representation, to look at and listen to.

    Attributes
    ----------
    schema_version, kind
        Raised when a key changes its meaning; ``"look"``.
    created, bench, command
        Time, version of the program that collected it, and what makes the page again.
    shown
        The representation.
    tasks
        With whose clips it is shown.
    features
        To listen to.
    filters, no_filters
        Spectra of layers; why there are none, or empty.
    audio
        Whether any is held.
    """

    schema_version: int
    kind: str
    created: str
    bench: str
    command: str
    shown: Shown
    tasks: list[SeenTask]
    features: list[HeardFeature]
    filters: list[LayerSpectra]
    no_filters: str
    audio: bool
