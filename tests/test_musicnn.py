"""musicnn: its checkpoints read without TensorFlow, its weights fetched from a wheel, its values and its tags."""

import dataclasses
import hashlib
import io
import json
import struct
import zipfile
from itertools import takewhile

import numpy as np
import pytest
import safetensors
import soundfile
import torch
from conftest import bench, bench_json
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from loopback import Served, serve

from benchmark.console import Reporter
from benchmark.data import weight_sources, weights_fetch
from benchmark.data.tensorflow_checkpoint import read_variables
from benchmark.data.weights_fetch import fetch_weights
from benchmark.encoding.windows import build_encoder
from benchmark.errors import UserError
from benchmark.registry.published import fetched_folder, weights_file
from benchmark.registry.registry import load_registry
from encoders.musicnn_tags import TAGS

WHEEL = "musicnn-0.1.0-py3-none-any.whl"
RATE, WINDOW = 16_000, 47_872


def varint(number):
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def block(entries):
    """Entries of a sorted string table, each key without what it shares with the one before."""
    out, before = b"", b""
    for key, value in entries:
        shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(key, before, strict=False))))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return out + struct.pack("<II", 0, 1)


def checkpoint(variables):
    """A checkpoint in the layout that TensorFlow writes: index and data, the index in two blocks."""
    data, entries = b"", [(b"", field(1, 1))]
    for name, value in sorted(variables.items()):
        shape = b"".join(field(2, field(1, size)) for size in value.shape)
        kind = 1 if value.dtype == np.float32 else 9
        entry = (
            field(1, kind)
            + field(2, shape)
            + field(4, len(data))
            + field(5, value.nbytes)
            + varint(6 << 3 | 5)
            + b"crc!"
        )
        entries.append((name.encode(), entry))
        data += value.tobytes()
    index, directory = b"", []
    for part in (entries[: len(entries) // 2], entries[len(entries) // 2 :]):
        content = block(part)
        directory.append((part[-1][0] if part else b"", varint(len(index)) + varint(len(content))))
        index += content + bytes(5)
    places = varint(len(index)) + varint(len(content := block(directory)))
    index += content + bytes(5)
    footer = (varint(0) + varint(0) + places).ljust(40, b"\0")
    return index + footer + bytes.fromhex("57fb808b247547db"), data


NAMES = st.from_regex(r"[a-z]{1,8}(_1?\d)?/[a-z]{1,6}", fullmatch=True)
VALUES = arrays.arrays(np.float32, arrays.array_shapes(max_dims=4, max_side=3), elements=st.floats(-9, 9, width=32))


@settings(max_examples=50)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=8))
def test_any_checkpoint_is_read_as_it_was_written(variables):
    others = {"beta1_power": np.float32([1.0]), "conv/kernel/Adam_1": np.float32([2.0]), "step": np.int64([3])}
    found = read_variables(*checkpoint({**variables, **others}))
    assert found.keys() == variables.keys()
    assert all(
        np.array_equal(found[name], value) and found[name].shape == value.shape for name, value in variables.items()
    )


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_checkpoint_is_refused_or_read_and_nothing_else(data):
    index, content = checkpoint({"dense/kernel": np.ones((3, 4), np.float32), "dense/bias": np.ones(4, np.float32)})
    at = data.draw(st.integers(0, len(index) - 1))
    damaged = data.draw(st.sampled_from([index[:at], index[:at] + bytes([index[at] ^ 0xFF]) + index[at + 1 :]]))
    try:
        found = read_variables(damaged, content)
    except UserError as error:
        assert "not a checkpoint of TensorFlow, or damaged" in str(error)
    else:
        assert all(value.dtype == np.float32 for value in found.values())
    with pytest.raises(UserError, match="damaged"):
        read_variables(index, content[:-1])


