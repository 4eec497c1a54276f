"""`bench doctor` and what `bench` alone says."""

from __future__ import annotations

import json
import time

import pytest
from conftest import bench, bench_json

from benchmark import doctor


def test_a_sound_machine_is_found_sound_in_seconds(tmp_path):
    began = time.perf_counter()
    findings = {each["what"]: each for each in bench_json("doctor", "--store", tmp_path / "new")}
    assert time.perf_counter() - began < 10  # two seconds on a machine that does nothing else
    assert {"Python", "packages", "torch pair", "GPU", "machine", "disk", "store", "MP3", "data"} <= findings.keys()
    assert all(each["ok"] for each in findings.values()), findings
    assert "stand-ins" in findings["data"]["found"]
    assert not (tmp_path / "new").exists()


def test_what_is_wrong_is_said_with_what_to_do(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    result = bench("doctor", "--store", tmp_path / "home", "--data", tmp_path / "nowhere")
    assert result.returncode == 1
    assert "WRONG  store" in result.stdout
    assert "is no folder - name the folder that holds" in result.stdout
    found = json.loads(bench("doctor", "--store", tmp_path / "home", "--json").stdout)
    assert [each["what"] for each in found if not each["ok"]] == ["store"]


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
