"""Train an encoder on a task's labels: a training as any other, whose artifact holds a head beside the encoder."""

from __future__ import annotations

from benchmark.steps.pretrain import compute

__all__ = ["compute"]
