"""`bench look`: what is chosen and heard is what excites a feature, and what cannot be had is said in one line."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import TINY_REGISTRY, bench, make_mtt, tone, write_table
from hypothesis import given
from hypothesis import strategies as st
from json_types import complaints
from look_document import RATE, make_document

from analysis.visualisation import render
from analysis.visualisation.document import LookDocument
from benchmark.store.embeddings import Embeddings
from benchmark.store.pcm import Pcm, PcmClip
from benchmark.visualisation.audio_clips import LONGEST, SHORTEST, Excerpts, faded, ogg
from benchmark.visualisation.exciting import choose_features, most_exciting, separation, variation
from benchmark.visualisation.maps import window_map
from tasks.base import Clip, Task
from tasks.magnatagatune import TOP_TAGS
from tasks.targets import Classes


def embed(rows: np.ndarray, first: list[int], seconds: list[float]) -> Embeddings:
    ids = tuple(f"clip {number}" for number in range(len(first) - 1))
    return Embeddings(rows.astype(np.float32), ids, np.array(first), np.array(seconds, np.float32), np.ones(len(ids)))


def classified(labels: np.ndarray, clip_ids: tuple[str, ...]) -> Task:
    names = tuple(f"label {number}" for number in range(int(labels.max()) + 1))
    splits = np.array(["test"] * len(clip_ids))
    return Task(clip_ids, splits, Classes(names, labels), np.array(clip_ids))


def test_a_clip_stands_by_its_most_exciting_window():
    rows = np.array([[0.0], [5.0], [1.0], [9.0], [2.0], [3.0], [-1.0], [100.0]])
    embeddings = embed(rows, [0, 2, 4, 5, 7, 8], [0.0, 2.5, 0.0, 2.5, 0.0, 0.0, 2.5, 0.0])
    task = classified(np.zeros((4, 1), int), embeddings.clip_ids[:4])  # the last clip is none of the task's
    found = most_exciting(task, embeddings, rows[:, 0], 3)
    assert [(one.clip, one.window, one.second, one.activation) for one in found] == [
        (1, 3, 2.5, 9.0),
        (0, 1, 2.5, 5.0),
        (3, 5, 0.0, 3.0),
    ]
    own = rows[:7, 0]
    assert found[0].deviation == pytest.approx((9.0 - own.mean()) / own.std())


def test_features_are_chosen_that_labels_separate_or_that_vary():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((90, 6))
    classes = np.repeat([0, 1, 2], 30)
    means[:, 4] = classes + 0.01 * rng.standard_normal(90)
    means[:, 2] *= 50
    means[:, 5] = 7.0
    explained = separation(means, classes[:, None], "multiclass")
    assert explained[4] > 0.999
    assert explained[5] == 0
    assert explained.max() <= 1 and explained[2] < 0.1
    assert choose_features([variation(means)], [explained], 2) == [
        (4, "labels separate it"),
        (2, "varies between clips"),
    ]
    tags = np.stack([classes == 1, classes == 2, np.zeros(90, bool)], axis=1).astype(int)
    squared = separation(means, tags, "multilabel")
    assert squared[4] == pytest.approx(max(np.corrcoef(tags[:, k], means[:, 4])[0, 1] ** 2 for k in (0, 1)))
    assert squared[5] == 0


@given(st.integers(1, 12), st.integers(0, 10), st.integers(0, 2**32 - 1))
def test_as_many_features_as_there_are_and_none_twice(dim, count, seed):
    rng = np.random.default_rng(seed)
    chosen = [one for one, _ in choose_features([rng.random(dim)], [rng.random(dim)], count)]
    assert len(chosen) == len(set(chosen)) == min(count, dim)
    assert all(0 <= one < dim for one in chosen)


def test_windows_of_one_clip_are_no_neighbours_of_each_other():
    rng = np.random.default_rng(1)
    centres = np.repeat(rng.standard_normal((40, 8)) * 10, 3, axis=0)
    embeddings = embed(centres + 0.01 * rng.standard_normal((120, 8)), list(range(0, 121, 3)), [0.0] * 120)
    task = classified(np.arange(40)[:, None] % 2, embeddings.clip_ids)
    found = window_map(task, embeddings)
    assert len(found["x"]) == 120
    # Of the 117 windows of other clips 57 are of the same class.
    assert found["chance"] == pytest.approx(57 / 117)
    assert found["neighbours"] < 0.8  # every window's own clip would give 1


def test_an_excerpt_is_the_window_with_what_is_around_it():
    waveform = np.arange(10 * RATE, dtype=np.int64).astype(np.int16)
    clip = PcmClip("a", "a.mp3", "test", "", "", "", 0, len(waveform), "")
    excerpts = Excerpts(Pcm(waveform, (clip,), (), RATE), None, RATE)
    assert excerpts.path("a") == "a.mp3"
    for second, window, start, length in (
        (4.0, 2.0, 3.5, SHORTEST),
        (4.0, 4.0, 3.6, 4.8),
        (0.0, 2.0, 0.0, SHORTEST),
        (9.0, 1.0, 7.0, SHORTEST),
        (1.0, 8.0, 1.0, LONGEST),
        (0.0, float("inf"), 0.0, LONGEST),
    ):
        cut, begins = excerpts.cut("a", second, window)
        assert begins == pytest.approx(start, abs=1e-4), (second, window)
        assert len(cut) == pytest.approx(length * RATE, abs=1)
        middle = len(cut) // 2
        assert cut[middle] == waveform[round(begins * RATE) + middle]
        assert cut[0] == cut[-1] == 0


def test_excerpts_are_decoded_from_the_file_where_the_store_has_no_samples(tmp_path):
    class Files:
        root = tmp_path

        def clips(self):
            return [Clip("a", "a.wav", None)]

    samples = tone(5.0, RATE, 0)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    cut, begins = Excerpts(None, Files(), RATE).cut("a", 1.0, 3.0)
    assert begins == pytest.approx(0.7, abs=1e-3)
    inside = slice(RATE, 2 * RATE)
    heard = samples[round(begins * RATE) :][inside]
    assert np.abs(cut[inside] / 32767 - heard).max() < 1e-4


def test_ogg_is_small_and_sounds_like_what_went_in():
    waveform = faded((8000 * np.sin(2 * np.pi * 440 * np.arange(5 * RATE) / RATE)).astype(np.int16), RATE)
    content = ogg(waveform, RATE)
    assert content[:4] == b"OggS"
    assert len(content) < 40_000
    heard, rate = soundfile.read(io.BytesIO(content))
    assert (rate, heard.ndim) == (RATE, 1)
    assert abs(len(heard) - len(waveform)) < 2048
    spectrum = np.abs(np.fft.rfft(heard[RATE : 2 * RATE]))
    assert spectrum.argmax() == 440


def test_what_the_page_is_tested_with_has_the_keys_and_types_of_the_document():
    assert complaints(json.loads(json.dumps(make_document(audio=True))), LookDocument) == []


def test_names_are_escaped_and_audio_is_there_only_if_asked_for():
    nasty = "<script>alert(1)</script>\"'&"
    page = render(make_document(name=nasty))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<audio" not in page and "data:audio" not in page and "media-src" not in page
    assert "bench look &lt;script" in page
    with_audio = render(make_document(audio=True))
    assert with_audio.count('<audio controls preload="none" src="data:audio/ogg;base64,') == 12
    assert "media-src data:" in with_audio
    assert "licence of magnatagatune" in with_audio
    assert "To share the page is to share them" in with_audio


def give_one_tag_each(table: Path) -> None:
    """Maps show clips with one of the most frequent tags."""
    header, *rows = [[cell.strip('"') for cell in line.split("\t")] for line in table.read_text().splitlines()]
    for number, row in enumerate(rows):
        row[1:-1] = ["0"] * (len(row) - 2)
        row[header.index(TOP_TAGS[number % 2])] = "1"
    write_table(table, [header, *rows])


#: An encoder of someone else's: a function that gives frames for a whole clip.
FOREIGN = """\
  foreign:
    class: encoders.adapters.callable:CallableEncoder
    args: {module: "foreign_spectra:embed", sample_rate: 22050, dim: 8}
