"""Training on several sources: Algorithm 1 is that of golden values; what a step is of follows from seed and number."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from multisource_golden import GOLDEN, network, read
from safetensors.torch import load_file
from training_steps import RATE, Quiet, plain

from benchmark.console import LogReporter, Reporter
from benchmark.encoding.windows import build_encoder, to_waveform
from benchmark.engine.engine import Engine
from benchmark.engine.foreseen import foreseen
from benchmark.errors import UserError
from benchmark.examination.abilities import examine_abilities
from benchmark.plan.planner import Planner
from benchmark.plan.requests import Request, grid
from benchmark.plan.runs import unique_steps
from benchmark.pretraining import training
from benchmark.pretraining.crops import Crops
from benchmark.pretraining.curve_file import CURVE
from benchmark.pretraining.methods.base import Given, Setting
from benchmark.pretraining.methods.multi_source import MultiSource, divergence, sources_of
from benchmark.pretraining.source_labels import SourceLabels, read_source_labels, write_source_labels
from benchmark.pretraining.source_sampler import SourceSampler
from benchmark.registry.entries import EncoderEntry, numbers
from benchmark.registry.methods import MultiSourceRecipe
from benchmark.registry.registry import Named, load_registry
from benchmark.steps import KINDS
from benchmark.steps.pretrain import compute
from benchmark.store.file_names import HEADS, SOURCE, WEIGHTS
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, Pcm, PcmClip, read_lines, write_lines
from benchmark.store.store import Artifact, Store
from encoders import multisource
from encoders.weights import save_weights

WINDOW = 2187
#: Least number of samples that the study's networks take.
SHORT = 16_384
CLIPS_IN_ALL = 30
SMALL = {"sources": ["pitch", "level"], "factors": 3, "epochs": 3, "batch": 4, "learning_rate": 1e-2, "dropout": 0.1}


def recipe(**changes):
    entry = load_registry().recipe("kim2020").entry.model_dump(mode="json")
    return MultiSourceRecipe.model_validate(entry | SMALL | changes, strict=False)


def corpus(window=WINDOW):
    """Clips that are low or high and loud or soft, every fifth held out."""
    rng = np.random.default_rng(0)
    parts, clips, start = [], [], 0
    for n in range(CLIPS_IN_ALL):
        samples = 2 * window + 50 * n
        tone = np.sin(2 * np.pi * (300, 1_000, 4_000)[n % 3] * np.arange(samples) / RATE + rng.uniform(0, 6))
        parts.append(((0.02, 0.5)[n % 2] * 32_000 * tone).astype(np.int16))
        split = "valid" if n % 5 == 4 else "train"
        clips.append(PcmClip(f"{n}", f"{n}.mp3", split, "a", "b", f"{n}", start, samples, f"d{n}"))
        start += samples
    return np.concatenate(parts), clips


def sources(unlabelled=2):
    """What two sources say of these clips; nothing is said of the level of every third."""
    of_pitch = np.eye(3, dtype=np.float32)[np.arange(CLIPS_IN_ALL) % 3] * 0.8 + np.float32(0.2 / 3)
    of_level = np.array([[1, 0, 0], [0, 0.5, 0.5]], dtype=np.float32)[np.arange(CLIPS_IN_ALL) % 2]
    labelled = np.arange(CLIPS_IN_ALL) % 3 != unlabelled
    everything = np.ones(CLIPS_IN_ALL, dtype=np.bool_)
    return [
        SourceLabels("pitch", of_pitch, everything),
        SourceLabels("level", np.where(labelled[:, None], of_level, 0).astype(np.float32), labelled),
    ]


def artifacts(folder, encoder, labels, window=WINDOW):
    """What a training step takes."""
    folders = {name: folder / name for name in ("pcm", "start", *(f"source {labels.name}" for labels in labels))}
    for place in folders.values():
        place.mkdir(parents=True, exist_ok=True)
    samples, clips = corpus(window)
    samples.tofile(folders["pcm"] / SAMPLES)
    write_lines(folders["pcm"] / CLIPS, clips)
    write_lines(folders["pcm"] / PROBLEMS, [])
    save_weights(build_encoder(encoder, 0), folders["start"] / WEIGHTS)
    found = {
        "pcm": Artifact(folders["pcm"], {"spec": {"sample_rate": RATE}, "key": "p", "digest": "pcm", "lineage": {}}),
        "start": Artifact(folders["start"], {"key": "s", "digest": "start", "lineage": {}}),
    }
    for number, one in enumerate(labels):
        write_source_labels(folders[f"source {one.name}"] / SOURCE, one)
        name = f"source.{number}" if number else "source"
        found[name] = Artifact(folders[f"source {one.name}"], {"key": one.name, "digest": one.name, "lineage": {}})
    return found


def run(folder, name, encoder=None, labels=None, context=None, window=WINDOW, **changes):
    encoder = encoder or plain("Forked")
    work = folder / name
    work.mkdir(parents=True, exist_ok=True)
    step = KINDS["pretrain"].step(
        {"recipe": numbers(recipe(**changes)), "splits": ["train"], "seed": 0},
        {},
        "pretrain plain",
        {
            "encoder": encoder,
            "names": {"encoder": "plain", "corpus": "tones", "recipe": "tests"},
            "precision": "32-true",
            **(context or {}),
        },
    )
    reporter = Quiet()
    facts = compute(step, artifacts(folder, encoder, sources() if labels is None else labels, window), work, reporter)
    return work, facts, reporter.lines


def module(encoder, labels, window=WINDOW, steps=10, **changes):
    """What is trained, and the method that made it, without a trainer."""
    samples, clips = corpus(window)
    method = MultiSource(recipe(**changes))
    where = torch.device("cpu")
    given_ = Given("pretrain", Pcm(samples, tuple(clips), (), RATE), ["train"], None, 1, 0, window, encoder, labels)
    material = method.material(given_)
    crops = Crops(given_.pcm, material.items, window, where)
    return method.module(
        Setting(encoder, given_, crops, method.sampler(given_, material, (0, 1)), steps, where), material
    )


class OnSpectrograms(multisource.MultiSource):
    """Takes what lies behind the front end."""

    def branch(self, waveform, place):
        return self.branch_of(waveform, place)


def golden_batches():
    """Source, input and targets of each step of the golden training, in float64."""
    golden = read("training")
    rng = np.random.RandomState(golden["seed_batches"])
    shape = (golden["clips"], 2, 216, 128)

    def drawn():
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).double()

    for name in golden["order"]:
        if name == "self":
            left, right = drawn(), drawn()
            yield name, torch.cat([left, right]), torch.eye(2).double()[torch.arange(golden["clips"]) % 2]
        else:
            x = drawn()
            factors = rng.standard_exponential((golden["clips"], golden["factors"])) ** 2
            factors = (factors / factors.sum(axis=1, keepdims=True)).astype(np.float32)
            yield name, x, torch.from_numpy(factors).double()


@pytest.mark.parametrize("strategy", ["MSS-CR", "MS-CR@6", "MS-SR@FC"])
def test_five_steps_are_the_golden_ones(strategy):
    golden = read("training")
    expected = golden["strategies"][strategy]
    encoder, heads = network(strategy, golden["seed_weights"])
    encoder.__class__ = OnSpectrograms
    labels = [
        SourceLabels(name, np.full((CLIPS_IN_ALL, 50), 0.02, np.float32), np.ones(CLIPS_IN_ALL, np.bool_))
        for name in ("bpm", "tag")
    ]
    trained = module(encoder, labels, 55_125, sources=golden["sources"], factors=50, dropout=0.0, learning_rate=2.5e-4)
    trained.heads.load_state_dict(heads)
    trained.double().train()
    before = {name: value.clone() for name, value in published(trained).items()}
    optimiser = trained.configure_optimizers()
    losses = []
    for number, (name, x, targets) in enumerate(golden_batches()):
        loss = trained.loss(golden["sources"].index(name), x, targets)
        loss.backward()
        if not number:
            norms = {key: value for key, value in published(trained, gradients=True).items() if value is not None}
            for key, norm in expected["gradient_norms_first_step"].items():
                assert float(norms.pop(key).norm()) == pytest.approx(norm, rel=1e-8, abs=1e-12), key
            assert not norms
        losses.append(float(loss.detach()))
        optimiser.step()
        optimiser.zero_grad()
    np.testing.assert_allclose(losses, expected["losses_mean_over_elements"], rtol=1e-9)
    after = published(trained)
    for key, value in before.items():
        moved = float((after[key] - value).norm())
        assert (moved == 0) == (key in expected["unmoved"] or ("running" in key and moved == 0)), key
        if key in expected["moved_norm"]:
            assert moved == pytest.approx(expected["moved_norm"][key], rel=1e-6), key
    state = encoder.state_dict() | {f"branches_infer.{key}": value for key, value in trained.heads.state_dict().items()}
    assert {key: int(state[key]) for key in expected["batches_tracked"]} == expected["batches_tracked"]
    trained.eval()
    x = np.random.RandomState(golden["seed_weights"] + 2).standard_normal((2, 2, 216, 128)).astype(np.float32)
    with torch.inference_mode():
        x = torch.from_numpy(x).double()
        found = torch.cat([encoder.branch_of(x, place) for place in range(max(1, encoder.branch_count))], dim=1)
    np.testing.assert_allclose(found, np.load(GOLDEN / "training.npz")[f"{strategy}/representation_after"], atol=1e-6)


def published(trained, gradients=False):
    """Parameters, or their gradients, by their published names."""
    found = dict(trained.encoder.named_parameters())
    found |= {f"branches_infer.{key}": value for key, value in trained.heads.named_parameters()}
    return {key: value.grad if gradients else value.detach() for key, value in found.items()}


def test_divergences_are_sums_over_what_the_recipe_says():
    golden = read("forward")
    data = np.load(GOLDEN / "forward.npz")
    for strategy, stated in golden["strategies"].items():
        for name, loss in stated["loss"].items():
            logits = torch.from_numpy(data[f"{strategy}/logits/{name}"])
            targets = torch.eye(2).double()[[1, 0]] if name == "self" else torch.from_numpy(data["target"])
            for scale, key in (("elements", "mean_over_elements"), ("clips", "mean_over_clips")):
                assert float(divergence(logits, targets, scale)) == pytest.approx(loss[key], rel=1e-9)


def sampler(part=(0, 1), labelled=(tuple(range(9)), (1, 3, 5, 7, 8, 9, 11)), seed=0):
    rows = [np.array(one, dtype=np.int64) for one in labelled]
    return SourceSampler(
        [100 + 7 * n for n in range(12)], 90, 6, seed, labelled=rows, pairs=[True, False], steps_per_epoch=4, part=part
    )


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 99))
def test_a_step_is_of_one_source_and_its_clips(number, seed):
    whole = sampler(seed=seed)
    items, starts = whole.step(number)
    assert starts.shape == (len(items), 1)
    assert (starts[:, 0] >= 0).all()
    assert (starts[:, 0] <= 10 + 7 * items).all()
    if whole.source(number) == 0:
        left, right = items[:6], items[6:]
        assert ((left == right) == (np.arange(6) % 2 == 1)).all()  # exactly half
        assert len(set(left.tolist())) == 6
        assert set(items.tolist()) <= set(range(9))
    else:
        assert len(set(items.tolist())) == len(items) == 6
        assert set(items.tolist()) <= {1, 3, 5, 7, 8, 9, 11}
    parts = [sampler((rank, 2), seed=seed).step(number) for rank in range(2)]
    sides = [np.split(part[0], len(items) // 6) for part in parts]
    assert np.concatenate([np.concatenate(side) for side in zip(*sides, strict=True)]).tolist() == items.tolist()
    again, same = sampler(seed=seed).step(number)
    assert again.tolist() == items.tolist()
    assert same.tolist() == starts.tolist()


def test_sources_and_partners_are_drawn_evenly():
    found = sampler()
    drawn = Counter(found.source(number) for number in range(4_000))
    assert abs(drawn[0] - 2_000) < 150
    partners: Counter[tuple[int, int]] = Counter()
    for number in range(3_000):
        items, _ = found.of_source(0, number)
        partners.update(zip(items[:6:2].tolist(), items[6::2].tolist(), strict=True))
    counts = np.array([[partners[one, other] for other in range(9)] for one in range(9)])
    assert (np.diag(counts) == 0).all()
    others = counts[~np.eye(9, dtype=bool)]
    assert others.min() > 80 and others.max() < 175  # 125 on average


def test_every_source_is_learnt_and_only_what_it_has_is_moved(tmp_path):
    work, facts, lines = run(
        tmp_path,
        "work",
        sources=["self", "pitch", "level"],
        tracks="own",
        epochs=12,
        encoder=plain("Forked", sources=["pitch", "level"]),
    )
    # The encoder names two of the recipe's three sources, and is trained on these.
    assert facts["sources"] == ["pitch", "level"]
    assert facts["watched_clips"] == "held-out"
    for name in ("pitch", "level"):
        assert facts["divergence_after"][name] < 0.8 * facts["divergence_before"][name]
    assert (facts["clips"], facts["steps_per_epoch"], facts["steps"]) == (24, 12, 144)
    said = (
        "24 clips of any source (of self 24, pitch 24, level 16), for each its own (pitch 24, level 16), 144 steps of 4"
    )
    assert any(said in line for line in lines)
    assert len(read_lines(work / "corpus.jsonl")) == 24
    state = load_file(work / WEIGHTS)
    assert not any("head" in key for key in state)
    heads = load_file(work / HEADS)
    assert {key: tuple(value.shape) for key, value in heads.items()} == {
        f"{name}.0.{part}": (3, 6)[: 2 if part == "weight" else 1]
        for name in ("pitch", "level")
        for part in ("weight", "bias")
    }
    trained = module(plain_encoder(), sources(), tracks="own")
    trained.trainer = type("Trainer", (), {"global_step": 0, "global_rank": 0})()
    optimiser = trained.configure_optimizers()
    moved = Counter()
    trained.manual_backward = lambda loss: loss.backward()
    trained.move = lambda: (optimiser.step(), optimiser.zero_grad())
    for number in range(6):
        trained.trainer.global_step = number
        before = {name: value.detach().clone() for name, value in trained.named_parameters()}
        trained.training_step(None, 0)
        place = trained.sampler.source(number)
        for name, value in trained.named_parameters():
            other = f"ends.{1 - place}." in name or name.startswith(f"heads.{1 - place}.")
            assert torch.equal(value, before[name]) == other, name
        moved[place] += 1
    assert set(moved) == {0, 1}


def plain_encoder():
    return build_encoder(plain("Forked"), 0)


def test_common_tracks_are_those_of_all_sources(tmp_path):
    _, facts, lines = run(tmp_path, "work", epochs=1)
    assert (facts["clips"], facts["steps"]) == (16, 8)
    assert any(
        "16 clips that have all sources (of pitch 24, level 16), 8 steps of 4 on pitch, level" in x for x in lines
    )
    # An encoder for one source is trained on the clips that have all of the recipe's, as in the study.
    _, facts, _ = run(tmp_path / "one", "work", encoder=plain("Forked", sources=["pitch"]), epochs=1)
    assert (facts["clips"], facts["steps"], facts["sources"]) == (16, 4, ["pitch"])


def test_pairs_of_one_clip_are_told_from_others(tmp_path):
    encoder = plain("Forked", sources=["self"])
    _, facts, _ = run(tmp_path, "work", encoder=encoder, sources=["self"], labels=[], epochs=40, batch=8)
    assert facts["divergence_before"]["self"] == pytest.approx(np.log(2), abs=0.3)
    assert facts["divergence_after"]["self"] < 0.6
    assert facts["loss_last"] < 0.75 * facts["loss_first"]


def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    sources_ = ["self", "pitch", "level"]
    encoder = plain("Plain", dropout=0.3)
    whole, facts, _ = run(tmp_path, "whole", encoder=encoder, sources=sources_, epochs=1)
    assert facts["steps"] == 12

    def save_and_stop(trainer, path, save=training.save_state):
        save(trainer, path)
        if trainer.global_step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 0)
    monkeypatch.setattr(training, "save_state", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "parted", encoder=encoder, sources=sources_, epochs=1)
    monkeypatch.undo()
    parted, again, lines = run(tmp_path, "parted", encoder=encoder, sources=sources_, epochs=1)
    assert "pretrain plain: from 28" in lines
    assert again["divergence_after"] == facts["divergence_after"]
    for name in (WEIGHTS, CURVE):
        assert (whole / name).read_bytes() == (parted / name).read_bytes()


def test_two_processes_train_as_one(forked, tmp_path):
    weights = []
    for devices in (1, 2):
        work, facts, _ = run(tmp_path, f"{devices}", context={"devices": devices}, dropout=0.0, learning_rate=1e-3)
        assert facts["devices"] == devices
        weights.append(load_file(work / WEIGHTS))
    for name, value in weights[0].items():
        # Adam makes steps of gradients that are all but zero; a branch moved out of turn would be far from this.
        np.testing.assert_allclose(weights[1][name], value, atol=1e-3, err_msg=name)
    start = load_file(tmp_path / "start" / WEIGHTS)
    assert max(float((value - start[name]).abs().max()) for name, value in weights[0].items()) > 0.01


def test_the_shared_part_may_have_a_rate_of_its_own():
    trained = module(plain_encoder(), sources(), shared_rate="divided", learning_rate=1e-3)
    shared, own = trained.configure_optimizers().param_groups
    assert (shared["lr"], own["lr"]) == (5e-4, 1e-3)
    assert [len(group["params"]) for group in (shared, own)] == [2, 8]
    (all_,) = module(plain_encoder(), sources(), learning_rate=1e-3).configure_optimizers().param_groups
    assert (all_["lr"], len(all_["params"]), all_["weight_decay"]) == (1e-3, 10, 1e-6)
    everything, heads = (
        module(build_encoder(plain(), 0), sources(), shared_rate="divided", learning_rate=1e-3)
        .configure_optimizers()
        .param_groups
    )
    assert [len(group["params"]) for group in (everything, heads)] == [4, 4]


def kim(**args):
    """An entry of the study's networks, on the shortest windows that they take."""
    entry = EncoderEntry.model_validate(
        {"class": "encoders.multisource:MultiSource", "args": {"window": SHORT, **args}}
    )
    return Named("kim", entry, Path(__file__), 1)


def test_statistics_of_the_training_clips_come_first(tmp_path):
    encoder = kim(sources=["pitch", "level"], branch=6)
    work, facts, lines = run(tmp_path, "work", encoder=encoder, window=SHORT, epochs=1, tracks="own")
    assert "statistics of the corpus: from 0" in lines
    assert facts["dim"] == 512
    state = load_file(work / WEIGHTS)
    samples, clips = corpus(SHORT)
    windows = [
        to_waveform(torch.from_numpy(samples[clip.start + start : clip.start + start + SHORT]))[None, None]
        for clip in clips
        for start in (0, SHORT)
        if clip.split == "train"
    ]
    expected = multisource.MultiSource(window=SHORT)
    expected.fit_statistics(windows)
    np.testing.assert_allclose(state["front_end.mean"], expected.front_end.mean, atol=1e-4)
    np.testing.assert_allclose(state["front_end.deviation"], expected.front_end.deviation, atol=1e-4)
    assert int(state["front_end.frames"]) == len(windows) * 65
    assert not any(key.startswith("heads") or "infer" in key for key in state)


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
