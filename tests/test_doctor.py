"""`bench doctor` and what `bench` alone says."""

from __future__ import annotations

import json
import time

from conftest import bench, bench_json


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


def test_bench_alone_says_what_to_do_first():
    result = bench()
    assert result.returncode == 0
    lines = result.stdout.strip().splitlines()
    assert len(lines) <= 10
    for command in ("bench doctor", "bench run --encoder tune_plus --task mtt", "bench list", "bench --help"):
        assert any(command in line for line in lines)
