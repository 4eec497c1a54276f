"""Augmentations of anybody's: plugged in by a recipe alone, checked before anything is computed, part of the key."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch
from augmentation_signals import RATE, music
from conftest import TINY_REGISTRY, bench, bench_json

from benchmark.augmentation.chain import AugmentationChain
from benchmark.augmentation.config import AugmentationStep
from benchmark.errors import UserError
from benchmark.registry.augmentation_plugins import (
    augmentation_code,
    augmentation_modules,
    check_augmentation,
    load_augmentations,
)
from benchmark.registry.overrides import override
from benchmark.registry.registry import load_registry

MASK = """
import torch
from pydantic import PositiveFloat

from benchmark.augmentation.base import Augmentation, StepConfig, beside, uniform


class MaskConfig(StepConfig):
    seconds: PositiveFloat

    def check(self, sample_rate):
        if self.seconds * sample_rate < 1:
            raise ValueError("a mask is shorter than a sample")


class Mask(Augmentation):
    Config = MaskConfig

    def draw(self, n, generator):
        return {"place": uniform((0, 1), n, generator)}

    def apply(self, x, params, sample_rate):
        length = round(self.config.seconds * sample_rate)
        start = beside((params["place"] * (x.shape[1] - length)).long(), x)[:, None]
        time = torch.arange(x.shape[1], device=x.device)
        return x.masked_fill((time >= start) & (time < start + length), 0.0)


class Half(Augmentation):
    def draw(self, n, generator):
        return {}


class Short(Mask):
    def apply(self, x, params, sample_rate):
        return x[:, 1:]


class Few(Mask):
    def draw(self, n, generator):
        return {"place": uniform((0, 1), 1, generator)}
"""


@pytest.fixture(autouse=True)
def _modules_of_this_test_alone():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def registry_of(folder, step, module="own_mask", source=MASK):
    """The tiny registry with a recipe whose augmentation is polarity, then `step`; its module lies beside it."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(source)
    head, _ = TINY_REGISTRY.split("    augmentation:\n")
    text = f"{head}    augmentation:\n      - polarity: {{probability: 0.8}}\n      - {step}\n"
    (folder / "registry.yaml").write_text(text)
    line = text.split("\n").index(f"      - {step}") + 1
    return load_registry([folder]).recipe("short"), line


GOOD = "{class: 'own_mask:Mask', args: {probability: 1, seconds: 0.1}}"


