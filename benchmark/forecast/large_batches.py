"""What is said of trainings with large batches before they begin: the memory of a step, by pairs encoded at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from benchmark.console import Reporter
from benchmark.engine.engine import Engine
from benchmark.plan.runs import Run, unique_steps
from benchmark.registry.methods import ContrastiveRecipe
from benchmark.store.step import Step
from benchmark.store.store import digest_of
from benchmark.text import aligned, readable_bytes

if TYPE_CHECKING:
    from benchmark.forecast.training_memory import StepMemory

#: From this many pairs on, what a step takes is said before it is taken.
LARGE_BATCH = 256
#: Chunks that are told: the whole batch, and so many halves of halves.
HALVINGS = 8
#: What a process was seen to take beyond the count on a CPU: scratch space of libraries, and memory freed and kept.
MARGIN = 1.5


def say_memory(runs: Sequence[Run], engine: Engine, reporter: Reporter) -> None:
    """Say for each training that is to be done, with a large batch or in chunks, what a step of it takes here.

    What is wrong with an encoder is left to the plan and the training to say.
    """
    told = set()
    for step in unique_steps(runs):
        if step.kind != "pretrain" or not is_large(step.spec["recipe"]) or engine.current(step) is not None:
            continue
        named = step.context["encoder"]
        identity = digest_of([named.entry.class_path, named.entry.args, step.spec["recipe"]])
        if identity not in told:
            told.add(identity)
            with suppress(Exception):
                for line in _memory(step).splitlines():
                    reporter.say(line)


def _memory(step: Step) -> str:
    from benchmark.encoding.windows import device
    from benchmark.forecast.resources import free_memory
    from benchmark.forecast.training_memory import step_memory
    from benchmark.pretraining.methods.planned import planned_method

    recipe = planned_method(step).recipe
    return memory_in_words(step, recipe, step_memory(step, recipe), free_memory(device()))


def is_large(recipe: Mapping[str, Any]) -> bool:
    """Whether the numbers of a recipe are those of contrastive steps whose memory is worth a word."""
    if recipe.get("method", "contrastive") != "contrastive":
        return False
    return recipe.get("chunk") is not None or recipe["batch"] >= LARGE_BATCH


def memory_in_words(step: Step, recipe: ContrastiveRecipe, memory: StepMemory, free: int) -> str:
    """A table of chunks, the one that the recipe takes, and what to do where that is more than is `free` [bytes]."""
    halves = [-(-recipe.batch // 2**n) for n in range(HALVINGS)]
    chosen = min(recipe.chunk or recipe.batch, recipe.batch)
    chunks = sorted({*halves, chosen}, reverse=True)
    rows = [["chunk", "memory", ""]]
    for chunk in chunks:
        pairs = f"{chunk:,}" if chunk < recipe.batch else f"{chunk:,}, the whole batch"
        marks = ["chosen"] if chunk == chosen else []
        taken = memory.of(recipe.batch, chunk)
        rows.append([pairs, readable_bytes(taken), ", ".join(marks + (["too much"] if MARGIN * taken > free else []))])
    lines = [
        f"{step.context['encoder'].name}, recipe {step.context['names']['recipe']}: about what a step of "
        f"{recipe.batch:,} pairs takes by the pairs encoded at a time, of {readable_bytes(free)} free here",
        *(f"  {line}" for line in aligned(rows).splitlines()),
    ]
    fitting = [chunk for chunk in chunks if MARGIN * memory.of(recipe.batch, chunk) <= free]
    if chosen not in fitting:
        remedy = f"--set chunk={fitting[0]} would" if fitting else "no chunk does; name a smaller --batch"
        lines.append(f"  The chosen one does not fit; {remedy}")
    return "\n".join(lines)
