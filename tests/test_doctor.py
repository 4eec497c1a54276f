"""`bench doctor` and what `bench` alone says."""

from __future__ import annotations

import re

import pytest
from broken_library import KINDS, bench_with, break_library
from conftest import bench, bench_json

from benchmark.examination import installation as doctor
from benchmark.examination import loading
from benchmark.examination.loading import load_apart
from benchmark.libraries import LIBRARIES


def test_a_sound_machine_is_found_sound(tmp_path):
    findings = {each["what"]: each for each in bench_json("doctor", "--full", "--store", tmp_path / "new")}
    formats = {"WAV", "MP3", "FLAC", "OGG", "resampling"}
    assert {"Python", "libraries", "GPU", "machine", "disk", "store", "data", *formats} <= findings.keys()
    # torchaudio may be one that does not load beside this torch, and extras need not be there.
    assert all(each["ok"] for each in findings.values()), findings
    for required in ("torch", "lightning", "soxr", "soundfile", "scikit-learn"):
        assert re.search(rf"\b{required} [\d.]+", findings["libraries"]["found"])
    assert findings["training"]["found"].startswith("one step with Lightning on c")
    assert findings["product"]["found"]
    assert findings["mel filters"]["found"].startswith(("torchaudio's, the same", "computed by bench itself"))
    assert "stand-ins" in findings["data"]["found"]
    assert not (tmp_path / "new").exists()


def examined(folder, *options, store="store"):
    """Exit code of `bench doctor` and its lines, by what each is about."""
    result = bench_with(folder, "doctor", "--store", folder / store, *options)
    assert "Traceback" not in result.stderr
    return result.returncode, {line.split(maxsplit=2)[1]: line for line in result.stdout.splitlines()}


def test_torchaudio_and_extras_are_only_a_note(tmp_path):
    break_library(tmp_path, "torchaudio", "system")
    (tmp_path / "transformers.py").write_text("raise ModuleNotFoundError(\"No module named 'inner'\", name='inner')")
    break_library(tmp_path, "tensorboard", "other")
    code, lines = examined(tmp_path, "--full")
    assert lines["torchaudio"].startswith("note ")
    assert "cannot be loaded: OSError: libit.so: undefined symbol: f" in lines["torchaudio"]
    assert "needed for mel filters" in lines["torchaudio"]
    assert "; bench computes mel filters itself, to the same numbers - pip install " in lines["torchaudio"]
    assert "torchaudio 2.11.0 goes with torch 2.11, torchaudio 2.11.1 with torch 2.13 or newer" in lines["torchaudio"]
    assert re.search(r" - pip install .*torchaudio", lines["torchaudio"])
    # An extra that is there and does not load is wrong; so is what lacks a dependency.
    assert lines["tensorboard"].startswith("WRONG ")
    assert "RuntimeError: built for another NumPy" in lines["tensorboard"]
    assert lines["transformers"].startswith("WRONG ")
    assert "inner" in lines["transformers"]
    assert code == 1


def test_every_broken_part_is_found_however_it_is_broken(tmp_path):
    """All at once, in all ways, and doctor goes through to the end."""
    ways = {"soxr": "system", "soundfile": "import", "lightning": "other", "pandas": "syntax", "matplotlib": "zeros"}
    ways |= {"jinja2": "missing", "requests": "import", "torch": "system", "distributed": "other"}
    for name, kind in ways.items():
        break_library(tmp_path, name, kind)
    code, lines = examined(tmp_path, "--full")
    assert code == 1
    for name, kind in ways.items():
        line = lines[LIBRARIES[name].distribution]
        assert line.startswith("WRONG "), line
        assert ("No module named" if kind == "missing" else KINDS[kind][1]) in line
        assert re.search(r" - pip install --force-reinstall --no-deps '", line), line
    assert "cannot be loaded without torch - mend that first" in lines["safetensors"]
    assert lines["torchaudio"].startswith("note ")
    assert not {"WAV", "resampling"} & lines.keys()
    assert {"machine", "disk", "store", "data"} <= lines.keys()


