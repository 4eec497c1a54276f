"""Trained weights found by name, and encoders as folders that a process without bench loads to the same effect."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.console import Reporter
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.export.carried_sources import carried_sources
from benchmark.export.encoder_folder import Origin, export_encoder
from benchmark.plan.encoder_spec import encoder_spec
from benchmark.plan.trained_weights import Wanted, find_trained, only_training
from benchmark.registry.registry import load_registry
from benchmark.steps import initialise, prepare, pretrain, standin
from benchmark.store.store import Store

REGISTRY = """
encoders:
  tiny:
    class: encoders.tune:TUNe
    args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 16, window: 6561}
  other:
    class: encoders.tune:TUNe
    args: {filters: 2, contractive: 2, expansive: 2, tail: 4, dim: 8, window: 6561}
  own:
    class: own_encoder:Own
    args: {dim: 5}
    sample_rate: 8000
"""
OWN = '''
"""An encoder that imports a neighbour, and bench's contract in two ways."""
from __future__ import annotations
import torch
import own_scale
from encoders import EncoderError
from encoders.base import Encoder


class Own(Encoder):
    def __init__(self, dim):
        super().__init__()
        self.sample_rate, self.window, self.max_window, self.dim = 8000, None, 16000, dim
        self.weight = torch.nn.Parameter(torch.randn(dim))

    def layers(self):
        return ()

    def represent(self, waveform, layers=()):
        from own_scale import SCALE
        assert issubclass(EncoderError, Exception) and own_scale.SCALE == SCALE
        return waveform.abs().mean(2) * self.weight * SCALE, {}
