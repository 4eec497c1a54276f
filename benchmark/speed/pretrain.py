"""How much of the bare model's speed a pretraining keeps, with crops, augmentation and the loop around it.

The bare step is forward, loss, backward and optimiser on one batch of views that is ready on the device: of features
where the recipe changes those, so that the front end is no part of it. The full training is `fit`, as `bench run` calls
it, on audio in a file as the store holds it. Both have the same precision and take turns, so that what else the machine
does falls on both.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.augmentation.chain import AugmentationChain
from benchmark.augmentation.draws import Draws
from benchmark.augmentation.features import FeatureAugmentation
from benchmark.augmentation.steps import build
from benchmark.console import Advance, Reporter, Silent
from benchmark.encoding.windows import bfloat16_pays, build_encoder, device, to_waveform
from benchmark.environment import measured
from benchmark.freed_memory import freed_memory_kept
from benchmark.pretraining.crops import VIEWS, Crops, CropSampler
from benchmark.pretraining.items import items_of
from benchmark.pretraining.methods.contrastive import Contrastive, ContrastiveModule
from benchmark.pretraining.methods.multi_source import MultiSourceModule
from benchmark.pretraining.ntxent import ntxent
from benchmark.pretraining.optimisation import build_optimiser
from benchmark.pretraining.processes import Rank
from benchmark.pretraining.training import Training, fit
from benchmark.registry.entries import EncoderEntry
from benchmark.registry.methods import ContrastiveRecipe, MultiSourceRecipe
from benchmark.registry.registry import Named
from benchmark.speed import sources
from benchmark.speed.processor_time import ProcessorTime
from benchmark.speed.results import PretrainRow, PretrainSpeed
from benchmark.store.pcm import Pcm, PcmClip
from benchmark.text import table as in_table
from encoders.base import Encoder
from encoders.capabilities import FrontEndAndTrunk

#: Pairs a step, by default: that of the TUNe paper on a GPU, fewer where such a step takes most of a minute.
GPU_BATCH = 96
CPU_BATCH = 8
#: Share of the bare step's rate that a training is to keep.
GPU_TARGET = 0.9
CPU_TARGET = 0.7
#: The same on a CPU of a recipe that changes features alone: it spares the waveforms' augmentation.
CPU_FEATURES_TARGET = 0.85
#: What a front end is called among the augmentations, and the most of a step that it may take with those of features.
FRONT_END = "front end"
FRONT_END_LIMIT = 0.1
#: A round lasts at least this long [s], and so many steps: the first one has its memory to fetch.
ROUND = 1.5
ROUND_STEPS = 4
#: Rates of one kind that differ by more than this share of their median are too unsteady to found a claim on.
STEADY = 0.2
#: Length of the clips [s]: that of MagnaTagATune's.
CLIP_SECONDS = 29.1
#: Training clips of MagnaTagATune.
MTT_CLIPS = 18_706
#: Epochs of 194 batches of 96 an hour on two or three Titan RTX (TUNe paper, Table S3).
PUBLISHED = {
    "tune_vanilla": 17.94,
    "tune_contractive_1": 18.15,
    "tune_contractive_2": 17.95,
    "tune_contractive_3": 18.15,
    "tune_expansive_1": 17.82,
    "tune_expansive_2": 16.39,
    "tune_expansive_3": 17.64,
    "tune_tail_1": 17.68,
    "tune_tail_2": 17.75,
    "tune_tail_3": 17.55,
    "tune_tail_4": 18.06,
    "tune_tail_5": 17.55,
    "tune_clmr_tail": 17.96,
    "tune_plus": 17.48,
    "tune_vanilla_small": 17.71,
    "tune_plus_large": 18.25,
    "tune_plus_256": 17.11,
    "sample_cnn": 17.47,
}


def measure(
    reporter: Reporter,
    encoders: Sequence[Named[EncoderEntry]],
    recipe: ContrastiveRecipe | MultiSourceRecipe,
    batch: int | None,
    rounds: int,
) -> PretrainSpeed:
    """Time pretraining of encoders on this device.

    Parameters
    ----------
    reporter
        Shows progress.
    encoders
        What to train.
    recipe
        Whose loss, optimiser and augmentation.
    batch
        Pairs, or crops, a step; by default 96 on a GPU and 8 on a CPU.
    rounds
        Turns of each kind, the medians of which are reported, after one that is not counted.

    Returns
    -------
    PretrainSpeed
    """
    where = device()
    gpu = where.type == "cuda"
    recipe = recipe.model_copy(update={"batch": batch or (GPU_BATCH if gpu else CPU_BATCH)})
    with reporter.progress("measure pretraining", len(encoders) * (rounds + 1), "rounds") as advance:
        rows = [_measure_one(named, recipe, rounds, where, advance) for named in encoders]
    return {
        "ratio": min(row["ratio"] for row in rows),
        "target": GPU_TARGET if gpu else CPU_FEATURES_TARGET if _changes_features_alone(recipe) else CPU_TARGET,
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "threads": torch.get_num_threads(),
        "batch": recipe.batch,
        "batch_of": recipe.BATCH_OF,
        "precision": _precision(where),
        "encoders": rows,
    }


def _changes_features_alone(recipe: ContrastiveRecipe | MultiSourceRecipe) -> bool:
    if not isinstance(recipe, ContrastiveRecipe):
        return False
    steps = [build(entry) for entry in recipe.augmentation]
    return bool(steps) and all(isinstance(step, FeatureAugmentation) for step in steps)


def _measure_one(
    named: Named[EncoderEntry],
    recipe: ContrastiveRecipe | MultiSourceRecipe,
    rounds: int,
    where: torch.device,
    advance: Advance,
) -> PretrainRow:
    encoder = build_encoder(named, 0)
    window = encoder.view_samples()
    with tempfile.TemporaryDirectory() as folder, measured() as resources:
        pcm = _corpus(Path(folder), encoder.sample_rate, 2 * recipe.batch)
        module, bare_step = _bare(encoder, recipe, pcm, window, where)
        _seconds(bare_step, 1, where)  # starts the device's libraries, which takes longer than a round
        cycle = len(module.sources) if isinstance(module, MultiSourceModule) else 1
        turns_of_all = round(ROUND / _seconds(bare_step, cycle, where))
        steps = cycle * max(math.ceil(ROUND_STEPS / cycle), turns_of_all)
        augmentation = recipe.augmentation if isinstance(recipe, ContrastiveRecipe) else ()
        chain = AugmentationChain(augmentation, encoder.sample_rate)
        bare, full, waits, by_processor = [], [], [], []
        shares: dict[str, list[float]] = {name: [] for name in _parts(chain)}
        for number in range(rounds + 1):
            turns: dict[str, Any] = {}
            worked: dict[str, float] = {}
            # Who goes first changes from round to round: a drift of the machine then favours neither.
            for kind in ("bare", "full") if number % 2 else ("full", "bare"):
                if kind == "bare":
                    module.to(where)  # the full training has left the encoder, which both share, on the CPU
                    began = time.process_time()
                    with freed_memory_kept():  # as in the full training
                        turns[kind] = recipe.batch * steps / _seconds(bare_step, steps, where)
                    worked[kind] = time.process_time() - began
                else:
                    trained = _module(encoder, recipe, pcm, window, where, number, steps)
                    turns[kind] = _full(trained, recipe, where, number, steps, Path(folder))
                    worked[kind] = trained.worked
            parts = _augmentations(chain, encoder.to(where), pcm, recipe, window, number)
            advance(1)
            if number:
                bare.append(turns["bare"])
                full.append(turns["full"]["clips_per_second"])
                waits.append(turns["full"]["input_wait"])
                by_processor.append(worked["bare"] / worked["full"])
                for name, part in parts.items():
                    shares[name].append(part * full[-1] / recipe.batch)
    rate = median(full)
    per_epoch = MTT_CLIPS // recipe.batch * recipe.batch
    published = PUBLISHED.get(named.name)
    return {
        "encoder": named.name,
        "ratio": rate / median(bare),
        "ratio_processor": None if where.type == "cuda" else median(by_processor),
        "bare_clips_per_second": median(bare),
        "clips_per_second": rate,
        "bare_range": [min(bare), max(bare)],
        "range": [min(full), max(full)],
        "unsteady": max(_unsteadiness(bare), _unsteadiness(full)) > STEADY,
        "steps_a_round": steps,
        "input_wait": median(waits),
        "augmentation_share": {name: median(values) for name, values in shares.items()},
        "epochs_per_hour": rate * 3600 / per_epoch,
        "peak_memory_bytes": resources.get("peak_gpu_memory_bytes", resources["peak_memory_bytes"]),
        "published_epochs_per_hour": published,
        "published_clips_per_second": published and published * (MTT_CLIPS // 96 * 96) / 3600,
    }


def _unsteadiness(rates: Sequence[float]) -> float:
    """Range of rates relative to their median; one rate says nothing of its own steadiness."""
    return (max(rates) - min(rates)) / median(rates) if len(rates) > 1 else float("inf")


def _precision(where: torch.device) -> str:
    return "bf16-mixed" if bfloat16_pays(where) else "32-true"


def _corpus(folder: Path, sample_rate: int, count: int) -> Pcm:
    """Clips of coloured noise in a file, mapped as the store's are."""
    samples = int(CLIP_SECONDS * sample_rate)
    rng = np.random.default_rng(0)
    path = folder / "pcm.int16"
    with path.open("wb") as file:
        for _ in range(count):
            noise = rng.standard_normal(samples, dtype=np.float32)
            file.write((3000 * (noise + np.roll(noise, 1) + np.roll(noise, 2))).astype(np.int16).tobytes())
    clips = [PcmClip(str(n), "", "train", "", "", "", n * samples, samples, str(n)) for n in range(count)]
    mapped: NDArray[np.int16] = np.memmap(path, dtype=np.int16, mode="r")
    return Pcm(mapped, tuple(clips), (), sample_rate)