def test_what_is_wrong_is_said_with_what_to_do_and_what_takes_long_is_not_loaded(tmp_path):
    both = ("lightning", "transformers")
    for slow in both:
        (tmp_path / f"{slow}.py").write_text("raise SystemExit(3)")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    code, lines = examined(tmp_path, "--data", tmp_path / "nowhere", store="home")
    assert code == 1
    assert "is no folder - name the folder that holds" in lines["data"]
    assert {about for about, line in lines.items() if line.startswith("WRONG ")} == {*both, "store", "data"}
    assert lines["libraries"].startswith("note ")
    assert "not loaded, for it takes seconds" in lines["libraries"]
    assert "bench doctor --full" in lines["libraries"]
    for slow in both:
        assert f"{tmp_path}/{slow}.py hides the installed one" in lines[slow]
        assert slow not in lines["libraries"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: None, ""),
        (lambda file: file.write_text("raise ImportError\n"), "is not as it was installed"),
        (lambda file: file.unlink(), "hides the installed one"),
        (lambda file: (file.parent / "core.so").unlink(), "core.so is not as it was installed"),
    ],
)
def test_files_that_were_changed_since_they_were_installed_are_seen(tmp_path, monkeypatch, change, reason):
    package, facts = tmp_path / "lightning", tmp_path / "lightning-9.1.dist-info"
    package.mkdir()
    facts.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    (package / "core.so").write_bytes(b"0123")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: lightning\nVersion: 9.1\n")
    (facts / "RECORD").write_text("lightning/__init__.py,,6\nlightning/core.so,,4\nlightning-9.1.dist-info/RECORD,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    change(package / "__init__.py")
    found = loading.look_at("lightning")
    assert reason in found.reason
    assert bool(found.reason) == bool(reason)


def test_a_library_that_crashes_or_hangs_takes_nothing_down(tmp_path, monkeypatch):
    (tmp_path / "soxr.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    (tmp_path / "pooch.py").write_text("import time\ntime.sleep(600)")
    (tmp_path / "yaml.py").write_text("print('a word'); raise SystemExit(7)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loading, "PATIENCE", 8.0)
    found = load_apart([["rich", "yaml", "soxr", "pooch", "jinja2"], ["soxr", "rich"]])
    assert found["yaml"].reason == "ends the process, with exit code 7"
    assert found["pooch"].reason == "hangs: not done after 8 s"
    assert found["soxr"].reason == "crashes, by SIGSEGV"
    assert found["jinja2"].reason == ""
    # What rests on the first of a group is not tried after that has crashed.
    assert found["rich"].reason == "not tried, for it rests on soxr"


@pytest.mark.parametrize("text", ["", "def resample(x, a, b):\n    return x\n__libsoxr_version__ = ''"])
def test_what_loads_and_does_not_work_is_wrong(tmp_path, monkeypatch, text):
    (tmp_path / "soxr.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(doctor.sys.modules, "soxr", raising=False)
    finding = doctor._tried("resampling", "soxr", doctor._resampled)
    monkeypatch.delitem(doctor.sys.modules, "soxr", raising=False)
    assert not finding.ok
    assert "has no attribute 'resample'" in finding.found or "22050 samples at 16000 Hz" in finding.found
    assert finding.advice.startswith("pip install --force-reinstall --no-deps 'soxr")


@pytest.mark.parametrize(
    ("script", "built", "ok", "told"),
    [
        ("echo 'Tesla T4, 15360 MiB'", "cuda: Optional[str] = '12.8'", True, "Tesla T4, 15360 MiB"),
        ("echo 'Tesla T4, 15360 MiB'", "cuda: Optional[str] = None", False, "Tesla T4, 15360 MiB"),
        ("echo no devices; exit 9", "cuda = '12.8'", False, "no devices"),
    ],
)
def test_a_gpu_counts_with_a_driver_and_a_torch_that_can_use_it(tmp_path, monkeypatch, script, built, ok, told):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    (tmp_path / "version.py").write_text(f"__version__ = '2.11.0'\n{built}\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: spec)
    found = doctor._gpu()
    assert (found.ok, found.found) == (ok, told)


def test_bench_alone_says_what_to_do_first():
    result = bench()
    assert result.returncode == 0
    lines = result.stdout.strip().splitlines()
    assert len(lines) <= 10
    for command in ("bench doctor", "bench run --encoder tune_plus --task mtt", "bench list", "bench --help"):
        assert any(command in line for line in lines)
