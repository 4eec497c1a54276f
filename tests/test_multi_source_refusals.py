"""What a training on several sources is asked for, and what it cannot do: told in one line, before it begins."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from multi_source_training import CLIPS_IN_ALL, WINDOW, module, plain_encoder, recipe, sources
from training_steps import plain

from benchmark.console import LogReporter, Reporter
from benchmark.encoding.windows import build_encoder
from benchmark.engine.engine import Engine
from benchmark.engine.foreseen import foreseen
from benchmark.errors import UserError
from benchmark.examination.abilities import examine_abilities
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request, grid
from benchmark.plan.runs import unique_steps
from benchmark.pretraining.methods.multi_source import sources_of
from benchmark.pretraining.source_labels import SourceLabels, read_source_labels, write_source_labels
from benchmark.registry.registry import load_registry
from benchmark.store.file_names import SOURCE
from benchmark.store.store import Store
from encoders import multisource


@pytest.mark.parametrize(
    ("labels", "changes", "said"),
    [
        ([0], {"sources": ["pitch"], "batch": 25}, "24 clips .* fewer than a batch of 25; .*name a smaller --batch"),
        (
            [0, 1],
            {"batch": 20},
            r"16 clips of .* have all sources \(pitch 24, level 16\), fewer than a batch of 20; say ",
        ),
        (
            [0, 1],
            {"batch": 20, "tracks": "own"},
            "source level has 16 clips .*, fewer than a batch of 20; name a smaller",
        ),
        ([0, 2], {}, "source level says nothing of any of the 24 clips; leave it out of sources"),
    ],
)
def test_what_cannot_be_trained_on_is_told_in_one_line(labels, changes, said):
    nothing = SourceLabels("level", np.zeros((CLIPS_IN_ALL, 3), np.float32), np.zeros(CLIPS_IN_ALL, np.bool_))
    given_ = [[*sources(), nothing][place] for place in labels]
    with pytest.raises(UserError, match=said) as error:
        module(build_encoder(plain(), 0), given_, **changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("args", "names", "said"),
    [
        (
            {"sources": 3},
            ["self", "tag"],
            r"the encoder has 3 branches, the recipe 2 sources \(self, tag\); name an encoder",
        ),
        ({"sources": ["year"]}, ["self", "tag"], "the encoder is for source year, and the recipe's are self, tag"),
        ({}, ["self", "tag"], "the encoder has 1 branches, the recipe 2 sources"),
    ],
)
def test_branches_and_sources_go_together(args, names, said):
    with pytest.raises(UserError, match=said):
        sources_of(multisource.MultiSource(**args), recipe(sources=names))


def test_branches_that_are_not_the_representation_are_told():
    waveform = torch.randn(1, 1, WINDOW, generator=torch.Generator().manual_seed(0))
    encoder = plain_encoder().eval()
    with torch.inference_mode():
        assert examine_abilities(encoder, waveform) == {"branches of sources": ""}
        right = encoder.branch
        encoder.represent = lambda x, layers=(): (torch.cat([right(x, 1), right(x, 0)], dim=1), {})
        found = examine_abilities(encoder, waveform)
        assert found == {"branches of sources": "the branches side by side are not the representation"}
        encoder.branch = lambda x, place: right(x, place)[:, place:]
        assert examine_abilities(encoder, waveform) == {"branches of sources": "branches of different widths"}
        encoder.branch_count = 3
        assert examine_abilities(encoder, waveform) == {"branches of sources": "2 sources, and 3 branches"}


def test_an_encoder_says_which_sources_it_is_for():
    three = recipe(sources=["self", "bpm", "tag"])
    assert sources_of(multisource.MultiSource(sources=["tag", "self"]), three) == ("tag", "self")
    assert sources_of(multisource.MultiSource(sources=3, branch=4), three) == ("self", "bpm", "tag")
    assert sources_of(multisource.MultiSource(branch="fc"), three) == ("self", "bpm", "tag")
    assert sources_of(multisource.MultiSource(sources=["tag", "bpm"], branch="fc"), three) == ("tag", "bpm")
    assert sources_of(plain_encoder(), recipe()) == ("pitch", "level")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": ["tag", "tag"]}, "sources names one of them twice"),
        ({"sources": ["self"], "batch": 5}, "batch must be even, for half of the pairs of self are of one clip"),
        ({"replacement": True}, "every batch is drawn anew from all clips; leave out replacement"),
        ({"keep_epochs": [9]}, "keep_epochs names epochs after the last one, 3"),
        ({"sources": []}, "at least 1 item"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        recipe(**changes)


def test_the_length_is_that_of_the_paper():
    entry = load_registry().recipe("kim2020").entry
    assert entry.total_steps(41_841) == 8 * 65_400
    assert entry.total_steps(41_841, 1) == 65_400
    assert (entry.batch, entry.learning_rate, entry.weight_decay, entry.factors) == (128, 2.5e-4, 1e-6, 50)
    assert (entry.loss_scale, load_registry().recipe("kim2020-batchmean").entry.loss_scale) == ("elements", "clips")


def test_labels_of_a_source_are_kept(tmp_path):
    for one in (sources()[1], SourceLabels("self", None, np.ones(3, np.bool_))):
        write_source_labels(tmp_path / SOURCE, one)
        found = read_source_labels(tmp_path / SOURCE)
        assert found.name == one.name
        np.testing.assert_array_equal(found.labelled, one.labelled)
        np.testing.assert_equal(found.factors, one.factors)


def test_networks_with_nothing_in_common_are_those_of_single_sources(tmp_path):
    """MSS-CR joins what SS-R has: no training of it is another one."""
    planner = Planner(load_registry(), Store(tmp_path / "store"), Reporter(), None)
    parts = ["kim_ss_self", "kim_ss_tag"]
    asked = grid(encoder=[*parts, "+".join(parts)], corpus="multisource", recipe="kim2020-demo", task="mtt")
    steps = unique_steps(planner.plan([Request(asked)]).runs)
    assert Counter(step.kind for step in steps)["pretrain"] == 2


def test_an_encoder_that_does_not_fit_is_told_before_anything_is_done(tmp_path):
    store = Store(tmp_path / "store")
    planner = Planner(load_registry(), store, Reporter(), None)
    asked = grid(encoder="kim_ms_6", corpus="multisource", recipe="kim2020-demo", task="mtt")
    asked = asked.model_copy(update={"settings": ({"sources": ("self", "tag")},)})
    runs = planner.plan([Request(asked)]).runs
    found = [(step.kind, str(error)) for step, error in foreseen(runs, Engine(store, LogReporter(tmp_path / "log")), 1)]
    said = "the encoder has 8 branches, the recipe 2 sources (self, tag); name an encoder with as many, or say --set"
    assert [kind for kind, _ in found] == ["pretrain"]
    assert found[0][1].startswith(said)
