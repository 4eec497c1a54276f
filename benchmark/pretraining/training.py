"""The loop of every training, whatever its method: going on where it was stopped, watching, keeping."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader, Dataset

from benchmark.console import Advance, Reporter
from benchmark.encoding.windows import exact_float32
from benchmark.errors import UserError
from benchmark.freed_memory import freed_memory_kept
from benchmark.libraries import load
from benchmark.pretraining.measures import collapse
from benchmark.pretraining.processes import Rank
from benchmark.pretraining.saved_state import keep, part_of
from benchmark.pretraining.trained import TrainedModule
from encoders.base import Encoder
from encoders.weights import save_weights

CHECKPOINT = "last.ckpt"
#: The state is saved when at least this long has passed [s], and this many times what saving took the last time.
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 50
#: Steps between looks at what the device has measured, each of which waits for it.
LOOK_EVERY = 10
#: Looks in a row that must show a collapse before training stops.
PATIENCE = 5
#: The precision that is float32 throughout; GPUs would multiply with the ten bits of TensorFloat-32 by default.
EXACT = "32-true"
#: Seconds between lines that say how the training is doing.
SAY_EVERY = 30.0


@dataclass(frozen=True)
class Training:
    """What a training is to do and to leave.

    Attributes
    ----------
    title
        How it is called on the terminal.
    steps, batch
        Length, and clips a step.
    work
        Folder of the training state and of kept weights.
    process
        This one, among those that train together.
    precision
        As Lightning calls it.
    keep_epochs
        Epochs after which the encoder's weights are kept.
    probe, probe_every
        Scores the encoder on validation clips, every so many epochs; ``None`` for never.
    tensorboard
        Folder for TensorBoard's event files; ``None`` for none.
    """

    title: str
    steps: int
    batch: int
    work: Path
    process: Rank
    precision: str
    keep_epochs: Sequence[int] = ()
    probe: Callable[[Encoder], float] | None = None
    probe_every: int | None = None
    tensorboard: Path | None = None


@dataclass
class Pace:
    """How fast a training went: clips a second, and the share of the time that it waited for crops."""

    clips: int = 0
    began: float = field(default_factory=time.monotonic)

    def facts(self, module: TrainedModule) -> dict[str, float]:
        """Rounded for reading; empty if nothing was trained in this attempt."""
        passed = time.monotonic() - self.began
        if not self.clips:
            return {}
        return {
            "clips_per_second": round(self.clips / passed, 3),
            "input_wait": round(min(module.crops.waited / passed, 1.0), 4),
        }


def kept_weights(epoch: int) -> str:
    """Name of the file with the weights after an epoch."""
    return f"epoch-{epoch:05}.safetensors"


def fit(module: TrainedModule, training: Training, reporter: Reporter) -> dict[str, float]:
    """Train until `training.steps`, from the state in the work folder if there is one; returns the pace.

    The module's crops are closed, for Lightning leaves cycles of references that would hold on to the corpus.

    Raises
    ------
    UserError
        If the loss is not finite, or the representation collapses.
    """
    resume = training.work / CHECKPOINT
    done = steps_done(resume)
    pace = Pace()
    precisely = exact_float32 if training.precision == EXACT else nullcontext
    with closing(module.crops), _quiet(), precisely(), _progress(training, done, reporter) as advance:
        watch = _Watch(training, advance, pace, reporter)
        trainer = pl.Trainer(
            **_devices(training.process, module.LEAVES_OUT),
            precision=training.precision,  # type: ignore[arg-type]
            max_steps=training.steps,
            max_epochs=-1,
            callbacks=[watch],
            enable_checkpointing=False,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        # The module cuts its own batches; the loader only counts steps.
        counter: Any = DataLoader(cast("Dataset[int]", range(training.steps)), batch_size=None)
        try:
            with freed_memory_kept():
                trainer.fit(module, counter, ckpt_path=resume if done else None, weights_only=True)
        except SystemExit:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from None
        finally:
            watch.close()
    watch.look(module)
    found = pace.facts(module)
    save_state(trainer, resume)
    return found


def steps_done(checkpoint: Path) -> int:
    """Optimiser steps behind a training state; 0 if there is none."""
    if not checkpoint.exists():
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])


def save_state(trainer: pl.Trainer, path: Path) -> None:
    """Write the training state beside `path` first: a kill in the midst leaves the one before."""
    trainer.save_checkpoint(part_of(path), weights_only=False)
    if trainer.is_global_zero:
        keep(path)


def _devices(process: Rank, leaves_out: bool) -> dict[str, Any]:
    """What Lightning is to train on: the one device, or the processes of a group, which may leave parameters out."""
    # Named, so that inside a job of a scheduler Lightning does not take that job's processes for its own.
    environment = {"plugins": [LightningEnvironment()]}
    if process.world == 1:
        return {"accelerator": "auto", "devices": 1, **environment}
    on_gpu = process.backend == "nccl"
    return {
        "accelerator": "gpu" if on_gpu else "cpu",
        "devices": process.local_world,
        "num_nodes": process.nodes,
        "strategy": DDPStrategy(
            process_group_backend=process.backend, broadcast_buffers=False, find_unused_parameters=leaves_out
        ),
        # PyTorch synchronises batch norm on GPUs only; on CPUs every process has statistics of its own.
        "sync_batchnorm": on_gpu,
        **environment,
    }


@contextmanager
def _progress(training: Training, done: int, reporter: Reporter) -> Iterator[Advance]:
    if training.process.rank:
        yield lambda _: None
        return
    with reporter.progress(training.title, training.steps * training.batch, "clips", done * training.batch) as advance:
        yield advance


class _Watch(Callback):
    """After every step: progress; now and then: a look at the measures, weights to keep, a probe, the state."""

    def __init__(self, training: Training, advance: Advance, pace: Pace, reporter: Reporter) -> None:
        self._training = training
        self._advance = advance
        self._pace = pace
        self._reporter = reporter
        self._saved = self._said = time.monotonic()
        self._cost = 0.0
        self._collapsed = 0
        self._board = _board(training.tensorboard) if training.tensorboard and training.process.rank == 0 else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pace.began = time.monotonic()
        cast(TrainedModule, pl_module).crops.waited = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module = cast(TrainedModule, pl_module)
        self._advance(self._training.batch)
        self._pace.clips += self._training.batch
        done = trainer.global_step
        if done % module.sampler.steps_per_epoch == 0:
            self._after_epoch(module, done // module.sampler.steps_per_epoch, done)
        # A group of processes decides together whether to save, which costs a message: not after every step.
        if self._training.process.world > 1 and done % LOOK_EVERY:
            return
        passed = time.monotonic() - self._saved
        due = trainer.strategy.broadcast(passed >= max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * self._cost))
        if due or done % LOOK_EVERY == 0:
            self.look(module)
        if due:
            began = time.monotonic()
            save_state(trainer, self._training.work / CHECKPOINT)
            self._saved = time.monotonic()
            self._cost = self._saved - began

    def _after_epoch(self, module: TrainedModule, epoch: int, done: int) -> None:
        training = self._training
        if epoch in training.keep_epochs and training.process.rank == 0:
            kept = training.work / kept_weights(epoch)
            save_weights(module.encoder, part_of(kept))
            keep(kept)
        every = training.probe_every
        if training.probe is not None and every and epoch % every == 0 and training.process.rank == 0:
            score = training.probe(module.encoder)
            module.scores[done - 1] = score
            self._reporter.say(f"  epoch {epoch:,}: validation probe {score:.4f}")
            if self._board is not None:
                self._board.add_scalar("probe", score, done)

    def look(self, module: TrainedModule) -> None:
        """Stop a training that has lost its way, and say how it is doing."""
        if module.latest is None:
            return
        values = dict(zip(module.curve.columns, module.latest.tolist(), strict=True))
        done, title = module.global_step, self._training.title
        if not math.isfinite(values["loss"]):
            raise UserError(f"{title}: the loss is {values['loss']} at step {done}; lower --learning-rate")
        collapsed = collapse(values)
        self._collapsed = self._collapsed + 1 if collapsed else 0
        # An encoder may begin with all but one point and still find its way.
        if self._collapsed == PATIENCE:
            raise UserError(f"{title}: step {done}: {collapsed}")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, done)
        if self._training.process.rank == 0 and time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            self._reporter.say(self._line(module, values, done))

    def _line(self, module: TrainedModule, values: dict[str, float], done: int) -> str:
        per_epoch = module.sampler.steps_per_epoch
        pace = self._pace.facts(module)
        measured = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        return (
            f"  epoch {done / per_epoch:,.2f} of {self._training.steps / per_epoch:,.2f}: {measured}; "
            f"{pace['clips_per_second']:.3g} clips/s, waiting for input {pace['input_wait']:.0%} of the time"
        )

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _board(folder: Path) -> Any:
    return load("torch.utils.tensorboard").SummaryWriter(str(folder))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advertisements and remarks on worker counts from the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(level)