"""
SPECTRA = """\
import numpy as np


def embed(audio, sample_rate):
    return np.abs(np.fft.rfft(audio[: len(audio) // 1024 * 1024].reshape(-1, 1024)))[:, 1:9]
"""


@pytest.fixture(scope="module")
def looked(tmp_path_factory) -> dict[str, Path]:
    """A store with a trained encoder and a hand-made one, on 26 clips of tones."""
    folder = tmp_path_factory.mktemp("looked")
    make_mtt(folder / "data" / "magnatagatune", {"0": 7, "b": 7, "c": 4, "d": 4, "f": 14})
    give_one_tag_each(folder / "data" / "magnatagatune" / "annotations_final.csv")
    (folder / "tiny.yaml").write_text(TINY_REGISTRY.replace("encoders:\n", f"encoders:\n{FOREIGN}"))
    (folder / "foreign_spectra.py").write_text(SPECTRA)
    done = bench(
        "run", "--encoder", "tiny", "--encoder", "mfcc", "--encoder", "foreign", "--task", "mtt",
        "--recipe", "short", "--pairs", 8, "--data", folder / "data", "--store", folder / "store",
        "--registry", folder / "tiny.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: folder / place for name, place in (("data", "data"), ("store", "store"), ("registry", "tiny.yaml"))}


def look(looked: dict[str, Path], page: Path, encoder: str, *more: object):
    return bench(
        "look", encoder, "--task", "mtt", "--recipe", "short", "--pairs", 8, "--data", looked["data"],
        "--store", looked["store"], "--registry", looked["registry"], "-o", page, *more,
    )  # fmt: skip


def test_one_page_shows_what_a_trained_encoder_does(looked, tmp_path):
    page = tmp_path / "look.html"
    more = ("--filter-layer", "expansive_1", "--factors", 2, "--items", 3, "--item-windows", 4)
    done = look(looked, page, "tiny", "--filters", 2, "--feature", 5, "--feature", 0, *more)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert re.findall(r'<section id="(\w+)">', text) == [
        "shown",
        "maps",
        "filters",
        "activations",
        "factors",
        "features",
        "listen",
        "reproduce",
    ]
    assert re.findall(r'<article data-feature="(\d+)"', text) == ["5", "0"]
    assert text.count('<span class="tag">in domain</span>') >= 3
    assert "CC BY-NC-SA 3.0" in text
    assert "stand-ins</strong>" not in text
    assert "data:audio" not in text
    assert "--feature 5 --feature 0" in text
    assert "--filter-layer expansive_1 --factors 2 --items 3 --item-windows 4" in text
    assert re.findall(r"<h3>Layer <code>(\w+)</code>", text) == ["expansive_1"]
    assert len(re.findall(r"<h4>Factor \d on mtt</h4>", text)) == 2
    assert "correlation with the clips’ level" in text.lower()
    # Clips of an album are one song in these tables; three songs have four windows each.
    assert "12 windows of 3 songs or clips" in text
    assert len(re.findall(r'<th scope="row" class="n">\d+</th>', text)) == 16
    # The first clip of feature 5 is the one whose window is highest in the store.
    assert any(matches(file, text) for file in looked["store"].glob("artifacts/embed/*/embeddings.0.float32"))


def matches(file: Path, text: str) -> bool:
    rows = np.fromfile(file, np.float32)
    return len(rows) % 16 == 0 and f">{rows.reshape(-1, 16)[:, 5].max():.4g}<" in text


def test_audio_is_cut_from_the_clips_when_asked_for(looked, tmp_path):
    page = tmp_path / "look.html"
    done = look(looked, page, "tiny", "--filters", 0, "--feature", 1, "--audio")
    assert done.returncode == 0, done.stderr
    assert "with audio" in done.stderr
    text = page.read_text()
    found = re.findall(r'src="data:audio/ogg;base64,([^"]+)"', text)
    assert len(found) == 10
    for part in found:
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(part)))
        assert rate == RATE
        assert 1.9 < len(heard) / rate < 2.2  # the whole clip: it is shorter than an excerpt
        assert np.abs(heard).max() > 0.01


@pytest.mark.parametrize("encoder", ["mfcc", "foreign"])
def test_an_encoder_without_layers_is_listened_to_all_the_same(looked, tmp_path, encoder):
    page = tmp_path / "look.html"
    done = look(looked, page, encoder, "--audio")
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert [name for name in re.findall(r'<section id="(\w+)">', text) if name != "maps"] == [
        "shown",
        "activations",
        "features",
        "listen",
        "reproduce",
    ]
    assert text.count("<article data-feature=") == 8
    assert text.count('src="data:audio/ogg;base64,') == 80
    assert "in domain" not in text
    assert "nothing was trained here" in text


def test_maps_are_coloured_by_the_labels_of_another_task(looked, tmp_path):
    page, own = tmp_path / "look.html", tmp_path / "own.html"
    done = look(looked, page, "mfcc", "--labels-of", "mtt-tagged")
    assert done.returncode == 2
    assert "--labels-of mtt-tagged: the store holds no labels of it; compute them with: bench run" in done.stderr
    done = look(looked, page, "mfcc", "--labels-of", "gtzan")
    assert "--labels-of gtzan: it is of dataset gtzan, and mtt of magnatagatune" in done.stderr
    store = tmp_path / "store"
    shutil.copytree(looked["store"], store)
    other = {**looked, "store": store}
    ran = bench("run", "--encoder", "mfcc", "--task", "mtt-tagged", "--data", looked["data"], "--store", store)
    assert ran.returncode == 0, ran.stderr
    assert look(other, page, "mfcc", "--labels-of", "mtt-tagged").returncode == 0
    assert look(other, own, "mfcc").returncode == 0
    shown = [re.findall(r"(\d+) clips, of which", file.read_text()) for file in (page, own)]
    # Every clip of these tables has a tag, so that both tasks have the same ones.
    assert shown[0] == shown[1] == ["18"]
    assert "--labels-of mtt-tagged" in page.read_text()


def test_errors_are_one_line_and_name_the_command_that_helps(looked, tmp_path):
    page = tmp_path / "look.html"
    done = look(looked, page, "tiny", "--seed", 3)
    assert done.returncode == 2
    assert done.stderr.count("\nbench: ") == 1
    # Beside what is not built in, and what so few clips cannot speak of.
    assert [line[:21] for line in done.stderr.splitlines()[1:-1]] == ["mtt: 48 of 50 tags wi"] * 2
    words = f"bench run --encoder tiny --task mtt --recipe short --seed 3 --data {looked['data']}"
    assert f"holds no embeddings of tiny (short(pairs=8)), seed 3, for mtt; compute them with: {words}" in done.stderr
    assert "--pairs 8" in done.stderr
    done = look(looked, page, "tiny", "--feature", 16)
    assert (done.returncode, done.stderr.count("\nbench: "), done.stderr.count("\n")) == (2, 1, 4)
    assert "--feature 16: the representation of tiny has 16 features, 0 to 15" in done.stderr
    for option, value, said in (
        ("--factors", 90, "--factors 90: 18 clips with 16 features that vary have 1 to 16 factors"),
        ("--filter-layer", "expansive_9", "unknown layer of tiny 'expansive_9'. Did you mean 'expansive_1'?"),
    ):
        done = look(looked, page, "tiny", option, value)
        assert (done.returncode, done.stderr.count("\nbench: ")) == (2, 1)
        assert said in done.stderr
    done = look(looked, page, "tiny+mfcc")
    assert done.returncode == 2 and "name one encoder" in done.stderr
    done = bench("look", "tiny", "--task", "mtt", "--registry", looked["registry"], "--store", tmp_path / "none")
    assert done.returncode == 2
    assert "bench run --encoder tiny --task mtt" in done.stderr
    assert not page.exists()
    assert not (tmp_path / "none").exists()


def test_what_was_deleted_from_the_store_is_said_or_not_needed(looked, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(looked["store"], store)
    shutil.rmtree(store / "artifacts" / "pretrain")
    shutil.rmtree(store / "artifacts" / "prepare")
    page = tmp_path / "look.html"
    done = look({**looked, "store": store}, page, "tiny", "--feature", 0, "--audio")
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "its weights are no longer in the store" in text
    assert text.count("data:audio/ogg") == 10  # decoded from the dataset's files
