"""Test clips in a pretraining corpus: said when a run is planned, before anything is decoded."""

import numpy as np
import pytest
import soundfile
from conftest import bench

REGISTRY = """
datasets:
  sounds: {class: "tasks.folder:LabelledFolder", root: sounds}
tasks:
  sort: {dataset: sounds, metrics: [accuracy], corpus: unheard, protocol: linear}
corpora:
  unheard: {dataset: sounds, splits: [train]}
  all: {dataset: sounds}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Twelve clips, of which four are tested; a folder with copies of three of these under other names."""
    place = tmp_path_factory.mktemp("contamination")
    (place / "sounds").mkdir()
    (place / "copies").mkdir()
    rows = ["path,split,sort"]
    for number in range(12):
        samples = 0.2 * np.random.default_rng(number).standard_normal(70_000)
        soundfile.write(place / "sounds" / f"{number}.wav", samples, 22_050)
        rows.append(f"{number}.wav,{('train', 'valid', 'test')[number % 3]},c{number % 2}")
        if number in (0, 2, 5, 8):
            (place / "copies" / f"other {number}.wav").write_bytes((place / "sounds" / f"{number}.wav").read_bytes())
    (place / "sounds" / "labels.csv").write_text("\n".join(rows) + "\n")
    (place / "registry.yaml").write_text(REGISTRY)
    return place


@pytest.mark.parametrize(("corpus", "clips"), [("all", 4), ("sounds", 4), ("copies", 3), ("unheard", 0), (None, 0)])
def test_a_corpus_that_holds_test_clips_is_named_before_training(place, corpus, clips):
    words = ["--encoder", "cpc_quarter", "--encoder", "tune_plus", "--encoder", "mfcc", "--task", "sort"]
    chosen = [] if corpus is None else ["--corpus", corpus]
    shown = bench("run", *words, *chosen, "--store", "store", "--dry-run", cwd=place)
    assert shown.returncode == 0, shown.stderr
    told = [line for line in shown.stderr.splitlines() if "CONTAMINATED" in line]
    assert len(told) == (clips > 0)
    if clips:
        assert told[0].startswith(f"CONTAMINATED: corpus {corpus} holds {clips} of 4 test clips of sort; ")
        assert told[0].endswith("A corpus `{dataset: sounds, splits: [train]}` leaves them out")
    assert not (place / "store" / "artifacts").exists()


def test_hand_made_features_hear_nothing(place):
    shown = bench(
        "run", "--encoder", "mfcc", "--task", "sort", "--corpus", "all", "--store", "s", "--dry-run", cwd=place
    )
    assert "CONTAMINATED" not in shown.stderr
