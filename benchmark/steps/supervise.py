"""Train an encoder on a task's labels: a training as any other, whose artifact holds a head beside the encoder."""

from __future__ import annotations

from benchmark.steps.pretrain import compute, extent, libraries
from benchmark.store.step import Stage, StepKind

KIND = StepKind("supervise", 2, Stage.WORK, compute, extent, libraries, on_gpu=True, trains=True)
