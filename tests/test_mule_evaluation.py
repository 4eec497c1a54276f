"""MULE's evaluation: windows every two seconds, the probes of its Table 2, and input that is not as it should be."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import bench, bench_json, tone
from hypothesis import given
from hypothesis import strategies as st
from plain_encoder import Plain
from test_mule import built, with_formula

from benchmark.encoding.encode_files import stream_windows
from benchmark.encoding.windows import Cutting, cut_windows, window_spans
from benchmark.registry.registry import load_registry
from benchmark.store.embeddings import open_embeddings
from encoders import EncoderError
from probes.decisions import decide
from probes.kinds import check_loss

RATE = 16_000
#: Table 2 of the paper: hidden layers, dropout, batch; and of the released configurations for Musicset-ULarge: L2 in
#: the loss, learning rate, steps of warm-up, steps in all. Key's dropout is 0.8 in the table.
TABLE_2 = {
    "mule-mtt": ([512], 0.5, 256, 1e-6, 5e-5, 1_000, 30_000),
    "mule-gtzan-released": ([], 0.0, 2560, 0, 5e-5, 1_000, 20_000),
    "mule-emomusic-released": ([1024], 0.5, 512, 0, 1e-4, 1_000, 10_000),
    "mule-key-released": ([512], 0.9, 512, 1e-4, 1e-4, 1_000, 10_000),
    "mule-nsynth-pitch": ([], 0.0, 64, 0, 1e-4, 5_000, 800_000),
    "mule-nsynth-instrument": ([], 0.0, 64, 0, 1e-4, 5_000, 400_000),
    "mule-jamendo-50": ([512], 0.75, 256, 1e-5, 1e-4, 1_000, 18_000),
    "mule-jamendo-all": ([1024, 1024], 0.5, 256, 1e-5, 1e-4, 1_000, 20_000),
    "mule-jamendo-moodtheme": ([512], 0.75, 256, 1e-5, 1e-4, 1_000, 15_000),
    "mule-msds": ([1024, 1024], 0.5, 256, 1e-6, 1e-4, 1_000, 40_000),
    "mule-msd50": ([512], 0.5, 256, 1e-5, 1e-4, 1_000, 30_000),
    "mule-msd100": ([2048, 2048], 0.5, 256, 5e-6, 1e-4, 1_000, 35_000),
    "mule-msd500": ([4096] * 3, 0.5, 256, 1e-6, 1e-4, 1_000, 20_000),
    "mule-amm": ([1024], 0.5, 256, 5e-6, 3e-4, 1_000, 30_000),
    "mule-mumu": ([], 0.3, 256, 1e-6, 1e-4, 1_000, 30_000),
}


def test_the_probes_are_those_of_table_2_and_of_the_released_configurations():
    registry = load_registry()
    for name, (hidden, dropout, batch, penalty, rate, warmup, steps) in TABLE_2.items():
        found = registry.protocol(name).entry
        (member,) = found.members(1728)
        assert (list(member.hidden), member.dropout, member.batch) == (hidden, dropout, batch)
        assert member.weight_decay == pytest.approx(2 * penalty)
        assert (member.learning_rate, found.warmup_steps, found.max_steps) == (rate, warmup, steps)
        assert (found.schedule, found.keep, found.decay_biases, found.epsilon) == ("cosine", "last", False, 1e-7)
        assert (found.examples, found.standardise, found.dropout_input) == ("clip_mean", False, False)
        notes = {"mule-nsynth-pitch": (1, 1), "mule-nsynth-instrument": (4, 4)}
        assert (found.window_seconds, found.hop_seconds) == notes.get(name, (None, 2))
        assert (found.loss == "binary") == (name == "mule-gtzan-released")
        assert (found.dropout_output, found.warmup_to) == ((True, 1e-3) if name == "mule-mumu" else (False, None))


def test_windows_stand_every_two_seconds_and_the_last_ends_with_the_clip():
    encoder = built()
    cutting = Cutting(hop_seconds=2)
    starts = {
        seconds: [start for start, _ in window_spans(round(seconds * RATE), encoder, cutting)]
        for seconds in (0.023, 3, 4, 5, 6)
    }
    assert starts == {0.023: [0], 3: [0], 4: [0, 16_000], 5: [0, 32_000], 6: [0, 32_000, 48_000]}
    # Notes of 4 s: four windows of a second, or one.
    for length, expected in ((1, [0, 16_000, 32_000, 48_000]), (4, [0])):
        cutting = Cutting(window_seconds=length, hop_seconds=length)
        cutting.prepare(encoder, "mule_eighth")
        assert [start for start, _ in window_spans(64_000, encoder, cutting)] == expected


@given(st.integers(0, 3_000), st.integers(1, 700), st.integers(1, 900), st.booleans(), st.integers(0, 99))
def test_windows_cover_a_clip_in_a_file_or_in_the_store(samples, length, hop, free, seed):
    encoder = SimpleNamespace(window=None if free else length, max_window=length, sample_rate=100)
    cutting = Cutting(window_seconds=length / 100 if free else None, hop_seconds=hop / 100)
    spans = window_spans(samples, encoder, cutting)
    starts, ends = zip(*spans, strict=True)
    assert all(end - start == length for start, end in spans)
    assert ends[-1] == max(samples, length)
    assert starts[0] == 0 and all(0 < gap <= hop for gap in np.diff(starts))
    assert all(gap == hop for gap in np.diff(starts)[:-1])
    pcm = np.random.default_rng(seed).integers(-99, 99, samples).astype(np.int16)
    blocks = np.array_split(pcm, 1 + seed % 7)
    streamed = list(stream_windows(blocks, samples, encoder, cutting=cutting))
    for found, expected in zip(streamed, cut_windows(pcm, encoder, cutting), strict=True):
        np.testing.assert_array_equal(found.pcm, expected)


def test_an_encoder_takes_other_windows_only_if_it_can():
    encoder = built()
    for samples in (1_600, 16_000, 64_000):  # the first is shorter than the network's strides together
        encoder.take_windows(samples)
        assert encoder.view_samples() == samples
        with torch.inference_mode():
            for sound in (torch.zeros(2, 1, samples), 0.1 * torch.randn(2, 1, samples)):
                found = encoder(sound)
                assert found.shape == (2, encoder.dim)
                assert found.isfinite().all()
    with pytest.raises(EncoderError, match="window: 1000 samples are too few for a frame of 2048"):
        encoder.take_windows(1_000)
    assert encoder.window == 64_000
    with pytest.raises(EncoderError, match="takes windows of 2187 samples and no others, not of 16000"):
        Plain().take_windows(16_000)


def test_silence_is_standardised_by_the_floor():
    """Silence of any length is the same to the network, faint noise is not divided by its own deviation."""
    encoder = built()
    with_formula(encoder.network)
    assert torch.equal(encoder.features(torch.zeros(1, 1, 48_000)), torch.zeros(1, 96, 300))
    faint = encoder.features(1e-6 * torch.randn(1, 1, 48_000, generator=torch.Generator().manual_seed(0)))
    assert 0 < faint.abs().max() < 0.1
    with torch.inference_mode():
        silent = encoder(torch.zeros(2, 1, 48_000))
    assert silent.isfinite().all()
    torch.testing.assert_close(silent[0], silent[1], atol=1e-6, rtol=1e-5)  # some processors add up in another order


def test_a_long_file_takes_the_memory_of_a_few_windows():
    def peak(seconds):
        encoder = Plain()
        cutting = Cutting(hop_seconds=0.05)
        blocks = (np.zeros(22_050, np.int16) for _ in range(seconds))
        count = 0
        tracemalloc.start()
        for window in stream_windows(blocks, seconds * 22_050, encoder, cutting=cutting):
            count += len(window.pcm) == 2_187
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return count, found

    (few, of_ten), (many, of_six_hundred) = peak(10), peak(600)
    assert (few, many) == (200, 12_005)  # 1,102.5 samples are 1,102
    spans = 250 * many  # of where windows begin and end
    assert of_six_hundred < of_ten + spans < 2 * 600 * 22_050 / 4


def test_each_class_by_itself_is_judged_by_its_own_probability():
    outputs = np.array([[[0.0, 2.0, -1.0], [1.0, 1.0, 0.0]]], np.float32)
    found = decide(outputs, np.array([0, 2]), "multiclass", "mean_probability", "binary")
    np.testing.assert_allclose(found[0, 0], (1 / (1 + np.exp(-outputs[0]))).mean(axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match="the loss binary needs a task of classes or tags, and this one is regression"):
        check_loss("binary", "regression")


REGISTRY = """
datasets:
  notes: {class: "tasks.folder:LabelledFolder", root: notes}
  alike: {class: "tasks.folder:LabelledFolder", root: notes, args: {table: alike.csv}}