class _Timed(ProcessorTime, ContrastiveModule):
    pass


def _module(
    encoder: Encoder,
    recipe: ContrastiveRecipe | MultiSourceRecipe,
    pcm: Pcm,
    window: int,
    where: torch.device,
    seed: int,
    steps: int,
) -> _Timed | sources.Timed:
    if isinstance(recipe, MultiSourceRecipe):
        return sources.module(encoder, recipe, pcm, window, where, seed, steps)
    items = items_of(pcm.clips, "clip", window)
    sampler = CropSampler(
        [item.samples for item in items],
        window,
        recipe.batch,
        seed,
        replacement=recipe.replacement,
        within=Contrastive(recipe).pair_within(encoder.sample_rate),
    )
    return _Timed(encoder, recipe, Crops(pcm, items, window, where), sampler, seed, steps).to(where)


def _bare(
    encoder: Encoder, recipe: ContrastiveRecipe | MultiSourceRecipe, pcm: Pcm, window: int, where: torch.device
) -> tuple[ContrastiveModule | MultiSourceModule, Callable[[], None]]:
    """The bare model, and a function that takes a step with it on a batch of views that stays on the device."""
    module = _module(encoder, recipe, pcm, window, where, 0, 1)
    if isinstance(recipe, MultiSourceRecipe):
        assert isinstance(module, MultiSourceModule)
        return module, sources.bare(module, recipe, where)
    assert isinstance(module, ContrastiveModule)
    with closing(module.crops) as crops:
        views = module.augment(crops.cut_step(module.sampler, 0, 0), 0)
    optimiser = build_optimiser(recipe.optimiser, module.parameters(), recipe.step_size, recipe.weight_decay)

    def step() -> None:
        module.train()
        with torch.autocast(where.type, torch.bfloat16, enabled=_precision(where) == "bf16-mixed"):
            _, (z_i, z_j) = module.embed(views)
            loss = ntxent(z_i, z_j, recipe.temperature)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return module, step


