"""The benchmark of masks runs and writes what it says; its times mean nothing at this size."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "masks.py"


@pytest.mark.skipif(
    not importlib.util.find_spec("skimage"), reason="photographs: pip install mofo[test]"
)
def test_masks_benchmark(tmp_path):
    out, png = tmp_path / "masks.json", tmp_path / "new" / "masks.png"
    command = [sys.executable, SCRIPT, "--repeat", "1", "--samples", "20", "--out", out]
    done = subprocess.run(
        [*command, "--picture", png], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert all(value > 0 for value in found["milliseconds"].values())
    motion = {line["positions"]: line for line in found["shares"] if line["strategy"] == "motion"}
    assert motion[80]["hidden_inside"] == pytest.approx(0.75)
    assert motion[80]["rho"] == pytest.approx(1)
    assert png.read_bytes().startswith(b"\x89PNG")