def norm(name, channels, rng):
    values = {"gamma": rng.uniform(0.5, 1.5, channels), "beta": rng.normal(0, 0.1, channels)}
    values |= {"moving_mean": rng.normal(0, 0.1, channels), "moving_variance": rng.uniform(0.5, 1.5, channels)}
    return {f"{name}/{key}": value.astype(np.float32) for key, value in values.items()}


def layer(name, shape, rng):
    scale = 1 / np.sqrt(np.prod(shape[:-1]))
    return {
        f"{name}/kernel": rng.normal(0, scale, shape).astype(np.float32),
        f"{name}/bias": rng.normal(0, 0.1, shape[-1]).astype(np.float32),
    }


#: As the released checkpoints have them: [time, bands, in, out] and [in, out].
KERNELS = {
    "conv2d": (7, 38, 1, 204), "conv2d_1": (7, 67, 1, 204), "conv2d_2": (128, 1, 1, 51), "conv2d_3": (64, 1, 1, 51),
    "conv2d_4": (32, 1, 1, 51), "conv2d_5": (7, 561, 1, 64), "conv2d_6": (7, 64, 1, 64), "conv2d_7": (7, 64, 1, 64),
    "dense": (1506, 200), "dense_1": (200, 50),
}  # fmt: skip
NORMS = (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)
VGG_KERNELS = {f"{n}CNN": (3, 3, 1 if n == 1 else 128, 128) for n in range(1, 6)} | {"dense": (256, 50)}
VGG_NORMS = (1, *[128] * 5)


def variables(kernels, norms, seed):
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in kernels.items():
        found |= layer(name, shape, rng)
    for number, channels in enumerate(norms):
        found |= norm("batch_normalization" + (f"_{number}" if number else ""), channels, rng)
    return found


def weights_in(folder, monkeypatch):
    """Have fetched weights lie in a folder of their own, in this process and in those that are started."""
    monkeypatch.delenv("BENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))


@pytest.fixture(scope="module")
def released():
    """Variables of four models of the released shapes, and a wheel that carries them as musicnn's does."""
    models = {}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        for seed, name in enumerate(("MTT_musicnn", "MSD_musicnn", "MTT_vgg", "MSD_vgg")):
            shapes = (VGG_KERNELS, VGG_NORMS) if "vgg" in name else (KERNELS, NORMS)
            models[name] = variables(*shapes, seed)
            index, data = checkpoint(models[name] | {"conv2d/kernel/Adam": np.ones(3, np.float32)})
            wheel.writestr(f"musicnn/{name}/.index", index)
            wheel.writestr(f"musicnn/{name}/.data-00000-of-00001", data)
        wheel.writestr("musicnn-0.1.0.dist-info/LICENSE.md", "ISC of the tests")
    return models, content.getvalue()


@pytest.fixture
def registry_of_wheels(released, tmp_path, monkeypatch):
    """A package registry on this machine that has the wheel, which pip is set up with; weights go to a new folder."""
    _, wheel = released
    digest = hashlib.sha256(wheel).hexdigest()
    link = f'<a href="../../other.whl">other</a><a href="../../{WHEEL}#sha256={digest}">{WHEEL}</a>'
    source = dataclasses.replace(weight_sources.SOURCES["musicnn"], sha256=digest)
    monkeypatch.setitem(weight_sources.SOURCES, "musicnn", source)
    weights_in(tmp_path, monkeypatch)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with serve(
        {
            "simple/musicnn/": Served(link.encode(), "web page"),
            WHEEL: Served(wheel),
        }
    ) as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.url("simple/"))
        yield server


def encoder(name):
    named = load_registry().encoder(name)
    return build_encoder(named, 0, weights_file(named)).eval()


