"""What README.md tells a newcomer to do, done."""

import json
import re
from pathlib import Path

from conftest import bench

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.S)[1]


def test_it_opens_with_two_commands():
    commands = re.findall(r"^    (\S.*)$", README.split("## ")[0], re.M)
    assert commands == [
        "./setup.sh && .venv/bin/bench run --encoder tune_plus --task mtt",
        "./setup.sh test && .venv/bin/python -m pytest",
    ]


def test_the_encoder_of_the_readme_is_scored(tmp_path, mtt):
    data, _ = mtt
    (tmp_path / "my_encoder.py").write_text(block("python"))
    (tmp_path / "registry.yaml").write_text(block("yaml"))
    command = re.search(r"^    bench (run --encoder loudness .*)$", README, re.M)[1]
    result = bench(*command.split(), "--data", data, "--store", tmp_path / "store", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    loudness, mfcc = json.loads(result.stdout)
    assert (loudness["encoder"], loudness["dim"], loudness["parameters"]) == ("loudness", 8, 0)
    assert (mfcc["encoder"], mfcc["dim"]) == ("mfcc", 120)
    assert loudness["fingerprint"] == mfcc["fingerprint"]
    listed = bench("list", cwd=tmp_path)
    assert re.search(r"loudness +registry.yaml:2", listed.stdout)
