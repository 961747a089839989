"""The benchmark of a pre-training step runs and adds up; its numbers mean nothing at this size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_pretraining_step_benchmark(tmp_path):
    pytest.importorskip("transformers", reason="the other side: pip install transformers")
    out = tmp_path / "step.json"
    command = [sys.executable, BENCHMARKS / "pretrain_step.py", "--quick", "--processes", "2"]
    command += ["--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    (result,) = found["results"]
    assert [line["case"] for line in result["lines"]] == [
        "Hugging Face", "ours", "ours, half decoded",
    ]  # fmt: skip
    for line in result["lines"]:
        assert line["seconds"] > 0
        assert line["memory_mb"]["step"] > 0
    for stages in result["stages"].values():
        assert all(stages[name] > 0 for name in ("embedding", "encoder", "decoder", "rest"))
    assert result["stages"]["ours"]["target"] > 0
    assert found["versions"]["transformers"][0].isdigit()
    assert "time <= 1 of Hugging Face" in done.stdout


def test_flops_are_those_of_the_products(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from pretrain_models import OURS, PART, Models, Work, flops

    work = Work("small", 2, "cpu", small=True)
    models = Models(work, OURS)
    visible = work.settings.grid.tokens - models.hidden
    for case, decoded in ((OURS, models.hidden), (PART, models.decoded)):
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            models.step(case)().backward()
        wanted = work.batch * flops(work.settings, visible, decoded)
        assert counter.get_total_flops() == wanted
