"""What the measurements of `bench speed` return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class DecoderRates(TypedDict):
    """How fast a decoder is.

    Attributes
    ----------
    cpu, wall
        Seconds of audio per second of processor, and of clock.
    """

    cpu: float
    wall: float


class FormatSpeed(TypedDict):
    """Both decoders on the files of one format.

    Attributes
    ----------
    kbit_per_second
        Bit rate of the files.
    ours, librosa
        The decoders.
    ratio_cpu, ratio_wall
        Our rate over librosa's, by the processor's time and by the clock.
    """

    kbit_per_second: float
    ours: DecoderRates
    librosa: DecoderRates
    ratio_cpu: float
    ratio_wall: float


class DecodeSpeed(TypedDict):
    """Decoding to int16 mono at 22,050 Hz beside librosa.

    Attributes
    ----------
    ratio_mp3, ratio_wav
        Our rate over librosa's for 44.1 kHz stereo, per core.
    scaling
        Rate of two worker processes over that of one, by the clock; null with a single core.
    crop_microseconds
        To copy a window from the store.
    formats
        By suffix.
    load, cores
        Of the machine, before and after; how many may be used.
    """

    ratio_mp3: float
    ratio_wav: float
    scaling: float | None
    crop_microseconds: float
    formats: Mapping[str, FormatSpeed]
    load: Sequence[float]
    cores: int


class EngineSpeed(TypedDict):
    """What the harness itself costs.

    Attributes
    ----------
    trivial_step_ms, cached_step_ms
        Medians of the time that a step which does nothing takes, and that finding one takes.
    records
        Score records in the generated store.
    index_s, list_s
        The first reading of all records, and every later one.
    export_s, ls_s
        Writing them as CSV, and listing that many artifacts.
    """

    trivial_step_ms: float
    cached_step_ms: float
    records: int
    index_s: float
    list_s: float
    export_s: float
    ls_s: float


class ForwardRow(TypedDict):
    """A forward pass of one encoder beside plain layers.

    Attributes
    ----------
    encoder
        Its name.
    ratio
        Median over rounds of ours / plain.
    ours_seconds, plain_seconds
        Medians.
    batch
        Windows at once.
    difference
        The largest between the two outputs.
    device
        Where it was measured.
    """

    encoder: str
    ratio: float
    ours_seconds: float
    plain_seconds: float
    batch: int
    difference: float
    device: str


class ForwardSpeed(TypedDict):
    """Forward passes beside plain torch layers with the same weights.

    Attributes
    ----------
    ratio, limit
        The worst of the rows, and what is promised.
    encoders
        A row for each.
    """

    ratio: float
    limit: float
    encoders: Sequence[ForwardRow]


class PretrainRow(TypedDict):
    """Pretraining of one encoder.

    Attributes
    ----------
    encoder
        Its name.
    ratio
        Rate of the full training over the bare model's step.
    ratio_processor
        The same by the time that the processor has worked, which other work on the machine changes little; null on a
        GPU.
    bare_clips_per_second, clips_per_second
        Medians over rounds of the bare step, and of the full training.
    bare_range, range
        Least and largest of either.
    unsteady
        Whether rounds disagree.
    steps_a_round
        How many.
    input_wait
        Share of the time that the model waits for its input.
    augmentation_share
        By step of the augmentation, its share of the time; where features are changed, also the share of the front
        end that computes them.
    epochs_per_hour
        Over the clips of MagnaTagATune.
    peak_memory_bytes
        Of the GPU where there is one.
    published_epochs_per_hour, published_clips_per_second
        What the paper reports; null where it reports none.
    """

    encoder: str
    ratio: float
    ratio_processor: float | None
    bare_clips_per_second: float
    clips_per_second: float
    bare_range: Sequence[float]
    range: Sequence[float]
    unsteady: bool
    steps_a_round: int
    input_wait: float
    augmentation_share: Mapping[str, float]
    epochs_per_hour: float
    peak_memory_bytes: int
    published_epochs_per_hour: float | None
    published_clips_per_second: float | None


class PretrainSpeed(TypedDict):
    """Pretraining, with crops and augmentation, beside the bare model's step.

    Attributes
    ----------
    ratio, target
        The least of the rows, and what is aimed at on such a device.
    device, threads, batch, precision
        What was measured on, and pairs or crops a step.
    batch_of
        Which of them.
    encoders
        A row for each.
    """

    ratio: float
    target: float
    device: str
    threads: int
    batch: int
    batch_of: str
    precision: str
    encoders: Sequence[PretrainRow]


class ProbeKind(TypedDict):
    """Probes of one width and batch.

    Attributes
    ----------
    hidden, batch
        Widths of the hidden layers, and examples a step.
    ratio
        Seconds of the plain loop over those of the sweep.
    """

    hidden: Sequence[int]
    batch: int
    ratio: float


class ProbeSpeed(TypedDict):
    """The probes of a protocol trained at once, beside a plain loop over them.

    Attributes
    ----------
    ratio, ratio_training
        Seconds of the plain loop over the sweep's, with evaluations and without.
    by_kind
        The same by width and batch.
    seconds
        Of ``sweep``, ``plain``, ``sweep_training`` and ``plain_training``.
    largest_difference
        Between outputs of probes that both trained.
    configurations, plain_measured_on
        Probes, and those that the plain loop trained.
    epochs
        For which each was trained.
    shape
        Numbers of ``train`` and ``valid`` examples, ``dim`` and ``tags``.
    device, threads, processor, torch
        What it was measured on.
    """

    ratio: float
    ratio_training: float
    by_kind: Sequence[ProbeKind]
    seconds: Mapping[str, float]
    largest_difference: float
    configurations: int
    epochs: float
    plain_measured_on: int
    shape: Mapping[str, int]
    device: str
    threads: int
    processor: str
    torch: str