def test_a_plug_in_acts_in_its_place(tmp_path):
    recipe, _ = registry_of(tmp_path, GOOD)
    check_augmentation(recipe, RATE)
    load_augmentations(recipe)
    chain = AugmentationChain(recipe.entry.augmentation, RATE)
    assert chain.names == ("polarity", "own_mask:Mask")
    x = music(6, 9000)
    views = chain(x, 3)
    assert ((views == 0).sum(dim=1) == 2205).all()
    drawn = chain.draw(6, 3)
    inverted = drawn.steps[0].selected
    kept = views != 0
    expected = torch.where(inverted[:, None], -x, x)
    assert torch.equal(views[kept], expected[kept])
    assert len(drawn.steps[1].params["place"].unique()) == 6


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (GOOD.replace("seconds: 0.1", "second: 0.1"), "1.args.second: unknown key 'second'. Did you mean 'seconds'?"),
        (GOOD.replace("seconds: 0.1", "seconds: -1"), "1.args.seconds: Input should be greater than 0"),
        (GOOD.replace("probability: 1, ", ""), "1.args.probability: Field required"),
        (GOOD.replace("0.1", "1e-6"), "1.args: a mask is shorter than a sample"),
        (GOOD.replace("own_mask:Mask", "own_mask:Half"), "1: own_mask:Half does not define apply"),
        (GOOD.replace("own_mask:Mask", "own_mask:Gone"), "1: cannot import own_mask:Gone"),
        (GOOD.replace("own_mask:Mask", "own_gone:Mask"), "1: cannot import own_gone:Mask: No module named 'own_gone'"),
        (GOOD.replace("own_mask:Mask", "own_mask:MaskConfig"), "1: own_mask:MaskConfig is no subclass of benchmark."),
    ],
)
def test_a_plug_in_that_cannot_act_is_one_line(tmp_path, step, expected):
    recipe, line = registry_of(tmp_path, step)
    with pytest.raises(UserError) as error:
        check_augmentation(recipe, RATE)
    assert str(error.value).startswith(f"{tmp_path}/registry.yaml:{line}: recipes.short.augmentation.{expected}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "expected"), [("Short", "must keep type and shape"), ("Few", "one row each")])
def test_a_plug_in_that_breaks_its_promise_is_one_line(tmp_path, name, expected):
    recipe, _ = registry_of(tmp_path, GOOD.replace(":Mask", f":{name}"))
    load_augmentations(recipe)
    with pytest.raises(UserError, match=f"augmentation own_mask:{name}: .*{expected}"):
        AugmentationChain(recipe.entry.augmentation, RATE)(music(3, 4000), 0)


def test_its_code_is_its_identity(tmp_path):
    recipe, _ = registry_of(tmp_path, GOOD)
    before = augmentation_code(recipe)
    assert list(before) == ["own_mask:Mask"]
    assert len(before["own_mask:Mask"]) == 64
    assert augmentation_modules(recipe) == {"own_mask": str(tmp_path / "own_mask.py")}
    (tmp_path / "own_mask.py").write_text(MASK + "# edited\n")
    assert augmentation_code(recipe) != before
    tune = load_registry().recipe("tune")
    assert augmentation_code(tune) == augmentation_modules(tune) == {}


def test_numbers_are_set_by_name_place_or_list(tmp_path):
    recipe, _ = registry_of(tmp_path, GOOD)
    longer = override(recipe.entry, {"augmentation.args.seconds": 0.2, "augmentation.0.polarity.probability": 0.1})
    assert longer.augmentation[1].args == {"probability": 1, "seconds": 0.2}
    assert longer.augmentation[0].polarity.probability == 0.1
    assert override(recipe.entry, {"augmentation": ()}).augmentation == ()
    twice = replace(recipe, entry=override(recipe.entry, {"augmentation": recipe.entry.augmentation[:1] * 2}))
    with pytest.raises(UserError, match=r"Did you mean 'augmentation.\d.polarity.probability'"):
        override(twice.entry, {"augmentation.polarity.probability": 0.1})
    with pytest.raises(UserError, match="augmentation.0.polarity.probability: Input should be less than"):
        override(recipe.entry, {"augmentation.polarity.probability": 2})


def test_recipes_of_bench_are_checked_at_the_rate_of_what_is_trained():
    recipe = load_registry().recipe("tune")
    check_augmentation(recipe, 8000)  # 4000 Hz are half of it
    with pytest.raises(UserError) as error:
        check_augmentation(recipe, 7999)
    # The list stands with the recipe that first has it.
    step = "recipes.tune.augmentation.3.filter"
    assert str(error.value).endswith(f"{step}: a filter's cutoff of 4000 Hz is above half the sample rate of 7999 Hz")
    line = int(str(error.value).split(":")[1])
    assert "filter: {probability: 0.8" in recipe.file.read_text().split("\n")[line - 1]


def test_a_run_with_a_plug_in(mtt, tmp_path):
    """From the registry alone to a score; the code is part of the key, and is announced before it is imported."""
    data, _ = mtt
    registry_of(tmp_path / "own", GOOD.replace("seconds: 0.1", "seconds: 0.05"))
    common = ["--encoder", "tiny", "--recipe", "short", "--task", "mtt", "--data", data, "--store", tmp_path / "s"]
    common += ["--registry", tmp_path / "own"]

    def key(*more):
        steps = bench_json("run", *common, *more, "--dry-run")
        return next(step["key"] for step in steps if step["kind"] == "pretrain")

    first = key()
    assert key("--set", "augmentation.args.seconds=0.06") != first
    assert key("--set", "one_sided=true") != first
    wrong = bench("run", *common, "--set", "augmentation.args.seconds=1e-9", "--dry-run")
    assert wrong.returncode == 2
    assert "recipes.short.augmentation.1.args: a mask is shorter than a sample" in wrong.stderr
    done = bench("run", *common, "--json")
    assert done.returncode == 0, done.stderr
    assert f"imported from outside bench: own_mask from {tmp_path / 'own' / 'own_mask.py'}" in done.stderr
    assert 0 < json.loads(done.stdout)[0]["metrics"]["roc_auc"]["value"] < 1
    (tmp_path / "own" / "own_mask.py").write_text(MASK + "# edited\n")
    assert key() != first


def test_cutoffs_above_half_the_rate_are_told_when_it_is_planned(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    arguments = ["--encoder", "tiny", "--recipe", "short", "--task", "mtt", "--data", data, "--store", tmp_path / "s"]
    result = bench("run", *arguments, "--registry", tiny_registry, "--sample-rate", 6000)
    assert result.returncode == 2
    line = next(n for n, text in enumerate(TINY_REGISTRY.split("\n"), 1) if "filter:" in text)
    expected = f"{tiny_registry}:{line}: recipes.short.augmentation.3.filter: a filter's cutoff of 4000 Hz is above"
    assert expected in result.stderr
    assert not list((tmp_path / "s").glob("artifacts/prepare/*"))


def test_a_mapping_of_steps_is_told_what_to_write(tmp_path):
    (tmp_path / "registry.yaml").write_text(
        TINY_REGISTRY.replace("      - polarity", "      polarity").split("      - noise")[0]
    )
    (line,) = load_registry([tmp_path]).untold()
    assert "recipes.short.augmentation: is a list of steps in the order in which they act" in line


def test_steps_of_a_class_keep_their_arguments_as_written():
    document = {"class": "own_mask:Mask", "args": {"probability": 1, "bands": [[1, 2]]}}
    step = AugmentationStep.model_validate(document)
    assert (step.name, step.numbers, step.model_dump(mode="json")) == ("own_mask:Mask", None, document)