tasks:
  pitch: {dataset: notes, options: {columns: pitch}, metrics: [accuracy], corpus: notes, protocol: nsynth}
  level: {dataset: notes, options: {columns: level}, metrics: [r2], corpus: notes, protocol: nsynth}
  alike: {dataset: alike, options: {columns: pitch}, metrics: [accuracy], corpus: notes, protocol: nsynth}
corpora:
  notes: {dataset: notes}
  alike: {dataset: alike, labels: alike}
protocols:
  nsynth: &nsynth
    {source: tests, examples: clip_mean, window_seconds: 1, hop_seconds: 1, standardise: false, hidden: [], batch: 4,
     learning_rate: 1e-2, weight_decay: 0, max_steps: 40, warmup_steps: 4, schedule: cosine, keep: last}
  timeline: {<<: *nsynth, window_seconds: null, hop_seconds: 2, examples: windows, loss: binary}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve notes of 4 s, two of them silent and one of 23 ms; in a second table all training clips have one pitch."""
    folder = tmp_path_factory.mktemp("notes")
    (folder / "notes").mkdir()
    splits = ["train"] * 6 + ["valid"] * 2 + ["test"] * 4
    rows = {"labels": ["path,start,end,split,pitch,level"], "alike": ["path,split,pitch"]}
    for n, split in enumerate(splits):
        sound = np.zeros(4 * RATE, np.float32) if n in (2, 9) else tone(4, RATE, n)
        soundfile.write(folder / "notes" / f"{n:02}.wav", sound, RATE)
        end = 0.023 if n == 5 else 4
        rows["labels"].append(f"{n:02}.wav,0,{end},{split},{'ab'[n % 2]},{n / 10}")
        rows["alike"].append(f"{n:02}.wav,{split},{'a' if split == 'train' else 'ab'[n % 2]}")
    for name, lines in rows.items():
        (folder / "notes" / f"{name}.csv").write_text("\n".join([*lines, ""]))
    (folder / "registry.yaml").write_text(REGISTRY)
    return folder


def command(folder, *words):
    return ["run", "--registry", folder / "registry.yaml", "--store", folder / "store", *words]


def test_notes_are_means_of_four_windows_and_timelines_are_kept(folder):
    found = bench_json(*command(folder, "--encoder", "mule_eighth", "--recipe", "untrained", "--task", "pitch",
                                "--protocol", "nsynth", "--protocol", "timeline"))  # fmt: skip
    assert [record["protocol"] for record in found] == ["nsynth", "timeline"]
    assert all(np.isfinite(record["metrics"]["accuracy"]["value"]) for record in found)
    lengths = []
    encoder = None
    for place in sorted((folder / "store/artifacts/embed").iterdir()):
        held = open_embeddings(place)
        counts = np.diff(held.first)
        lengths.append(sorted(set(counts.tolist())))
        short, whole = held.first[5], held.first[6]
        assert counts[5] == 1  # of 23 ms, filled up with silence
        assert np.isfinite(held.rows).all()
        if counts[0] == 4:
            encoder = built()
            encoder.take_windows(RATE)
            assert held.seconds[held.first[0] : held.first[1]].tolist() == [0, 1, 2, 3]
        else:
            encoder = built()
            assert held.seconds[held.first[0] : held.first[1]].tolist() == [0, 1]
        assert whole == short + 1
    assert sorted(lengths) == [[1, 2], [1, 4]]


def test_what_cannot_be_had_is_one_line_before_anything_is_trained(folder):
    before = sorted((folder / "store").rglob("*.safetensors"))
    labelled = ("--encoder", "mule_eighth", "--recipe", "mule-demo-sup")
    for words, says in {
        ("--encoder", "sample_cnn", "--recipe", "untrained", "--task", "pitch"): "bench: encoder sample_cnn: takes "
        "windows of 59049 samples and no others, not of 22050 (1 s at 22,050 Hz); leave the window to the encoder",
        (*labelled, "--corpus", "notes", "--task", "pitch"): "bench: --corpus notes: recipe mule-demo-sup learns from "
        "labels, and it has none; name a task, or say `labels: TASK` in the corpus's entry",
        (*labelled, "--corpus", "billboard", "--task", "mtt"): "bench: --corpus billboard: recipe mule-demo-sup learns",
        # Silence is trained on and tested.
        (
            *labelled,
            "--corpus",
            "alike",
            "--task",
            "level",
            "--allow-overlap",
        ): "task alike: all 6 training clips are labelled alike, and "
        "nothing can be learnt from that; correct the table or its split, or name another task",
        ("--encoder", "mfcc", "--task", "level", "--protocol", "timeline"): "protocols.timeline.loss: the loss binary "
        "needs a task of classes or tags, and this one is regression: task level",
    }.items():
        result = bench(*command(folder, *words))
        assert result.returncode == 2, words
        assert says in result.stderr, result.stderr
        assert "Traceback" not in result.stderr
    assert sorted((folder / "store").rglob("*.safetensors")) == before


def test_files_are_encoded_at_the_hop_and_window_that_are_asked_for(folder):
    file, output = folder / "notes" / "00.wav", folder / "out.npz"
    words = ("encode", file, "--encoder", "mule_eighth", "--untrained", "-o", output)
    for options, starts in (((), [0]), (("--hop", 0.5), [0, 0.5, 1]), (("--window", 1, "--hop", 1), [0, 1, 2, 3])):
        result = bench(*words, *options)
        assert result.returncode == 0, result.stderr
        with np.load(output) as found:
            assert found["seconds"].tolist() == starts
            assert len(found["embeddings"]) == len(starts)


@pytest.mark.slow
def test_a_network_trained_on_the_tags_of_one_dataset_is_probed_on_the_genres_of_another(tmp_path):
    sizes = ("--batch", 2, "--set", "steps=3", "--set", "warmup_steps=1")
    untrained, trained = bench_json("run", "--store", tmp_path / "store", "--encoder", "mule_eighth", "--recipe",
                                    "untrained", "--recipe", "mule-sup", "--corpus", "magnatagatune", "--task", "gtzan",
                                    *sizes)  # fmt: skip
    assert (untrained["recipe_name"], trained["recipe_name"]) == ("untrained", "mule-sup")
    assert trained["corpus"] == "magnatagatune"
    assert trained["overlap"]["clips"] == 0
    assert trained["weights_sha256"] != untrained["weights_sha256"]
    for record in (untrained, trained):
        right = record["metrics"]["accuracy"]["value"] * record["n_scored"]["test"]
        assert right == pytest.approx(round(right))
    (training,) = (tmp_path / "store/artifacts/supervise").iterdir()
    losses = (training / "losses.csv").read_text().splitlines()
    # Of 50 tags as a new head sees them: each as likely as not.
    assert float(losses[1].split(",")[2]) == pytest.approx(np.log(2), abs=0.05)
    assert len(losses) == 1 + 3
