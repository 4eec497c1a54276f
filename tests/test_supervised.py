"""Training end to end on labels: each kind of task is learnt, and validation selects the weights that are kept."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import expit, softmax
from torch.nn import functional as F
from training_steps import RATE, Quiet, plain

from benchmark.encoding.windows import build_encoder, cut_windows
from benchmark.errors import UserError
from benchmark.pretraining.crops import CropSampler
from benchmark.pretraining.methods.supervised import VALIDATION, SupervisedModule, clip_loss, targets_of
from benchmark.registry.methods import SupervisedRecipe
from benchmark.steps import supervise
from benchmark.store.file_names import HEAD, LABELS
from benchmark.store.pcm import CLIPS, PROBLEMS, SAMPLES, Pcm, PcmClip, open_pcm, read_lines, write_lines
from benchmark.store.step import Step
from benchmark.store.store import Artifact
from encoders.weights import load_weights, save_weights

WINDOW = 2187
RECIPE = {
    "method": "supervised",
    "epochs": 12,
    "patience": 12,
    "batch": 8,
    "dropout": 0.1,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "augmentation": None,
}


def inputs(folder, kind, encoder):
    """Clips that are high or low and loud or soft, labelled by that."""
    pcm, labels, start = folder / "pcm", folder / "labels", folder / "start"
    for place in (pcm, labels, start):
        place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    high, level = rng.integers(0, 2, 48), rng.uniform(0.1, 0.9, 48)
    clips, parts, at = [], [], 0
    for n in range(48):
        samples = 2 * WINDOW + 100
        t = np.arange(samples) / RATE
        wave = level[n] * np.sin(2 * np.pi * (3000 if high[n] else 300) * t + rng.uniform(0, 6))
        clips.append(PcmClip(f"{n}", f"{n}.mp3", None, "", "", "", at, samples, f"{n}"))
        parts.append((wave * 32_000).astype(np.int16))
        at += samples
    np.concatenate(parts).tofile(pcm / SAMPLES)
    write_lines(pcm / CLIPS, clips)
    write_lines(pcm / PROBLEMS, [])
    found = {
        "multilabel": (np.stack([high, level > 0.5], axis=1).astype(np.int64), ["high", "loud"]),
        "multiclass": (high[:, None], ["low", "high"]),
        "regression": (100 + 30 * level[:, None], ["level"]),
    }[kind]
    np.savez(
        labels / LABELS,
        kind=np.array(kind),
        clip_ids=np.array([clip.id for clip in clips]),
        splits=np.array((["train"] * 4 + ["valid", "test"]) * 8),
        labels=found[0],
        label_names=np.array(found[1]),
        groups=np.array([clip.id for clip in clips]),
    )
    save_weights(build_encoder(encoder, 0), start / "encoder.safetensors")
    return {
        "pcm": Artifact(pcm, {"spec": {"sample_rate": RATE}, "key": "p", "digest": "pcm"}),
        "labels": Artifact(labels, {"key": "l", "digest": "labels"}),
        "start": Artifact(start, {"key": "s", "digest": "start"}),
    }


def step(encoder, spec=None, **changes):
    names = {"encoder": "plain", "corpus": None, "recipe": "supervised", "task": "tones"}
    return Step(
        "supervise",
        {"recipe": RECIPE | changes, "seed": 0, **(spec or {})},
        {},
        "train plain",
        {"encoder": encoder, "names": names, "precision": "32-true"},
    )


def predictions(work, taken, encoder, kind):
    """What encoder and head, read from their files, say of the test clips: means over windows; and their labels."""
    model = build_encoder(encoder, 1)
    load_weights(model, work / "encoder.safetensors")
    head = load_file(work / HEAD)
    pcm = open_pcm(taken["pcm"].path, taken["pcm"].manifest)
    with np.load(taken["labels"] / LABELS) as arrays:
        chosen, labels = np.flatnonzero(arrays["splits"] == "test"), arrays["labels"]
    outputs = []
    for row in chosen:
        windows = np.stack(cut_windows(pcm.waveform(pcm.clips[row]), model)) / 32768
        with torch.inference_mode():
            features = model.eval()(torch.from_numpy(windows).float()[:, None])
            logits = F.linear(features, head["weight"], head["bias"]).numpy()
        outputs.append(
            {"multilabel": expit, "multiclass": lambda x: softmax(x, 1)}.get(kind, lambda x: x)(logits).mean(0)
        )
    return np.array(outputs), labels[chosen]


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "regression"])
def test_every_kind_of_task_is_learnt(tmp_path, kind):
    encoder, work = plain(window=WINDOW), tmp_path / "work"
    work.mkdir()
    taken = inputs(tmp_path / "in", kind, encoder)
    facts = supervise.compute(step(encoder, epochs=25, patience=25), taken, work, Quiet())
    found, labels = predictions(work, taken, encoder, kind)
    if kind == "multilabel":
        assert ((found > 0.5) == labels).mean() > 0.85
    elif kind == "multiclass":
        assert (found.argmax(1) == labels[:, 0]).all()
    else:
        assert np.abs(found - labels).mean() < 0.5 * np.abs(labels - labels.mean()).mean()
        assert 100 < found.mean() < 130
    assert facts["loss_last"] < 0.8 * facts["loss_first"]
    assert (facts["clips"], facts["steps_per_epoch"], facts["epochs"]) == (32, 4, 25)
    corpus = [row["id"] for row in read_lines(work / "corpus.jsonl")]
    assert len(corpus) == 32
    assert "4" not in corpus  # a validation clip
    card = json.loads((work / "card.json").read_text())
    assert card["training"]["best_epoch"] == facts["best_epoch"]


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path):
    encoder, work = plain(window=WINDOW), tmp_path / "work"
    work.mkdir()
    taken = inputs(tmp_path / "in", "multiclass", encoder)
    # At this rate the training soon goes astray.
    facts = supervise.compute(step(encoder, learning_rate=0.3, epochs=40, patience=3), taken, work, Quiet())
    losses = [row["loss"] for row in map(dict, _rows(work / VALIDATION))]
    assert facts["stopped_early"]
    assert facts["epochs"] == facts["best_epoch"] + 3 == len(losses) < 40
    assert losses[facts["best_epoch"] - 1] == min(losses) == pytest.approx(facts["valid_loss"])
    found, labels = predictions(work, taken, encoder, "multiclass")
    assert found.shape == (8, 2)
    assert len(labels) == 8


def _rows(path):
    header, *rows = [line.split(",") for line in path.read_text().split()]
    return [zip(header, map(float, row), strict=True) for row in rows]


def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    encoder = plain(window=WINDOW, dropout=0.2)
    taken = inputs(tmp_path / "in", "multilabel", encoder)
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    supervise.compute(step(encoder), taken, whole, Quiet())

    from benchmark.pretraining import training

    def save_and_stop(trainer, path, save=training.save_state):
        save(trainer, path)
        if trainer.global_step == 22:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 0)
    monkeypatch.setattr(training, "save_state", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        supervise.compute(step(encoder), taken, parted, Quiet())
    monkeypatch.undo()
    reporter = Quiet()
    supervise.compute(step(encoder), taken, parted, reporter)
    assert f"train plain: from {22 * 8}" in reporter.lines
    for name in ("encoder.safetensors", "head.safetensors", "losses.csv", "validation.csv"):
        assert (whole / name).read_bytes() == (parted / name).read_bytes(), name


def test_a_part_of_the_labels(tmp_path):
    encoder, work = plain(window=WINDOW), tmp_path / "work"
    work.mkdir()
    taken = inputs(tmp_path / "in", "multilabel", encoder)
    facts = supervise.compute(step(encoder, {"labels": 0.5}, epochs=1), taken, work, Quiet())
    assert facts["clips"] == 16
    with pytest.raises(UserError, match="there are 3 training clips .* fewer than a batch of 8"):
        supervise.compute(step(encoder, {"labels": 0.1}), taken, work, Quiet())


def test_losses_of_clips_are_those_of_mean_predictions():
    logits = [torch.tensor([[2.0, -1.0], [0.0, 1.0]]), torch.tensor([[-3.0, 0.5]])]
    labels = np.array([[1, 0], [0, 1]])
    p = [expit(clip.numpy()).mean(0) for clip in logits]
    expected = -np.mean([np.log(np.where(row, found, 1 - found)) for row, found in zip(labels, p, strict=True)])
    tags = targets_of("multilabel", ["a", "b"], labels, labels)
    assert clip_loss(tags.objective, logits, tags.valid) == pytest.approx(expected, rel=1e-6)
    classes = targets_of("multiclass", ["a", "b"], labels[:, :1], labels[:, :1])
    p = [softmax(clip.numpy(), 1).mean(0) for clip in logits]
    assert clip_loss(classes.objective, logits, classes.valid) == pytest.approx(
        -np.mean([np.log(p[0][1]), np.log(p[1][0])]), rel=1e-6
    )
    single = [clip[:1] for clip in logits]
    for targets in (tags, classes):
        assert clip_loss(targets.objective, single, targets.valid) == pytest.approx(
            targets.objective.loss(torch.cat(single), targets.valid).item(), rel=1e-6
        )


def test_regression_targets_are_scaled_by_the_training_clips():
    train, valid = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[4.0, 6.0]])
    targets = targets_of("regression", ["a", "b"], train, valid)
    np.testing.assert_allclose(targets.train, [[-1, 0], [1, 0]])
    np.testing.assert_allclose(targets.valid, [[2, 1]])
    assert (targets.centre.tolist(), targets.scale.tolist()) == ([2, 5], [1, 1])


def test_parts_of_a_batch_are_augmented_as_the_whole(tmp_path):
    """What is drawn for a crop depends on its place in the batch, not on the process that has it."""
    augmentation = ({"noise": {"probability": 0.7, "level": (0.1, 0.2), "reference": "std", "clamp": False}},)
    recipe = SupervisedRecipe.model_validate(
        {"source": "", **RECIPE, "augmentation": (*augmentation, {"polarity": {"probability": 0.5}})}
    )
    labels = np.arange(16)[:, None] % 2
    targets = targets_of("multiclass", ["a", "b"], labels, labels)
    pcm = Pcm(np.zeros(0, np.int16), (), (), RATE)
    crops = torch.from_numpy(np.random.default_rng(0).integers(-9000, 9000, (8, WINDOW), dtype=np.int16))

    def views(part, number):
        sampler = CropSampler([WINDOW] * 16, WINDOW, 8, 0, views=1, part=part)
        module = SupervisedModule(build_encoder(plain(window=WINDOW), 0), recipe, None, sampler, 0, 8, targets, pcm, [])
        return module._augmented(crops[sampler.rows], torch.zeros(len(crops[sampler.rows]), 2), number)[0]

    whole = views((0, 1), 3)
    assert torch.equal(torch.cat([views((rank, 2), 3) for rank in range(2)]), whole)
    assert not torch.equal(views((0, 1), 4), whole)
