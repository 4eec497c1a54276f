"""`bench import` on files laid out as CLMR and TUNe released theirs, and on files that are something else."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import bench, bench_json
from encoder_weights import chirps, published_state, seeded

from benchmark.data.published_weights import import_weights
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.registry.registry import load_registry
from encoders import EncoderError
from encoders.sample_cnn import SampleCNN
from encoders.tune import TUNe
from encoders.weights import load_weights, save_weights

KEYS = Path(__file__).parent.parent.parent / "shared" / "golden" / "encoders" / "keys.json"


def prefixed(prefix, state):
    return {prefix + key: tensor for key, tensor in state.items()}


def lightning(state):
    """A Lightning file as the released code wrote it: the encoder twice, a projector, and plain objects."""
    return {
        "epoch": 3,
        "global_step": 40,
        "pytorch-lightning_version": "1.8.0",
        "state_dict": {
            **prefixed("encoder.", state),
            **prefixed("model.encoder.", state),
            "model.projector.0.weight": torch.ones(512, 512),
            "model.projector.2.weight": torch.ones(64, 512),
        },
        "hyper_parameters": {"learning_rate": 3e-4, "supervised": False, "gpus": None, "sizes": [1, 2]},
        "callbacks": {"EarlyStopping": {"best_score": torch.tensor(1.0), "patience": 3}},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 3e-4}]}],
    }


def plain(state, size=64):
    return {
        **prefixed("encoder.", state),
        "projector.0.weight": torch.ones(512, 512),
        "projector.2.weight": torch.ones(size, 512),
    }


def oldest(state):
    """``conv<n>.<m>`` in place of ``sequential.<n - 1>.<m>``."""
    renamed = {}
    for key, tensor in state.items():
        _, number, rest = key.split(".", 2)
        renamed[f"conv{int(number) + 1}.{rest}"] = tensor
    return plain(renamed, size=128)


def head_beside(state):
    return {
        "state_dict": {
            **prefixed("encoder.", state),
            "model.0.weight": torch.ones(512, 512),
            "model.2.weight": torch.ones(50, 512),
            "model.2.bias": torch.ones(50),
        }
    }


LAYOUTS = {
    "lightning": lightning,
    "plain": plain,
    "v1": lambda state: plain(state, size=128),
    "oldest": oldest,
    "head beside the encoder": head_beside,
    "with fc": lambda state: {**state, "fc.weight": torch.ones(50, 512), "fc.bias": torch.ones(50)},
    "bare": dict,
}


@pytest.fixture(scope="module")
def clmr():
    return seeded(SampleCNN(), 11)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_released_layout_of_clmr_loads(clmr, tmp_path, layout):
    torch.save(LAYOUTS[layout](published_state(clmr)), tmp_path / "w.ckpt")
    found = SampleCNN()
    load_weights(found, tmp_path / "w.ckpt")
    for key, tensor in clmr.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor), key


def test_safetensors_in_a_released_layout_load(clmr, tmp_path):
    safetensors.torch.save_file(plain(published_state(clmr)), tmp_path / "w.safetensors")
    found = SampleCNN()
    load_weights(found, tmp_path / "w.safetensors")
    assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in clmr.state_dict().items())


@pytest.mark.parametrize(
    "args",
    [
        dict(filters=4, tail=9, plus=True),
        dict(filters=2, contractive=6, expansive=6),
        dict(filters=2, expansive=2, tail=2),
        dict(filters=2, tail="sample_cnn"),
    ],
    ids=str,
)
def test_lightning_files_of_tune_load(tmp_path, args):
    encoder = seeded(TUNe(**args), 12)
    torch.save(lightning(published_state(encoder)), tmp_path / "w.ckpt")
    found = TUNe(**args)
    load_weights(found, tmp_path / "w.ckpt")
    assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in encoder.state_dict().items())


@pytest.mark.skipif(not KEYS.is_file(), reason="the list of published keys is not part of the repository")
@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("SampleCNN", lambda: SampleCNN()),
        ("Tune5Tail", lambda: TUNe(filters=11, tail=9)),
        ("TunePlus", lambda: TUNe(filters=11, tail=9, plus=True)),
    ],
)
def test_published_names_and_shapes_are_exactly_ours(name, encoder):
    state = published_state(encoder())
    expected = {
        entry["key"]: (entry["shape"], f"torch.{entry['dtype']}") for entry in json.loads(KEYS.read_text())[name]
    }
    assert {key: (list(tensor.shape), str(tensor.dtype)) for key, tensor in state.items()} == expected


def test_an_encoder_of_ones_own_names_what_others_published(tmp_path):
    class Renamed(SampleCNN):
        def published_names(self):
            return {"stem.convolution.": "blocks.0.conv."}

    encoder = seeded(Renamed(), 3)
    state = encoder.state_dict()
    for leaf in ("weight", "bias"):
        state[f"stem.convolution.{leaf}"] = state.pop(f"blocks.0.conv.{leaf}")
    torch.save(state, tmp_path / "w.pt")
    found = Renamed()
    load_weights(found, tmp_path / "w.pt")
    assert torch.equal(found.blocks[0].conv.weight, encoder.blocks[0].conv.weight)


def test_weights_that_stand_twice_must_agree(clmr, tmp_path):
    content = lightning(published_state(clmr))
    content["state_dict"]["encoder.sequential.3.0.bias"] = torch.zeros(256)
    torch.save(content, tmp_path / "w.ckpt")
    expected = r"sequential.3.0.bias twice, as encoder.sequential.3.0.bias and as model.encoder.*, and they differ"
    with pytest.raises(EncoderError, match=expected):
        load_weights(SampleCNN(), tmp_path / "w.ckpt")


class Foreign:
    """Stands for an object of a training code's own class."""