def _full(
    module: _Timed | sources.Timed,
    recipe: ContrastiveRecipe | MultiSourceRecipe,
    where: torch.device,
    number: int,
    steps: int,
    folder: Path,
) -> dict[str, float]:
    work = folder / f"round-{number}"
    work.mkdir()
    return fit(module, Training("speed", steps, recipe.batch, work, Rank(), _precision(where)), Silent())


def _parts(chain: AugmentationChain) -> list[str]:
    """What of a step is timed on its own: augmentations of waveforms, and the front end before those of features."""
    features = [FRONT_END, " + ".join(chain.features.names)] if chain.features else []
    return [*chain.names, *features]


def _augmentations(
    chain: AugmentationChain,
    encoder: Encoder,
    pcm: Pcm,
    recipe: ContrastiveRecipe | MultiSourceRecipe,
    window: int,
    number: int,
) -> dict[str, float]:
    """Seconds that each of `_parts` takes in a step, on the views that it is drawn for."""
    if not _parts(chain):
        return {}
    where = next(encoder.parameters()).device
    rng = np.random.default_rng(number)
    starts = rng.integers(0, len(pcm.samples) - window, VIEWS * recipe.batch)
    crops = torch.from_numpy(np.stack([pcm.samples[at : at + window] for at in starts.tolist()]))
    waveform = to_waveform(crops.to(where))
    draws = chain.draw(len(waveform), number)
    none = [replace(step, selected=torch.zeros_like(step.selected)) for step in draws.steps]
    unchanged = Draws(tuple(none))
    with freed_memory_kept():  # as in the full training
        chain.apply(waveform, draws)
        idle = _seconds(lambda: chain.apply(waveform, unchanged), 1, where)
        found = []
        for place, step in enumerate(draws.steps):
            alone = Draws((*none[:place], step, *none[place + 1 :]))
            found.append(max(0.0, _seconds(lambda: chain.apply(waveform, alone), 1, where) - idle))  # noqa: B023
        if chain.features:
            found += _of_features(chain, encoder, waveform, number)
    return dict(zip(_parts(chain), found, strict=True))


