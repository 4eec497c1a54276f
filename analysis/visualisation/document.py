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
    clip_map, window_map
        Points in the plane; null where they are too few.
    activations
        Of its units.
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
    activations: UnitActivations


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
