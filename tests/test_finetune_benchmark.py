"""The benchmark of a fine-tuning step runs and adds up; its numbers mean nothing at this size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mofo.types import TokenGrid

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_finetuning_step_benchmark(tmp_path):
    pytest.importorskip("transformers", reason="the other side: pip install transformers")
    out = tmp_path / "step.json"
    command = [sys.executable, BENCHMARKS / "finetune_step.py", "--quick", "--processes", "2"]
    command += ["--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    (result,) = found["results"]
    assert [line["case"] for line in result["lines"]] == [
        "Hugging Face", "ours, mean", "ours, cross_attention",
    ]  # fmt: skip
    for line in result["lines"]:
        assert line["seconds"] > 0
        assert line["memory_mb"]["step"] > 0
    assert len(found["promises"]) == 3
    for check in found["promises"][:2]:  # of time
        low, high = check["interval"]
        assert low <= check["measured"] <= high
    assert "time of theirs <= 1" in done.stdout


def test_motion_areas_are_of_typical_sizes(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from finetune_models import areas

    inside_BN = areas(TokenGrid(16, 224, 224), 4)
    shares = inside_BN.float().mean(1)
    assert sorted(round(share.item(), 2) for share in shares) == [0.05, 0.13, 0.25, 0.51]


def test_interval_of_a_ratio(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from step_cost import ratios

    ours, theirs = ([{"cpu": 2.0 + k / 100} for k in order] for order in (range(9), range(9)[::-1]))
    found = ratios({"a": ours, "b": theirs}, "a", "b", "cpu", "time")
    assert found["time"] == 1.0
    low, high = found["time_95"]
    assert 0.96 <= low < 0.99
    assert 1.01 < high <= 1.04
    assert ratios({"a": ours, "b": ours}, "a", "b", "cpu", "time")["time_95"] == [1.0, 1.0]
