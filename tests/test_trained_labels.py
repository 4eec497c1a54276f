"""Encoders are not tested on clips whose labels they were trained on, unless that is asked for; then it is marked."""

import json
import re
import shutil
from pathlib import Path

import pytest
import soundfile
from conftest import bench, bench_json, tone
from hypothesis import given
from hypothesis import strategies as st

from benchmark.plan.divisions import Members, shared_clips
from tasks.base import Clip

RATE = 22_050
REGISTRY = """
encoders:
  small: {class: "small_encoder:Plain"}
datasets:
  ours: {class: "tasks.folder:LabelledFolder", root: ours}
  other: {class: "tasks.folder:LabelledFolder", root: ours, args: {table: other.csv}}
  theirs: {class: "tasks.folder:LabelledFolder", root: theirs}
  apart: {class: "tasks.folder:LabelledFolder", root: apart}
corpora:
  ours: {dataset: ours, labels: sort}
  everything: {dataset: ours}
tasks:
  sort: {dataset: ours, options: {columns: sort}, metrics: [accuracy], corpus: ours, protocol: quick}
  tone: {dataset: ours, options: {columns: tone}, metrics: [accuracy], corpus: ours, protocol: quick}
  whole: {dataset: ours, options: {columns: tone}, folds: 3, metrics: [accuracy], corpus: ours, protocol: quick}
  other: {dataset: other, options: {columns: sort}, metrics: [accuracy], corpus: ours, protocol: quick}
  theirs: {dataset: theirs, options: {columns: sort}, metrics: [accuracy], corpus: ours, protocol: quick}
  apart: {dataset: apart, options: {columns: sort}, metrics: [accuracy], corpus: ours, protocol: quick}
protocols:
  quick: {source: tests, examples: clip_mean, standardise: true, estimator: {kind: knn, parameters: {n_neighbors: 1}}}
recipes:
  labelled:
    {method: supervised, source: tests, steps: 1, patience: null, batch: 4, dropout: 0, learning_rate: 1e-2,
      weight_decay: 0, augmentation: null}
"""
#: Splits of twelve clips in two tables: the first three trained on in the one are tested in the other.
OURS = ["train"] * 6 + ["valid"] * 2 + ["test"] * 4
OTHER = ["test"] * 3 + ["valid"] * 3 + ["train"] * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve clips; the same files by another table; two of them as FLAC among others; and twelve other clips."""
    folder = tmp_path_factory.mktemp("trained-labels")

    def table(where, splits, name="labels.csv", suffix="wav"):
        rows = [f"{n}.{suffix},{split},{'ab'[n % 2]},{'xy'[n % 2]}" for n, split in enumerate(splits)]
        (folder / where / name).write_text("\n".join(["path,split,sort,tone", *rows, ""]))

    for where, first in (("ours", 0), ("theirs", 20), ("apart", 40)):
        (folder / where).mkdir()
        for n in range(12):
            copied = where == "theirs" and n in (8, 9)  # test clips there, training clips of ours
            sound = (32_000 * tone(1.1, RATE, n - 8 if copied else first + n)).astype("int16")
            soundfile.write(folder / where / f"{n}.{'flac' if where == 'theirs' else 'wav'}", sound, RATE)
    table("ours", OURS)
    table("ours", OTHER, "other.csv")
    table("theirs", OURS, suffix="flac")
    table("apart", OURS)
    shutil.copyfile(Path(__file__).with_name("plain_encoder.py"), folder / "small_encoder.py")
    (folder / "registry.yaml").write_text(REGISTRY)
    return folder


def command(folder, task, *words):
    return ["run", "--encoder", "small", "--recipe", "labelled", "--corpus", "ours", "--task", task,
            "--registry", folder / "registry.yaml", "--store", folder / "store", *words]  # fmt: skip


def kinds_in(folder):
    return {place.name for place in (folder / "store" / "artifacts").glob("*")}


def test_what_tables_and_files_say_is_refused_before_anything_is_decoded(folder):
    """The same dataset is known by its table, another one by the content of its files."""
    for task, says in {
        "whole": "task whole: 6 of its 12 test clips are among the clips whose labels the encoder is trained on, those "
        "of sort: 0.wav, 1.wav, 2.wav and 3 more; name another corpus or task, or pass --allow-overlap",
        "other": "task other: 3 of its 3 test clips are among the clips whose labels the encoder is trained on, those "
        "of sort: 0.wav, 1.wav, 2.wav; name another",
    }.items():
        result = bench(*command(folder, task, *(["--dry-run"] if task == "other" else [])))
        assert result.returncode == 2
        assert says in result.stderr.splitlines()[-1]
    assert not kinds_in(folder) & {"prepare", "supervise"}


def test_audio_that_is_the_same_only_when_decoded_is_refused_before_anything_is_trained(folder):
    assert json.loads(bench(*command(folder, "theirs", "--dry-run", "--json")).stdout)
    result = bench(*command(folder, "theirs"))
    assert result.returncode == 2
    assert "2 of its 4 test clips are among the clips" in result.stderr
    assert "those of sort: 8.flac, 9.flac; name" in result.stderr
    assert "prepare" in kinds_in(folder)
    assert not kinds_in(folder) & {"supervise", "overlap"}


def test_what_is_allowed_is_marked_and_keeps_its_key(folder):
    (record, twin) = bench_json(*command(folder, "theirs", "--allow-overlap"))
    assert record["overlap"] == {"clips": 2, "recordings": 0, "artists": 0, "labelled": 2}
    assert twin["overlap"]["labelled"] == 0
    shown = bench(*command(folder, "theirs", "--allow-overlap"))
    assert "small (labelled) was pretrained on 2 of the test clips, on 2 of them with their labels" in shown.stdout
    # Having been allowed once is no leave to pass it over in silence, and costs nothing to know.
    again = bench(*command(folder, "theirs", "--dry-run"))
    assert again.returncode == 2
    assert "2 of its 4 test clips are among the clips" in again.stderr
    page = bench("report", "--store", folder / "store", "--format", "md", "-o", "-").stdout
    assert "| small ‡ § |" in page
    assert "‡: trained on labels of test clips." in page
    document = json.loads(bench("report", "--store", folder / "store", "--format", "json", "-o", "-").stdout)
    (again,) = document["commands"]
    assert "--allow-overlap --data DIR" in again
    assert [row["overlap_labelled"] for row in document["leaderboards"]] == [0, 2]
    html = folder / "report.html"
    assert bench("report", "--store", folder / "store", "-o", html).returncode == 0
    said = "small · labelled was pretrained on 2 of the test clips, on 2 of them with their labels"
    assert f"{said}. Such scores are marked †, those with labels ‡." in re.sub(r"<[^>]+>|\s+", " ", html.read_text())


def test_test_clips_that_are_left_out_of_training_are_no_overlap(folder):
    """Other labels by the same split, other clips, and the very task that is tested."""
    for task in ("tone", "apart"):
        (record, _) = bench_json(*command(folder, task))
        assert (record["corpus"], record["overlap"]["labelled"]) == ("ours", 0)
    for task in ("tone", "sort"):
        titles = [step["title"] for step in bench_json(*command(folder, task, "--dry-run"))]
        looked = f"look for test clips of {task} among those of sort" in titles
        assert looked == (task != "sort")


def test_a_study_says_by_a_key_that_it_allows_it(folder):
    """Without it, a study's other runs are computed, and the exit code is 1."""
    text = (
        "name: s\ngrid: {encoder: small, recipe: labelled, corpus: ours, task: [tone, other]}\n"
        "untrained: false\nallow_overlap: ALLOWED\n"
    )
    words = ["--registry", folder / "registry.yaml", "--store", folder / "store-of-study"]
    found = {}
    for allowed in ("true", "false"):
        file = folder / f"{allowed}.yaml"
        file.write_text(text.replace("ALLOWED", allowed))
        found[allowed] = bench("run", "--study", file, *words, "--json")
    assert [result.returncode for result in found.values()] == [0, 1]
    of_task = {record["task"]: record["overlap"]["labelled"] for record in json.loads(found["true"].stdout)}
    assert of_task == {"tone": 0, "other": 3}
    assert [record["task"] for record in json.loads(found["false"].stdout)] == ["tone"]
    assert "failed: task other: 3 of its 3 test clips" in found["false"].stderr
    # What rests on an allowed run is the study's own, whatever the file says of it.
    kept = bench("store", "gc", "--keep", folder / "false.yaml", *words, "--dry-run")
    assert kept.stdout.startswith("would delete 0 folders")


CLIPS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.none() | st.tuples(st.integers(0, 5), st.integers(1, 5))), max_size=6
)


@given(CLIPS, CLIPS)
def test_clips_of_two_datasets_are_shared_if_they_have_sound_in_common(tested, trained):
    def members(name, rows):
        clips = [
            Clip(f"{name}{n}", f"{name}/{file}", None, excerpt=None if cut is None else (cut[0], cut[0] + cut[1]))
            for n, (file, cut) in enumerate(rows)
        ]
        return Members(name, clips, {f"{name}/{file}": file for file in "abc"})  # d cannot be read

    def seconds(cut):
        return set(range(20)) if cut is None else set(range(cut[0], cut[0] + cut[1]))

    expected = [
        f"x{n}"
        for n, (file, cut) in enumerate(tested)
        if file != "d" and any(file == other and seconds(cut) & seconds(of) for other, of in trained)
    ]
    assert shared_clips(members("x", tested), members("y", trained)) == expected