def test_files_that_are_no_weights_say_what_they_are(clmr, tmp_path):
    state = published_state(clmr)
    file = tmp_path / "w.ckpt"

    def complaint(content):
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        with pytest.raises(EncoderError) as caught:
            load_weights(SampleCNN(), file)
        return str(caught.value)

    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9500000\n"
    assert "a Git LFS pointer stands in their place; run `git lfs pull`" in complaint(pointer)
    assert "a web page was saved in their place" in complaint(b"\n<!DOCTYPE html><html>sign in</html>")
    assert "the file is empty" in complaint(b"")
    assert "neither a safetensors file nor one that PyTorch wrote" in complaint(b"some text\n" * 9)
    assert f"holds Python objects beside its tensors ({__name__}.Foreign)" in complaint({"a": Foreign()})
    assert "holds a head or projector (0.weight, 0.bias) and no encoder" in complaint(
        {"0.weight": torch.ones(50, 512), "0.bias": torch.ones(50)}
    )
    short = {key: tensor for key, tensor in state.items() if not key.startswith("sequential.4.0")}
    assert "lacks blocks.4.conv.weight, blocks.4.conv.bias" in complaint(short)
    assert "holds sequential.11.0.weight, which the encoder" in complaint(
        {**state, "sequential.11.0.weight": torch.ones(1)}
    )
    wide = {**state, "sequential.0.0.weight": torch.ones(64, 1, 3), "sequential.0.0.bias": torch.ones(64)}
    assert (
        "blocks.0.conv.weight has shape [64, 1, 3], the encoder [128, 1, 3]; other shapes differ too: "
        "blocks.0.conv.bias" in complaint(wide)
    )


def test_tied_weights_can_be_saved(tmp_path):
    encoder = TUNe(filters=2, tail=9)
    encoder.tail[6].conv.weight = encoder.tail[5].conv.weight
    save_weights(encoder, tmp_path / "w.safetensors")
    assert torch.equal(
        safetensors.torch.load_file(tmp_path / "w.safetensors")["tail.6.conv.weight"], encoder.tail[5].conv.weight
    )


