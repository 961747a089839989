"""A short slice of ``make chaos``: some faults of each kind that cost little."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux lists them")
@pytest.mark.parametrize("verb", ["data convert", "areas"])
def test_no_fault_loses_or_leaves_anything(tmp_path, verb):
    tests = Path(__file__).parents[1]
    path = os.pathsep.join(map(str, (tests, tests.parent / "benchmarks")))
    words = ["--out", str(tmp_path), "--faults", "24", "--verb", verb]
    done = subprocess.run(
        [sys.executable, "-m", "chaos", *words], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 24 |" in done.stdout