def test_weights_are_fetched_checked_and_turned_into_ours(registry_of_wheels, released, tmp_path, capsys):
    registry_of_wheels.files[WHEEL].manner = "cut"
    files = fetch_weights("musicnn", None, Reporter())
    first, second = registry_of_wheels.files[WHEEL].ranges
    assert first == ""
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 1_000_000  # gone on with
    folder = tmp_path / "bench-weights" / "musicnn"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["LICENCE", *(file.name for file in files)])
    assert (folder / "LICENCE").read_text() == "ISC of the tests"
    with safetensors.safe_open(files[0], "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert (about["licence"], about["package"], about["file"]) == ("ISC", "musicnn==0.1.0", "MTT_musicnn.safetensors")
    assert "musicnn: licence: ISC; source: Pons and Serra 2019" in capsys.readouterr().err

    models, _ = released
    mtt, vgg = encoder("musicnn_mtt"), encoder("musicnn_vgg_msd")
    kernel = models["MTT_musicnn"]["conv2d_1/kernel"]
    assert np.array_equal(mtt.timbral[1].conv.weight.detach(), kernel.transpose(3, 2, 0, 1))
    assert np.array_equal(mtt.temporal[2].conv.bias.detach(), models["MTT_musicnn"]["conv2d_4/bias"])
    assert np.array_equal(mtt.head[1].weight, models["MTT_musicnn"]["dense/kernel"].T)
    assert np.array_equal(mtt.head[3].running_var, models["MTT_musicnn"]["batch_normalization_10/moving_variance"])
    assert np.array_equal(mtt.middle[0].norm.weight.detach(), models["MTT_musicnn"]["batch_normalization_6/gamma"])
    assert np.array_equal(vgg.blocks[4].conv.weight.detach(), models["MSD_vgg"]["5CNN/kernel"].transpose(3, 2, 0, 1))
    assert np.array_equal(vgg.head.weight, models["MSD_vgg"]["dense/kernel"].T)
    assert float(vgg.norm.running_mean) == models["MSD_vgg"]["batch_normalization/moving_mean"]

    asked = [len(served.ranges) for served in registry_of_wheels.files.values()]
    fetch_weights("musicnn", None, Reporter())  # all there: nothing is asked
    assert asked == [len(served.ranges) for served in registry_of_wheels.files.values()]


def test_weights_that_cannot_be_had_say_why_and_leave_nothing(registry_of_wheels, released, tmp_path):
    registry_of_wheels.files[WHEEL].content = released[1][:-1] + b"x"
    with pytest.raises(UserError, match="cannot be fetched, and the same command goes on from here: .* checksum"):
        fetch_weights("musicnn", None, Reporter())
    by_hand = "run `pip download --no-deps musicnn==0.1.0` where that works, and pass the wheel with --from"
    registry_of_wheels.files["simple/musicnn/"].content = b"nothing"
    with pytest.raises(UserError, match=f"pip's index does not list {WHEEL}; {by_hand}"):
        fetch_weights("musicnn", None, Reporter())
    del registry_of_wheels.files["simple/musicnn/"]
    with pytest.raises(UserError, match=f"pip's index gives no answer: 404 .*; {by_hand}"):
        fetch_weights("musicnn", None, Reporter())
    own = tmp_path / "own.whl"
    own.write_bytes(b"PK")
    with pytest.raises(UserError, match=r"own.whl: is not musicnn-0.1.0-py3-none-any.whl as published"):
        fetch_weights("musicnn", own, Reporter())
    with pytest.raises(UserError, match="unknown weights to fetch 'musicn'. Did you mean 'musicnn'?"):
        fetch_weights("musicn", None, Reporter())
    assert not (tmp_path / "bench-weights" / "musicnn").exists()

    own.write_bytes(released[1])
    fetch_weights("musicnn", own, Reporter())  # by hand, from another machine
    assert own.exists()


def test_a_wheel_of_other_variables_is_refused(released, tmp_path, monkeypatch):
    models, _ = released
    for change, said in (
        ({"dense/bias": None}, "MTT_musicnn: its checkpoint lacks dense/bias"),
        ({"more/kernel": np.ones(2, np.float32)}, "MTT_musicnn: its checkpoint holds more/kernel"),
        ({"dense/bias": np.ones(3, np.float32)}, r"dense/bias has shape \[3\], the network \[200\]"),
    ):
        kept = {name: value for name, value in (models["MTT_musicnn"] | change).items() if value is not None}
        index, data = checkpoint(kept)
        with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
            wheel.writestr("musicnn-0.1.0.dist-info/LICENSE.md", "")
            wheel.writestr("musicnn/MTT_musicnn/.index", index)
            wheel.writestr("musicnn/MTT_musicnn/.data-00000-of-00001", data)
        digest = hashlib.sha256((tmp_path / "w.whl").read_bytes()).hexdigest()
        source = dataclasses.replace(weight_sources.SOURCES["musicnn"], sha256=digest)
        monkeypatch.setitem(weight_sources.SOURCES, "musicnn", source)
        weights_in(tmp_path, monkeypatch)
        with pytest.raises(UserError, match=said):
            weights_fetch.fetch_weights("musicnn", tmp_path / "w.whl", Reporter())
        assert not list((tmp_path / "bench-weights" / "musicnn").glob("*.safetensors"))


@pytest.fixture
def fetched(released, tmp_path, monkeypatch):
    """Weights of the released shapes where fetched ones lie."""
    (tmp_path / WHEEL).write_bytes(released[1])
    digest = hashlib.sha256(released[1]).hexdigest()
    source = dataclasses.replace(weight_sources.SOURCES["musicnn"], sha256=digest)
    monkeypatch.setitem(weight_sources.SOURCES, "musicnn", source)
    weights_in(tmp_path, monkeypatch)
    fetch_weights("musicnn", tmp_path / WHEEL, Reporter())
    return tmp_path


def sweep(samples):
    """The waveform of the golden values: partials, vibrato and a glissando."""
    n = np.arange(samples)
    slow = np.sin(2 * np.pi * 2 * n / RATE)
    x = 0.3 * np.sin(2 * np.pi * 220 * n / RATE) + 0.2 * np.sin(2 * np.pi * 1760 * n / RATE + slow)
    return (x + 0.1 * np.sin(2 * np.pi * (200 + 400 * n / RATE) * n / RATE)).astype(np.float32)


@torch.inference_mode()
def test_the_spectrogram_is_the_published_one(fetched):
    """Golden values of the input, which needs no weights; loud bins stay finite, whatever 16 bits hold."""
    one = encoder("musicnn_mtt")
    found = one.features(torch.from_numpy(sweep(48_256)[:WINDOW])[None, None])
    assert found.shape == (1, 96, 187)
    places = [found[0, 0, 0], found[0, 5, 10], found[0, 40, 100], found[0, 95, 186], found.mean()]
    assert np.allclose([float(place) for place in places], [4.54384, 5.00573, 0.15053, 0, 0.572166], atol=2e-5)
    loud = torch.sign(torch.sin(torch.arange(WINDOW) * 0.1))[None, None]
    assert one.features(loud).max() > np.log10(65_504)
    assert one.features(loud).isfinite().all()


@torch.inference_mode()
def test_layers_are_parts_of_one_another(fetched):
    x = torch.from_numpy(sweep(WINDOW))[None, None]
    one = encoder("musicnn_mtt")
    representation, out = one.represent(x, one.layers())
    sizes = dict(timbral=408, temporal=153, frontend=561, cnn1=64, cnn2=64, cnn3=64, mean_pool=753, max_pool=753)
    assert {name: value.shape[1] for name, value in out.items()} == sizes | dict(penultimate=200, tags=50)
    assert torch.equal(representation, torch.cat([out["mean_pool"], out["max_pool"]], dim=1))
    joined = torch.cat([out[name] for name in ("timbral", "temporal", "cnn1", "cnn2", "cnn3")], dim=1)
    torch.testing.assert_close(out["mean_pool"], joined)
    assert ((out["tags"] > 0) & (out["tags"] < 1)).all()
    values, seconds = one.frames(x, "cnn3")
    assert values.shape == (1, 187, 64)
    assert np.allclose(seconds, np.arange(187) * 0.016)
    vgg = encoder("musicnn_vgg_mtt")
    representation, out = vgg.represent(x, vgg.layers())
    assert representation.shape == (1, 256)
    torch.testing.assert_close(representation.reshape(1, 2, 128).mean(dim=1), out["pool5"])
    assert vgg.frames(x, "pool1")[0].shape == (1, 92, 128)
    # Heads are no part of what is counted: 787,159 and 605,748 in all, by the facts.
    assert one.parameter_count() == 787_159 - (2 * 1506 + 1506 * 200 + 200 + 400 + 200 * 50 + 50)
    assert vgg.parameter_count() == 605_748 - (256 * 50 + 50)


def test_tags_of_files_are_means_over_patches_of_the_whole_spectrogram(fetched):
    """As the released code cuts them: the first frame of a patch also hears what comes before the patch."""
    samples = sweep(3 * WINDOW + 900)
    soundfile.write(fetched / "long.wav", samples, RATE, subtype="PCM_16")
    soundfile.write(fetched / "short.wav", samples[:WINDOW], RATE, subtype="PCM_16")
    found = bench_json("tag", "long.wav", "short.wav", "--encoder", "musicnn_msd", cwd=fetched)
    assert [(row["file"], row["windows"]) for row in found] == [("long.wav", 3), ("short.wav", 1)]
    one = encoder("musicnn_msd")
    heard = torch.from_numpy(soundfile.read(fetched / "long.wav", dtype="float32")[0])
    with torch.inference_mode():
        spectrogram = one.front_end.compressed(one.front_end.mels(heard).half().float())
        patches = torch.stack([spectrogram[:, 187 * n : 187 * (n + 1)] for n in range(3)])
        expected = one.maps(patches)["tags"][0].mean(dim=0)
        alone = one.tags(heard[: 3 * WINDOW].reshape(3, 1, WINDOW)).mean(dim=0)
    tags = torch.tensor([found[0]["tags"][name] for name in TAGS["million_song"]])
    # Mels that lie between two numbers of 16 bits are rounded either way.
    apart = (tags - expected).abs().max()
    assert apart < 2e-4
    assert (alone - expected).abs().max() > 10 * apart
    assert list(found[0]["tags"].values()) == sorted(found[0]["tags"].values(), reverse=True)
    shown = bench("tag", "short.wav", "--encoder", "musicnn_msd", "--top", "2", cwd=fetched).stdout.splitlines()
    name, probability = next(iter(found[1]["tags"].items()))
    assert shown[0] == "short.wav: mean of 1 windows"
    assert (shown[1].split()[-1], len(shown)) == (f"{probability:.3f}", 3)
    assert shown[1].strip().startswith(name)
    refused = bench("tag", "short.wav", "--encoder", "mfcc", cwd=fetched)
    assert "encoder mfcc: has no tags of its own" in refused.stderr


def test_scores_say_what_the_weights_were_trained_on(fetched, mtt):
    data, _ = mtt
    options = ("--task", "mtt", "--data", data, "--store", fetched / "store")
    both = ("--encoder", "musicnn_mtt", "--encoder", "musicnn_msd")
    records = bench_json("run", *both, *options, cwd=fetched)
    of = {record["encoder"]: record for record in records}
    [mtt_weights] = of["musicnn_mtt"]["published"]
    assert (mtt_weights["trained_on"], mtt_weights["licence"], mtt_weights["context_seconds"]) == (
        "labels",
        "ISC",
        2.992,
    )
    assert of["musicnn_msd"]["published"][0]["trained_on"] == ""
    assert {record["heard_seconds"] for record in records} == {2.992}
    assert of["musicnn_mtt"]["overlap"]["clips"] == 0
    shown = bench("run", *both, *options, cwd=fetched).stdout
    assert "musicnn_mtt: its publishers trained it with labels of the dataset of mtt" in shown
    assert "musicnn_msd: its publishers" not in shown
    report = bench("report", "--store", fetched / "store", "--format", "md", "-o", "-", cwd=fetched).stdout
    assert r"musicnn\_mtt ¶" in report
    assert "¶: trained by its publishers on this dataset." in report


def test_what_is_lacking_is_said_before_anything_is_decoded(tmp_path, mtt, monkeypatch):
    weights_in(tmp_path, monkeypatch)
    data, _ = mtt
    store = tmp_path / "store"
    options = ("--task", "mtt", "--data", data, "--store", store)
    lacks = "its weights are not on this machine, and nothing is fetched unasked: run `bench fetch-weights musicnn`"
    refused = bench("run", "--encoder", "musicnn_mtt", *options, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.endswith(f"bench: encoder musicnn_mtt: {lacks}\n")
    assert not (store / "artifacts" / "prepare").exists()
    for command in (["check", "musicnn_mtt"], ["tag", "x.wav", "--encoder", "musicnn_vgg_msd"]):
        assert lacks in bench(*command, cwd=tmp_path).stderr
    listed = {row["name"]: row["lacks"] for row in bench_json("list", "encoders", cwd=tmp_path)}
    assert listed["musicnn_vgg_mtt"] == [lacks]
    assert listed["mfcc"] == []
    assert f"NOT YET USABLE: {lacks}" in bench("list", "encoders", cwd=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.skipif(
    not (fetched_folder() / "musicnn" / "MTT_musicnn.safetensors").is_file(),
    reason="needs the real weights: bench fetch-weights musicnn",
)
@torch.inference_mode()
def test_real_weights_give_the_golden_values():
    """Of musicnn 0.1.0 run by TensorFlow 2.15 on the same spectrogram, and as given with the task of this project."""
    x = torch.from_numpy(sweep(48_256)[:WINDOW])[None, None]
    top = {
        "musicnn_mtt": {"flute": 0.18559, "solo": 0.14461, "slow": 0.0619},
        "musicnn_msd": {"jazz": 0.22057, "blues": 0.14298, "instrumental": 0.09315},
        "musicnn_vgg_mtt": {"flute": 0.30689, "slow": 0.11857, "female": 0.09445},
        "musicnn_vgg_msd": {"experimental": 0.39101, "electronic": 0.26704, "ambient": 0.22296},
    }
    norms = {"musicnn_mtt": (229.567, 91.328, 13.199), "musicnn_msd": (130.578, 39.841, 10.242)}
    for name, expected in top.items():
        one = encoder(name)
        representation, out = one.represent(x, one.layers())
        found = dict(zip(one.tag_names, out["tags"][0].tolist(), strict=True))
        assert sorted(found, key=found.get)[: -len(expected) - 1 : -1] == list(expected)
        assert np.allclose([found[tag] for tag in expected], list(expected.values()), atol=2e-5), name
        if name in norms:
            of = [float(out[layer].norm()) for layer in ("max_pool", "mean_pool", "penultimate")]
            assert np.allclose(of, norms[name], atol=2e-3)
        else:
            expected_norm = 11.806171 if name == "musicnn_vgg_mtt" else 10.361075
            assert float(representation.norm()) == pytest.approx(expected_norm, abs=1e-4)
    out = encoder("musicnn_mtt").represent(x, ["max_pool", "mean_pool", "penultimate"])[1]
    assert np.allclose(out["max_pool"][0, [0, 1, 2, 560, 752]], [-0.0001, 4.9725, 12.141, 24.7667, 4.3436], atol=1e-4)
    assert np.allclose(out["mean_pool"][0, :3], [-0.0001, 1.5341, 7.1336], atol=1e-4)
    assert np.allclose(out["penultimate"][0, :3], [2.2332, 0.4266, 1.0697], atol=1e-4)