def test_imported_weights_are_an_encoder_like_any_other(clmr, tmp_path, mtt):
    """From a released Lightning file to a score, in two commands."""
    data, _ = mtt
    torch.save(lightning(published_state(clmr)), tmp_path / "released.ckpt")
    own = tmp_path / "registry.yaml"
    own.write_text("# mine\nencoders:\n  # the old one\n  old: {class: 'a:B'}  # keep\n\n# that is all\n")
    report = bench_json("import", "released.ckpt", "--encoder", "sample_cnn", "--as", "clmr", cwd=tmp_path)
    assert (report["encoder"], report["parameters"], report["weights"]) == ("clmr", 2_368_512, "clmr.safetensors")
    assert own.read_text() == (
        "# mine\nencoders:\n  # the old one\n  old: {class: 'a:B'}  # keep\n"
        "  clmr:\n    class: encoders.sample_cnn:SampleCNN\n    weights: clmr.safetensors\n"
        "    description: sample_cnn with the weights of released.ckpt\n\n# that is all\n"
    )
    named = load_registry([own]).encoder("clmr")
    built = build_encoder(named, 0, tmp_path / named.entry.weights).eval()
    with torch.inference_mode():
        assert torch.equal(built(chirps(59_049)), clmr(chirps(59_049)))
    assert "clmr" in bench("list", cwd=tmp_path).stdout
    arguments = ("--task", "mtt", "--data", data, "--store", tmp_path / "store")
    (record,) = bench_json("run", "--encoder", "clmr", *arguments, cwd=tmp_path)
    assert (record["encoder"], record["recipe"], record["parameters"]) == ("clmr", "as-given", 2_368_512)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_refused_import_leaves_nothing(clmr, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "released.ckpt"
    torch.save(plain(published_state(clmr)), file)
    own = Path("registry.yaml")
    own.write_text("encoders:\n  mine: {class: 'a:B'}\n")
    before = contents(tmp_path)
    with pytest.raises(UserError, match="--as mine: there is an encoder of that name"):
        import_weights(file, "sample_cnn", "mine", own)
    with pytest.raises(UserError, match="--as tune_plus: there is an encoder of that name"):
        import_weights(file, "sample_cnn", "tune_plus", own)
    with pytest.raises(UserError, match="cannot name a file"):
        import_weights(file, "sample_cnn", "../clmr", own)
    with pytest.raises(UserError, match="unknown encoder 'sample_cn'. Did you mean 'sample_cnn'?"):
        import_weights(file, "sample_cn", "clmr", own)
    with pytest.raises(EncoderError, match="lacks contractive.0.conv.weight"):
        import_weights(file, "tune_plus", "clmr", own)
    with pytest.raises(EncoderError, match="there is no such file"):
        import_weights(tmp_path / "nowhere.ckpt", "sample_cnn", "clmr", own)
    assert contents(tmp_path) == before
    # A full disk while the registry is written takes the weights with it.
    monkeypatch.setattr(
        "benchmark.registry.added_entries.write_atomically", lambda *_: (_ for _ in ()).throw(OSError("no space"))
    )
    with pytest.raises(OSError, match="no space"):
        import_weights(file, "sample_cnn", "clmr", own)
    assert contents(tmp_path) == before


def test_the_frozen_tail_takes_imported_weights(clmr, tmp_path, monkeypatch):
    """The built-in entry says what is missing; one of the user's own names it."""
    from benchmark.plan.planner import Planner

    monkeypatch.chdir(tmp_path)
    torch.save(plain(published_state(clmr)), "released.pt")
    import_weights(Path("released.pt"), "sample_cnn", "clmr", Path("registry.yaml"))
    name = "tune_clmr_tail_frozen"
    with pytest.raises(UserError, match=r"files: \{tail_weights: FILE\}"):
        Planner(load_registry(), None, None, None).initialise_step(load_registry().encoder(name), 0)
    with Path("registry.yaml").open("a") as file:
        entry = load_registry().encoder(name).entry
        file.write(
            f"  {name}:\n    class: {entry.class_path}\n    args: {json.dumps(entry.args)}\n"
            "    files: {tail_weights: clmr.safetensors}\n"
        )
    encoder = build_encoder(load_registry([Path("registry.yaml")]).encoder(name), 3)
    assert torch.equal(encoder.tail.blocks[7].conv.weight, clmr.blocks[7].conv.weight)
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == 153_993


def small_network():
    """A network whose file of weights is small."""
    return TUNe(filters=2, contractive=2, expansive=2, tail=4, dim=16, window=6561)


def averaged(state):
    return {"n_averaged": torch.tensor(7), **prefixed("module.", state)}


#: As people save a state dict: by several GPUs, compiled, averaged, beside what training needs.
SAVED = {
    "data parallel": lambda state: prefixed("module.", state),
    "compiled": lambda state: prefixed("_orig_mod.", state),
    "compiled and parallel": lambda state: prefixed("module._orig_mod.", state),
    "Lightning, compiled": lambda state: {"state_dict": prefixed("model._orig_mod.", state)},
    "Lightning, parallel": lambda state: {"state_dict": prefixed("model.module.", state)},
    "compiled inside": lambda state: {key.replace("conv.", "conv._orig_mod."): value for key, value in state.items()},
    "averaged": averaged,
    "DeepSpeed": lambda state: {"module": prefixed("_forward_module.", state)},
    "model": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 3},
    "backbone": lambda state: {"model": prefixed("backbone.", state), "args": {"seed": 1}},
    "student": lambda state: prefixed("student.", state),
    "nested": lambda state: {"best_state": {"model": state}, "xp": "abc"},
}


