"""The main job through the command line, on files in the genuine layout and on the stand-in."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import warm_command
from conftest import bench, bench_json, make_mtt, tone
from dawdling import Run, saved
from sklearn.metrics import average_precision_score, roc_auc_score

from encoders.tune import TUNe
from encoders.weights import save_weights

TINY = ["--encoder", "tiny", "--task", "mtt", "--recipe", "short"]


def artifacts(store: Path, kind: str) -> list[Path]:
    return sorted((store / "artifacts" / kind).glob("*"))


def test_real_files_from_decoding_to_record(mtt, tiny_registry, tmp_path):
    data, files = mtt
    files["1"].write_bytes(b"")  # a training clip: named, not fatal
    store = tmp_path / "store"
    arguments = [*TINY, "--data", data, "--store", store, "--registry", tiny_registry]
    first = bench("run", *arguments, "--json")
    assert first.returncode == 0, first.stderr
    trained, untrained = json.loads(first.stdout)

    assert (trained["recipe"], trained["corpus"]) == ("short", "magnatagatune")
    assert (untrained["recipe"], untrained["corpus"]) == ("untrained", None)
    assert trained["data"] == "real"
    assert trained["n_expected"] == {"train": 14, "valid": 4, "test": 8}
    assert trained["n_scored"] == {"train": 13, "valid": 4, "test": 8}
    assert trained["fingerprint"] == untrained["fingerprint"]
    assert trained["weights_sha256"] != untrained["weights_sha256"]
    assert (
        trained["parameters"]
        == TUNe(filters=2, contractive=2, expansive=2, tail=4, dim=16, window=6_561).parameter_count()
    )
    assert trained["overlap"] == {"clips": 0, "recordings": 0, "artists": 0, "labelled": 0}
    assert trained["pretraining"]["clips"] == 13
    assert trained["pretraining"]["pairs"] == 24
    kinds = [step["kind"] for step in trained["steps"]]
    assert sorted(kinds) == ["embed", "initialise", "label", "prepare", "pretrain", "probe", "score"]
    assert all(step["seconds"] > 0 and step["peak_memory_bytes"] > 10**7 for step in trained["steps"])
    assert "0/artist_0-album_0-01-title-0-29.mp3: empty file (0 bytes); left out" in first.stderr

    # The scores are those of the predictions kept beside the record.
    folder = next(f for f in artifacts(store, "score") if json.loads((f / "record.json").read_text()) == trained)
    kept = np.load(folder / "predictions.npz")
    assert kept["predictions"].shape == (8, 50)
    scored = [i for i in range(50) if 0 < kept["labels"][:, i].sum() < 8]
    assert trained["metrics"]["roc_auc"]["n_labels"] == len(scored)
    assert len(trained["unscored_labels"]) == 50 - len(scored)
    truth, predicted = kept["labels"][:, scored], kept["predictions"][:, scored]
    assert trained["metrics"]["roc_auc"]["value"] == pytest.approx(roc_auc_score(truth, predicted))
    score = trained["metrics"]["average_precision"]
    assert score["value"] == pytest.approx(average_precision_score(truth, predicted))
    assert score["floor"] == pytest.approx(truth.mean(axis=0).mean())
    assert trained["metrics"]["roc_auc"]["floor"] == 0.5
    for metric in trained["metrics"].values():
        assert metric["lower"] <= metric["value"] + 0.1
        assert metric["lower"] < metric["upper"]

    # Again: the same document, nothing computed, nothing written.
    # Hashes of files that were just written are found once more; everything else is there.
    kept = [path for path in store.rglob("*") if path.is_file() and path.name != "digests.json"]
    before = {path: path.stat().st_mtime_ns for path in kept}
    again = bench("run", *arguments, "--json")
    assert json.loads(again.stdout) == [trained, untrained]
    assert {path for path in store.rglob("*") if path.is_file()} == {*kept, store / "digests.json"}
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    table = bench("run", *arguments)
    assert re.search(r"tiny +short on magnatagatune +linear +0 +\d\.\d{3} \[", table.stdout)
    assert re.search(r"constant +0\.500", table.stdout)

    # Its weights are found by the names that they were trained by, and encode the files as the run did.
    found = tmp_path / "found.npz"
    named = ["--encoder", "tiny", "--recipe", "short", "--corpus", "magnatagatune", "--seed", 0]
    shared = ["--store", store, "--registry", tiny_registry]
    encoded = bench("encode", *files.values(), *named, *shared, "-o", found)
    assert "01-title-0-29.mp3: empty file" in encoded.stderr
    paths = {name: file for name, file in files.items() if name != "1"}
    encoded = bench("encode", *paths.values(), *named, *shared, "-o", found)
    assert encoded.returncode == 0, encoded.stderr
    weights = artifacts(store, "pretrain")[0]
    assert f"weights of tiny: recipe short on magnatagatune, seed 0, from {weights}\n" in encoded.stderr
    kept_rows = next(
        folder
        for folder in artifacts(store, "embed")
        if json.loads((folder / "manifest.json").read_text())["needs"]["weights"]["key"] == weights.name
    )
    rows = np.fromfile(kept_rows / "embeddings.0.float32", np.float32).reshape(-1, 16)
    with np.load(found) as archive, np.load(kept_rows / "index.npz") as index:
        order = [list(paths).index(name) for name in index["clip_ids"].tolist()]
        own = np.concatenate([archive["embeddings"][archive["clip"] == place] for place in order])
        np.testing.assert_allclose(own, rows, rtol=1e-4, atol=1e-5)

    # The other task shares audio and embeddings, drops untagged clips and is another experiment.
    other = bench_json("run", *arguments, "--task", "mtt-tagged")
    assert [record["task"] for record in other] == ["mtt", "mtt", "mtt-tagged", "mtt-tagged"]
    assert other[2]["fingerprint"] == trained["fingerprint"] or other[2]["n_expected"]["test"] < 8
    assert len(artifacts(store, "embed")) == 2
    assert len(artifacts(store, "prepare")) == 1

    # Deleting any artifact is safe.
    for folder in artifacts(store, "embed"):
        (folder / "embeddings.0.float32").write_bytes(b"cut")
    for folder in artifacts(store, "score"):
        (folder / "record.json").unlink()
    repaired = bench_json("run", *arguments)
    assert [r["metrics"] for r in repaired] == [trained["metrics"], untrained["metrics"]]


def test_missing_test_clips_fail_before_anything_is_trained(mtt, tiny_registry, tmp_path):
    data, files = mtt
    files["19"].unlink()
    files["20"].write_bytes(b"not audio at all")
    store = tmp_path / "store"
    arguments = [*TINY, "--data", data, "--store", store, "--registry", tiny_registry]
    result = bench("run", *arguments)
    assert result.returncode == 2
    last = result.stderr.strip().split("\n")[-1]
    assert "2 of 8 test clips cannot be scored" in last
    assert "d/artist_d-album_0-19-title-0-29.mp3 (missing)" in last
    assert "d/artist_d-album_0-20-title-0-29.mp3 (not readable as audio" in last
    assert "--allow-missing" in last
    assert artifacts(store, "pretrain") == []

    record = bench_json("run", *arguments, "--allow-missing")[0]
    assert (record["n_expected"]["test"], record["n_scored"]["test"]) == (8, 6)
    assert set(record["test_clips_lost"]) == {"19", "20"}

    # A repaired file is seen, though it is as long as the broken one was.
    soundfile.write(files["19"], tone(2, 16_000, 19), 16_000, format="MP3")
    soundfile.write(files["20"], tone(2, 16_000, 20), 16_000, format="MP3")
    assert bench_json("run", *arguments)[0]["n_scored"]["test"] == 8


def test_other_weights_behind_a_name_are_other_scores(mtt, tmp_path):
    data, _ = mtt
    shape = dict(filters=2, contractive=2, expansive=2, tail=4, dim=16, window=6_561)
    (tmp_path / "registry.yaml").write_text(
        "encoders:\n  theirs:\n    class: encoders.tune:TUNe\n"
        f"    args: {json.dumps(shape)}\n    weights: theirs.safetensors\n"
    )
    arguments = ["--encoder", "theirs", "--task", "mtt", "--data", data, "--store", tmp_path / "store"]
    scores = []
    for filler in (1.0, 2.0):
        encoder = TUNe(**shape)
        for index, parameter in enumerate(encoder.parameters()):
            values = np.random.default_rng([index, int(filler)]).normal(size=tuple(parameter.shape))
            parameter.data.copy_(parameter.data.new_tensor(values))
        save_weights(encoder, tmp_path / "theirs.safetensors")
        (record,) = bench_json("run", *arguments, cwd=tmp_path)
        assert record["recipe"] == "as-given"
        scores.append((record["weights_sha256"], record["metrics"]["roc_auc"]["value"]))
    assert scores[0][0] != scores[1][0]
    assert scores[0][1] != scores[1][1]


def test_an_edited_encoder_is_another_encoder(mtt, tmp_path):
    data, _ = mtt
    source = (
        "import torch\nfrom encoders.base import Encoder\n\n"
        "class Mine(Encoder):\n"
        "    sample_rate, window, max_window, dim = 22_050, 4_096, 4_096, 8\n"
        "    def layers(self):\n        return ()\n"
        "    def represent(self, waveform, layers=()):\n"
        "        return waveform[:, 0].view(-1, 8, 512).FEATURE(dim=2), {}\n"
    )
    (tmp_path / "mine.py").write_text(source.replace("FEATURE", "std"))
    (tmp_path / "registry.yaml").write_text("encoders:\n  mine:\n    class: mine:Mine\n    pretrain: false\n")
    arguments = ["--encoder", "mine", "--task", "mtt", "--data", data, "--store", tmp_path / "store"]
    (first,) = bench_json("run", *arguments, cwd=tmp_path)
    assert (first["dim"], first["parameters"]) == (8, 0)
    (tmp_path / "mine.py").write_text(source.replace("FEATURE(dim=2)", "mean(dim=2) * 0"))
    (second,) = bench_json("run", *arguments, cwd=tmp_path)
    assert second["metrics"]["roc_auc"]["value"] == 0.5
    assert first["metrics"]["roc_auc"]["value"] != 0.5


def test_dry_run_shows_every_step_and_does_none(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    store = tmp_path / "store"
    arguments = ["--data", data, "--store", store, "--registry", tiny_registry]
    steps = bench_json("run", *TINY, *arguments, "--dry-run")
    assert [step["kind"] for step in steps] == [
        "initialise", "prepare", "label", "pretrain", "embed", "probe", "score", "embed", "probe", "score",
    ]  # fmt: skip
    assert {step["state"] for step in steps} == {"to do"}
    assert all(step["bytes"] > 0 for step in steps)
    assert steps[1]["work"] == "26 clips, 0.0 h"
    assert not (store / "artifacts").exists()

    bench_json("run", *TINY, *arguments)
    done = bench_json("run", *TINY, *arguments, "--dry-run")
    assert [step["key"] for step in done] == [step["key"] for step in steps]
    assert {step["state"] for step in done} == {"cached"}
    estimated, actual = steps[1]["bytes"], done[1]["bytes"]
    assert estimated == pytest.approx(actual, rel=0.15)

    more = bench("run", *TINY, *arguments, "--dry-run", "--batch", 8)
    assert "4 of 9 steps" not in more.stdout
    assert re.search(r"^to do +pretrain tiny", more.stdout, re.M)
    assert "(short(batch=8))" in more.stdout
    assert re.search(r"^cached +decode magnatagatune", more.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--encoder", "tune_pluss", "--task", "mtt"], "unknown encoder 'tune_pluss'. Did you mean 'tune_plus'?"),
        (["--encoder", "tune_plus", "--task", "mt"], "unknown task 'mt'. Did you mean 'mtt'?"),
        (["--encoder", "tune_plus", "--task", "mtt", "--recipe", "dem"], "unknown recipe 'dem'. Did you mean 'demo'?"),
        (["--encoder", "tune_plus", "--task", "mtt", "--data", "{tmp}/nowhere"], "{tmp}/nowhere"),
        (
            ["--encoder", "tune_plus", "--task", "mtt", "--store", "{tmp}/file"],
            "{tmp}/file: cannot use this folder as the store",
        ),
        (
            ["--encoder", "tune_plus", "--task", "mtt", "--registry", "{tmp}/bad.yaml"],
            "{tmp}/bad.yaml:2: not valid YAML",
        ),
        (
            ["--encoder", "lost", "--task", "mtt", "--registry", "{tmp}/lost.yaml"],
            "{tmp}/lost.yaml:2: lost: there is no module 'not_there'",
        ),
        (
            ["--encoder", "tune_plus", "--task", "mtt", "--temperature", "-1"],
            "temperature: Input should be greater than 0",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, arguments, expected):
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.yaml").write_text("encoders: [")
    (tmp_path / "lost.yaml").write_text("encoders:\n  lost: {class: 'not_there:X'}\n")
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    if "--store" not in filled:
        filled += ["--store", str(tmp_path / "store")]
    result = bench("run", *filled, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("not built in: ")]
    assert line.startswith("bench: ")
    assert expected.replace("{tmp}", str(tmp_path)) in line


def test_too_small_a_corpus_says_what_to_do(tmp_path, tiny_registry):
    make_mtt(tmp_path / "data" / "magnatagatune", {"0": 3, "c": 2, "d": 3})
    result = bench("run", *TINY, "--data", tmp_path / "data", "--store", tmp_path / "s", "--registry", tiny_registry)
    assert result.returncode == 2
    assert "there are 3 clips" in result.stderr
    assert "--batch" in result.stderr
    assert (
        bench(
            "run",
            *TINY,
            "--data",
            tmp_path / "data",
            "--store",
            tmp_path / "s",
            "--registry",
            tiny_registry,
            "--batch",
            2,
        ).returncode
        == 0
    )


def test_environment_variables_stand_for_options(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    environment = {**os.environ, "BENCH_DATA": str(data), "BENCH_STORE": str(tmp_path / "elsewhere")}
    words = ["run", *TINY, "--registry", str(tiny_registry), "--dry-run"]
    code, out, err = warm_command.call(words, None, environment, 300)
    assert code == 0, err
    assert "decode magnatagatune" in out
    assert "stand-in" not in out
    assert (tmp_path / "elsewhere" / "format").exists()


def test_a_folder_of_audio_is_a_corpus(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    arguments = [*TINY, "--data", data, "--store", tmp_path / "store", "--registry", tiny_registry, "--batch", 2]
    trained, _ = bench_json("run", *arguments, "--corpus", data / "magnatagatune" / "0")
    assert trained["corpus"] == str(data / "magnatagatune" / "0")
    assert trained["pretraining"]["clips"] == 7
    tested, _ = bench_json("run", *arguments, "--corpus", data / "magnatagatune" / "f")
    assert tested["overlap"]["clips"] == 4  # the same audio as four of the test clips
    result = bench("run", *arguments, "--corpus", tmp_path / "nowhere")
    assert (result.returncode, "nowhere: there is no such folder" in result.stderr) == (2, True)


def test_layers_labels_deformations_and_joint_encoders(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    common = [
        "--task",
        "mtt",
        "--recipe",
        "short",
        "--data",
        data,
        "--store",
        tmp_path / "s",
        "--registry",
        tiny_registry,
    ]
    layered = bench_json("run", "--encoder", "tiny", *common, "--layer", "all")
    layers = TUNe(filters=2, contractive=2, expansive=2, tail=4, dim=16, window=6_561).layers()
    assert [record["layer"] for record in layered if record["recipe"] == "short"] == list(layers)
    plain = bench_json("run", "--encoder", "tiny", *common)
    # The last layer of a TUNe is its representation, and one artifact holds all layers.
    last = next(record for record in layered if (record["recipe"], record["layer"]) == ("short", layers[-1]))
    assert last["metrics"] == plain[0]["metrics"]
    assert len(artifacts(tmp_path / "s", "embed")) == 4

    fewer = bench_json("run", "--encoder", "mfcc", *common, "--labels", "0.5,1", "--deform", "noise=0")
    assert [(record["labels"], record["deform"]) for record in fewer] == [
        (0.5, None), (0.5, "noise=0"), (1.0, None), (1.0, "noise=0")
    ]  # fmt: skip
    assert len({record["metrics"]["roc_auc"]["value"] for record in fewer}) > 1

    (joint,) = bench_json("run", "--encoder", "mfcc+chroma", *common)
    assert (joint["encoder"], joint["dim"]) == ("mfcc+chroma", 120 + 72)
    for options, message in (
        (["--encoder", "mfcc", "--layer", "all"], "mfcc has no layers"),
        (["--encoder", "tiny", "--layer", "conv"], "unknown layer of tiny 'conv'. "),
        (["--encoder", "tiny+mfcc", "--layer", "all"], "layers are probed for one encoder at a time"),
        (
            ["--encoder", "mfcc", "--labels", "0"],
            "--labels 0: Input should be greater than 0; ",
        ),
        (["--encoder", "mfcc", "--deform", "nois=1"], "Did you mean 'noise'?"),
        (
            ["--encoder", "tiny", "--set", "augmentation.pich.probability=1"],
            "Did you mean 'augmentation.pitch.probability'?",
        ),
        (["--encoder", "tiny", "--set", "batch"], "must look like KEY=VALUE"),
    ):
        result = bench("run", *options, *common)
        assert result.returncode == 2, result.stderr
        assert message in result.stderr


def test_every_number_of_a_recipe_can_be_set_and_is_part_of_the_key(mtt, tiny_registry, tmp_path):
    data, _ = mtt
    arguments = [*TINY, "--data", data, "--store", tmp_path / "s", "--registry", tiny_registry, "--dry-run"]
    keys = {}
    for setting in ("projector.kind=linear", "augmentation.pitch.probability=0.5", "augmentation.gain.db=[-6, 0]"):
        steps = bench_json("run", *arguments, "--set", setting)
        keys[setting] = next(step["key"] for step in steps if step["kind"] == "pretrain")
    keys["plain"] = next(step["key"] for step in bench_json("run", *arguments) if step["kind"] == "pretrain")
    keys["rate"] = next(
        step["key"] for step in bench_json("run", *arguments, "--sample-rate", 8000) if step["kind"] == "pretrain"
    )
    assert len(set(keys.values())) == 5
    # How it is computed is no part of what it is.
    same = bench_json("run", *arguments, "--precision", "32-true", "--corpus-in", "stream", "--devices", 1)
    assert next(step["key"] for step in same if step["kind"] == "pretrain") == keys["plain"]
    wrong = bench("run", *arguments, "--corpus-in", "ram")
    assert (wrong.returncode, "--corpus-in ram: must be device or stream" in wrong.stderr) == (2, True)


def test_a_run_that_is_stopped_goes_on(mtt, dawdling, tmp_path):
    """Stopped twice in the midst of pretraining: nothing finished is done again, and the end is the same."""
    arguments = ["--encoder", "dawdling", *TINY[2:], "--data", mtt[0], "--registry", dawdling.file, "--json"]
    dawdling.go()
    undisturbed = bench("run", *arguments, "--store", tmp_path / "whole")
    assert undisturbed.returncode == 0, undisturbed.stderr
    dawdling.dawdle()

    store = tmp_path / "store"

    def kept() -> set[int]:
        return {path.stat().st_mtime_ns for path in saved(store)}

    def finished() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in store.glob("artifacts/*/*/manifest.json")}

    def stopped(stop: signal.Signals) -> str:
        before = kept()
        run = Run(tmp_path, *arguments, "--store", store)
        deadline = time.monotonic() + 120
        while kept() <= before:
            assert run.poll() is None, run.err
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.send_signal(stop)
        assert run.wait(timeout=60) == (130 if stop == signal.SIGINT else -9)
        assert artifacts(store, "pretrain") == []
        return run.err

    errors = stopped(signal.SIGINT)
    assert errors.strip().endswith("the same command goes on from here")
    assert "Traceback" not in errors
    before = finished()
    assert {path.parts[-3] for path in before} >= {"prepare", "label", "initialise"}
    stopped(signal.SIGKILL)
    assert finished() == before

    dawdling.go()
    resumed = bench("run", *arguments, "--store", store)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from" in resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for ours, theirs in zip(json.loads(resumed.stdout), json.loads(undisturbed.stdout), strict=True):
        assert ours["weights_sha256"] == theirs["weights_sha256"]
        assert ours["metrics"] == theirs["metrics"]


@pytest.mark.parametrize("word", ["--help", "list", "--version"])
def test_help_and_list_import_nothing_heavy(word):
    code = (
        "import atexit, sys; heavy = {'torch', 'scipy', 'pandas', 'sklearn', 'matplotlib', 'soundfile', 'distributed'};"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr));"
        "import cli; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


def test_version_and_usage_errors():
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", bench("--version").stdout)
    assert bench("run").returncode == 2
    assert bench("nonsense").returncode == 2