def _of_features(chain: AugmentationChain, encoder: Encoder, waveform: Tensor, number: int) -> list[float]:
    """Seconds of an encoder's front end on both views [2N, T] of a batch, and of changing what it gives."""
    assert isinstance(encoder, FrontEndAndTrunk)
    views = waveform.unsqueeze(1).chunk(VIEWS)
    features = [encoder.features(view) for view in views]  # what is computed once is kept

    def changed() -> None:
        for view in features:
            chain.features.apply(view, chain.features.draw(len(view), number))

    with torch.no_grad():
        changed()
        front_end = _seconds(lambda: [encoder.features(view) for view in views], 1, waveform.device)
        return [front_end, _seconds(changed, 1, waveform.device)]


def _seconds(function: Any, times: int, where: torch.device) -> float:
    if where.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        function()
    if where.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def table(result: PretrainSpeed) -> str:
    """The result for a terminal."""
    lines = [
        f"Pretraining on {result['device']}, {result['threads']} threads, {result['batch']} {result['batch_of']} a "
        f"step, {result['precision']}",
        "",
    ]
    rows = [
        [
            "encoder", "bare clips/s", "training clips/s", "ratio", "by CPU time", "epochs/h of MTT",
            "Table S3 epochs/h", "waiting for input", "peak memory",
        ]
    ]  # fmt: skip
    for row in result["encoders"]:
        processor, published = row["ratio_processor"], row["published_epochs_per_hour"]
        rows.append(
            [
                row["encoder"],
                f"{row['bare_clips_per_second']:.3g}",
                f"{row['clips_per_second']:.3g}",
                f"{row['ratio']:.0%}",
                "-" if processor is None else f"{processor:.0%}",
                f"{row['epochs_per_hour']:.3g}",
                f"{published:.2f}" if published else "-",
                f"{row['input_wait']:.1%}",
                f"{row['peak_memory_bytes'] / 2**30:.1f} GiB",
            ]
        )
    lines.append(in_table(rows))
    unsteady = [row["encoder"] for row in result["encoders"] if row["unsteady"]]
    if unsteady:
        lines += [
            "",
            f"UNSTEADY: {', '.join(unsteady)}: rates differ by more than {STEADY:.0%} between rounds, or there was one "
            "round; the machine was busy, and the ratio proves nothing",
        ]
    names = [*result["encoders"][0]["augmentation_share"]]  # a recipe's, and all are trained by one
    if names:
        shares = [["share of a training step", *names]]
        shares += [
            [row["encoder"], *(f"{row['augmentation_share'][name]:.2%}" for name in names)]
            for row in result["encoders"]
        ]
        lines += ["", in_table(shares)]
    if FRONT_END in names:
        most = max(
            sum(list(row["augmentation_share"].values())[names.index(FRONT_END) :]) for row in result["encoders"]
        )
        lines += ["", f"front end and changes of features {most:.1%} of a step, limit {FRONT_END_LIMIT:.0%}"]
    lines += [
        "",
        f"ratio {result['ratio']:.0%}, target {result['target']:.0%} on such a device. Table S3 of the TUNe paper was "
        "measured on two or three Titan RTX.",
    ]
    return "\n".join(lines)