@pytest.mark.parametrize("saved", SAVED)
def test_state_dicts_load_as_people_save_them(tmp_path, saved):
    small = seeded(small_network(), 5)
    file = tmp_path / "w.safetensors"  # which it is not, whatever it is called
    torch.save(SAVED[saved](dict(small.state_dict())), file)
    found = small_network()
    load_weights(found, file)
    assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in small.state_dict().items())


def test_of_several_state_dicts_the_averaged_one_is_taken_and_said(tmp_path):
    last, mean = seeded(small_network(), 5), seeded(small_network(), 6)
    content = {"model": last.state_dict(), "state_dict_ema": averaged(mean.state_dict()), "epoch": 3}
    torch.save(content, tmp_path / "w.pt")
    found, said = small_network(), []
    load_weights(found, tmp_path / "w.pt", said.append)
    assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in mean.state_dict().items())
    assert said == [f"{tmp_path / 'w.pt'}: took state_dict_ema and left model"]


def test_weights_in_several_files_are_joined_by_their_index(tmp_path):
    small = seeded(small_network(), 5)
    state = small.state_dict()
    names = list(state)
    places = {name: f"model-0000{1 + (n > 4)}-of-00002.safetensors" for n, name in enumerate(names)}
    for file in dict.fromkeys(places.values()):
        safetensors.torch.save_file({name: state[name] for name in names if places[name] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    found = small_network()
    load_weights(found, index)
    assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in state.items())

    def refused(weight_map, said):
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(EncoderError, match=said):
            load_weights(small_network(), index)

    refused({}, "has no weight_map")
    refused(places | {"more": places[names[0]]}, "its files lack more")
    refused(places | {names[0]: "../out.safetensors"}, r"names ../out.safetensors, which does not lie beside it")
    refused(places | {names[0]: "gone.safetensors"}, "gone.safetensors: there is no such file")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    state = seeded(small_network(), 5).state_dict()
    key = list(state)[2]
    state[key] = state[key].clone()
    state[key].view(-1)[0] = value
    torch.save(state, tmp_path / "w.pt")
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    for file in ("w.pt", "w.safetensors"):
        with pytest.raises(EncoderError, match=f"{key} holds values that are not finite; the training"):
            load_weights(small_network(), tmp_path / file)
