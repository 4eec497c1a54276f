"""The sweep of the jukemir protocol beside training its probes one by one, on features as many as MagnaTagATune's."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.console import Reporter
from benchmark.encoding.windows import device
from benchmark.freed_memory import freed_memory_kept
from benchmark.registry.registry import load_registry
from benchmark.speed.results import ProbeKind, ProbeSpeed
from probes.reference import train_alone
from probes.sweep import Judge, train_sweep
from probes.validation import stacked_metric

#: Training and validation clips, features and tags of MagnaTagATune as jukemir, CLMR and TUNe split it.
TRAIN, VALID, DIM, TAGS = 18_706, 1_825, 512, 50
#: Steps at batch 64, and as many examples at other batches; a whole number of evaluations in each.
STEPS = 64
#: So many times as long the one probe of the plain loop is trained.
PLAIN = 4


def measure(reporter: Reporter, share: float = 1.0) -> ProbeSpeed:
    """Time both in this process, with this process's threads, on this machine's device.

    All probes of the sweep are trained for `STEPS` steps of 64 examples, scaled by `share`. Of the plain loop, one
    probe of each batch and width is trained for `PLAIN` times as many steps and stands for all of its kind: time is
    the same for every learning rate and decay. Both evaluate ROC-AUC on the validation clips every eight steps; the
    plain loop by scikit-learn, as the released code of the protocol does.

    Parameters
    ----------
    reporter
        Shows progress.
    share
        Scales the number of steps.

    Returns
    -------
    ProbeSpeed
    """
    place = str(device())
    protocol = load_registry([]).protocol("jukemir").entry
    members = protocol.members(DIM)
    x, y, x_valid, y_valid = _features()
    plain_judge, judge = _scikit_learn(y_valid), _ours(y_valid)
    seconds = dict.fromkeys(("sweep", "plain", "sweep_training", "plain_training"), 0.0)
    sweep = partial(train_sweep, x, y, x_valid, judge, "multilabel")
    plain = partial(train_alone, x, y, x_valid, plain_judge, "multilabel")
    largest = 0.0
    by_kind: list[ProbeKind] = []
    kinds = sorted({(member.hidden, member.batch) for member in members})
    # Memory is kept for both, as it is when `bench run` probes.
    with freed_memory_kept(), reporter.progress("measure probing", len(kinds), "kinds of probe") as advance:
        for hidden, batch in kinds:
            own = [member for member in members if (member.hidden, member.batch) == (hidden, batch)]
            chosen = len(own) // 2
            steps = max(8, round(STEPS * 64 / batch * share) // 8 * 8)
            length = {"max_epochs": None, "max_steps": steps, "patience": None, "keep": "last"}
            course = protocol.model_copy(update=length)
            blind = course.model_copy(update={"evaluate_every": PLAIN * steps + 1})
            # Scaling the features is done once, however long the training: what a single step takes is taken off.
            single = blind.model_copy(update={"max_steps": 1})
            for _ in range(2):  # the first time warms up
                _, sweep_start = _timed(sweep, own, single, 0, place)
                _, plain_start = _timed(plain, own[chosen], single, 0, place)
            for settings, name in ((blind, "_training"), (course, "")):
                fitted, of_sweep = _timed(sweep, own, settings, 0, place)
                # A single probe is trained for longer, or its time would be too short to measure.
                longer = settings.model_copy(update={"max_steps": PLAIN * steps})
                _, of_plain = _timed(plain, own[chosen], longer, 0, place)
                of_sweep = (of_sweep - sweep_start) * steps / (steps - 1)
                of_plain = (of_plain - plain_start) * steps / (PLAIN * steps - 1) * len(own)
                seconds[f"sweep{name}"] += of_sweep
                seconds[f"plain{name}"] += of_plain
                alone = plain(own[chosen], settings, 0, place)
                difference = np.abs(fitted[chosen].outputs(x_valid) - alone.outputs(x_valid)).max()
                largest = max(largest, float(difference))
            by_kind.append({"hidden": list(hidden), "batch": batch, "ratio": of_plain / of_sweep})
            advance(1)
    return {
        "ratio": seconds["plain"] / seconds["sweep"],
        "ratio_training": seconds["plain_training"] / seconds["sweep_training"],
        "by_kind": by_kind,
        "seconds": seconds,
        "largest_difference": largest,
        "configurations": len(members),
        "epochs": STEPS * 64 * share / TRAIN,
        "plain_measured_on": len(kinds),
        "shape": {"train": TRAIN, "valid": VALID, "dim": DIM, "tags": TAGS},
        "device": place,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }


def table(result: ProbeSpeed) -> str:
    """The measurement in a few lines."""
    shape = result["shape"]
    sweep, plain, sweep_training, plain_training = (
        f"{result['seconds'][name]:.1f} s" for name in ("sweep", "plain", "sweep_training", "plain_training")
    )
    return "\n".join(
        [
            f"{result['configurations']} probes of protocol jukemir for {result['epochs']:.2f} epochs of "
            f"{shape['train']:,} x {shape['dim']} features, {result['device']}, {result['threads']} threads",
            f"  all at once             {sweep:>10}, training alone {sweep_training}",
            f"  plain loop, one by one  {plain:>10}, training alone {plain_training}; "
            f"measured on {result['plain_measured_on']} probes and scaled",
            *(
                f"    {'hidden ' + str(one['hidden'][0]) if one['hidden'] else 'linear'}, batch {one['batch']}: "
                f"{one['ratio']:.1f} times as fast"
                for one in result["by_kind"]
            ),
            f"  {result['ratio']:.1f} times as fast, {result['ratio_training']:.1f} times without the evaluations; "
            f"largest difference of an output {result['largest_difference']:.1e}",
        ]
    )


def _timed(train: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What training returns, and the seconds that it takes."""
    began = time.perf_counter()
    result = train(*arguments)
    return result, time.perf_counter() - began


def _features() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Features and tags with a linear relation and noise; tags about as rare as MagnaTagATune's."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((TRAIN + VALID, DIM), dtype=np.float32)
    directions = rng.standard_normal((DIM, TAGS), dtype=np.float32) / DIM**0.5
    tags = (x @ directions + rng.standard_normal((len(x), TAGS), dtype=np.float32) > 2.2).astype(np.uint8)
    return x[:TRAIN], tags[:TRAIN].astype(np.float32), x[TRAIN:], tags[TRAIN:]


def _ours(labels: NDArray[np.uint8]) -> Judge:
    def judge(outputs: Tensor) -> NDArray[np.float64]:
        predictions = torch.sigmoid(outputs).cpu().numpy()
        return stacked_metric("roc_auc", lambda *_: float("nan"), labels, predictions)

    return judge


def _scikit_learn(labels: NDArray[np.uint8]) -> Judge:
    from sklearn.metrics import roc_auc_score

    def judge(outputs: Tensor) -> NDArray[np.float64]:
        predictions = torch.sigmoid(outputs).cpu().numpy()
        return np.array([roc_auc_score(labels, own, average="macro") for own in predictions])

    return judge