'''


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "encoders.yaml").write_text(REGISTRY)
    (folder / "own_encoder.py").write_text(OWN)
    (folder / "own_scale.py").write_text("SCALE = 3.0\n")
    yield load_registry([folder / "encoders.yaml"])
    for name in ("own_encoder", "own_scale"):  # of this test's folder
        sys.modules.pop(name, None)


def train(store: Store, named, recipe: str, corpus: str, seed: int, finished: str, made=False, number: int = 0) -> Path:
    """What a training leaves, but for the training."""
    start = initialise.KIND.step({**encoder_spec(named), "seed": seed, "weights": None}, {}, "initialise")
    tree = standin.KIND.step({"dataset": corpus}, {}, "stand-in")
    pcm = prepare.KIND.step({"clips": f"{corpus}{number}"}, {"standin": tree} if made else {}, "decode")
    spec = {"recipe": {"pairs": recipe}, "seed": seed}
    step = pretrain.KIND.step(spec, {"start": start, "pcm": pcm}, "pretrain")
    lineage = {one.key: {"kind": one.kind, "spec": one.spec} for one in step.lineage()}
    with store.claim(step.kind, step.key, print, True) as claim:
        (claim.work / "encoder.safetensors").write_text(step.key)
        card = {"encoder": named.name, "corpus": corpus, "recipe": recipe, "spec": spec}
        (claim.work / "card.json").write_text(json.dumps(card))
        (claim.work / "card.md").write_text(f"# {named.name}\n")
        needs = {name: {"kind": need.kind, "key": need.key} for name, need in step.needs.items()}
        manifest = {"spec": spec, "needs": needs, "inputs": dict.fromkeys(needs, ""), "lineage": lineage}
        artifact = store.finish(step.kind, step.key, {**manifest, "finished": finished}, claim)
    return artifact / "encoder.safetensors"


def test_weights_are_found_by_the_names_that_a_run_gives_them(tmp_path, registry, capsys):
    store, tiny = Store(tmp_path / "store"), registry.encoder("tiny")
    reporter = Reporter()
    train(store, registry.encoder("other"), "demo", "mtt", 0, "2030")
    only = train(store, tiny, "demo", "mtt", 3, "2020", made=True)
    assert find_trained(store.root, tiny, Wanted(), reporter).file == only  # of its own architecture, and any seed
    assert "weights of tiny: recipe demo on mtt (stand-in), seed 3, from" in capsys.readouterr().err
    changed = train(store, tiny, "demo(batch=8, pairs=64)", "mtt", 0, "2021")
    folder = train(store, tiny, "tune", "my songs", 0, "2022")
    edited = train(store, tiny, "tune", "my songs", 0, "2024", number=1)
    third = train(store, tiny, "tune", "my songs", 1, "2025")

    def find(*wanted):
        return find_trained(store.root, tiny, Wanted(*wanted), reporter).file

    assert find("demo", {"batch": 8, "pairs": 64}) == find("demo(batch=8, pairs=64)") == changed
    assert find("demo", None, None, 3) == only
    assert find("tune", None, "my songs", 1) == third
    # The lowest seed where none is said, and of the same names what was trained last, which is said.
    capsys.readouterr()
    assert find("tune") == edited
    assert (
        f"the newest of 2 of these names, of 2024; others: {folder.parent.name[:12]} of 2022" in capsys.readouterr().err
    )
    with pytest.raises(
        UserError, match="2 trainings; name one: .*--recipe tune --corpus 'my songs' --seed 0"
    ) as raised:
        find()
    assert "--recipe demo --set batch=8 --set pairs=64 --corpus mtt --seed 0" in str(raised.value)
    assert only_training(store.root, tiny, Wanted()) is None
    assert only_training(store.root, tiny, Wanted(recipe="tune")).file == third
    with pytest.raises(UserError, match="holds no such weights of tiny, only .*--corpus 'my songs' --seed 1"):
        find("demo", {"pairs": 65})
    with pytest.raises(UserError, match="holds no trained weights of own; train it with: bench run --encoder own"):
        find_trained(store.root, registry.encoder("own"), Wanted(), reporter)
    # A damaged one is none.
    third.write_text("")
    with pytest.raises(UserError, match="no such weights"):
        find("tune", None, None, 1)


#: What another project does, in a process that finds none of bench's packages.
LOAD = """
import sys
import numpy, torch
sys.path[:0] = sys.argv[1:3]
for name in ("analysis", "benchmark", "encoders", "probes", "tasks", "cli", "own_encoder", "own_scale"):
    sys.modules[name] = None
import importlib
for folder in sys.argv[1:3]:
    load = importlib.machinery.SourceFileLoader(f"load_{len(folder)}", f"{folder}/load.py").load_module().load
    encoder = load()
    waveform = torch.from_numpy(numpy.load(f"{folder}.npy"))
    with torch.inference_mode():
        numpy.save(f"{folder}.out.npy", encoder(waveform).numpy())
    again = torch.jit.load(f"{folder}/encoder.torchscript.pt")
    numpy.save(f"{folder}.graph.npy", again(waveform).detach().numpy())
    assert not encoder.training and encoder.sample_rate in (8000, 22050)
"""


def test_another_project_loads_exported_encoders_to_the_same_effect(tmp_path, registry):
    """Of bench's own architecture and of one's own, both in one process without bench."""
    store = Store(tmp_path / "store")
    tiny, own = registry.encoder("tiny"), registry.encoder("own")
    training = train(store, tiny, "demo", "mtt", 0, "2030").parent
    from encoders.weights import save_weights

    trained = build_encoder(tiny, 11)
    save_weights(trained, tmp_path / "trained.safetensors")
    (tmp_path / "t").mkdir()
    outputs = [tmp_path / "t" / "tiny", tmp_path / "own_folder"]
    origin = Origin(tmp_path / "trained.safetensors", 0, training, "recipe demo on mtt, seed 0")
    found = export_encoder(tiny, origin, outputs[0], torchscript=True)
    assert found == {"loader": 0, "torchscript": pytest.approx(0, abs=1e-6)}
    export_encoder(own, Origin(None, 7, None, "random, of seed 7"), outputs[1], torchscript=True)
    encoders = [trained, build_encoder(own, 7)]
    waveforms = []
    for output, encoder in zip(outputs, encoders, strict=True):
        waveforms.append(torch.randn(3, 1, encoder.view_samples(3.0)))
        np.save(f"{output}.npy", waveforms[-1].numpy())
    subprocess.run([sys.executable, "-P", "-c", LOAD, *map(str, outputs)], check=True, cwd=tmp_path / "t")
    for output, encoder, waveform in zip(outputs, encoders, waveforms, strict=True):
        with torch.inference_mode():
            expected = encoder.eval()(waveform).numpy()
        np.testing.assert_allclose(np.load(f"{output}.out.npy"), expected, rtol=1e-6)
        np.testing.assert_allclose(np.load(f"{output}.graph.npy"), expected, rtol=1e-4, atol=1e-6)

    assert json.loads((outputs[0] / "card.json").read_text())["corpus"] == "mtt"
    about = json.loads((outputs[0] / "encoder.json").read_text())
    assert (about["sample_rate"], about["window"], about["dim"]) == (22_050, 6_561, 16)
    readme = (outputs[0] / "README.md").read_text()
    assert "Weights: recipe demo on mtt, seed 0." in readme
    assert "6,561 samples" in readme
    assert "torch  # tried with" in (outputs[0] / "requirements.txt").read_text()
    package = next(outputs[1].glob("architecture_*"))
    assert sorted(str(file.relative_to(package)) for file in package.rglob("*.py")) == [
        "__init__.py", "encoders/__init__.py", "encoders/base.py", "encoders/time_grid.py", "own_encoder.py",
        "own_scale.py",
    ]  # fmt: skip
    assert "MIT License" in (package / "__init__.py").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "mfcc", "own"])
def test_a_runtime_without_torch_runs_an_exported_encoder(name, tmp_path, registry):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    named = registry.encoder(name)
    found = export_encoder(named, Origin(None, 5, None, "random"), tmp_path / "out", onnx=True)
    assert found["onnx"] < 1e-5
    encoder = build_encoder(named, 5).eval()
    waveform = torch.randn(4, 1, encoder.view_samples(3.0))
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "encoder.onnx"))
    (got,) = session.run(["representation"], {"waveform": waveform.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(got, encoder(waveform).numpy(), rtol=1e-3, atol=1e-4)


def test_every_shipped_architecture_is_carried_without_the_rest(registry):
    """Its sources import nothing of bench under its own names."""
    classes = {named.entry.class_path for named in registry.sections["encoders"].values()}
    for path in sorted(path for path in classes if not path.startswith(("encoders.adapters.", "own_"))):
        carried = carried_sources(path.partition(":")[0], Path())
        for file, text in carried.files.items():
            if file.name == "__init__.py" and len(file.parts) == 1:
                continue
            assert "from encoders" not in text, (path, file)
            assert "import encoders" not in text, (path, file)
            compile(text, str(file), "exec")
        assert "torch" in carried.needs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("import own_scale\n", "import own_scale\nfrom benchmark import seeds\n"),
            "loaded without bench: .*benchmark",
        ),
        (("assert issubclass", "assert not issubclass"), "the encoder raises AssertionError"),
        (("import own_scale\n", "import own_scale, json\n"), r"own_encoder.py:5: cannot be carried along: write it as"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(tmp_path, registry, change, words):
    file = tmp_path / "mine" / "own_encoder.py"
    file.write_text(file.read_text().replace(*change))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=words):
        export_encoder(registry.encoder("own"), Origin(None, 0, None, ""), tmp_path / "out")
    assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in str(path)] == before


def test_folders_that_are_there_stay(tmp_path, registry):
    (tmp_path / "out").mkdir()
    for output, words in (("out", "is there already"), ("no/out", "there is no folder")):
        with pytest.raises(UserError, match=words):
            export_encoder(registry.encoder("own"), Origin(None, 0, None, ""), tmp_path / output)
