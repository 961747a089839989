"""The benchmarks run, add up and write what they say; their numbers mean nothing at this size."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("skimage"), reason="photographs: pip install mofo[test]"
)


def run(script: str, *options: object) -> str:
    command = [sys.executable, BENCHMARKS / script, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_areas_benchmark(tmp_path):
    out, table = tmp_path / "new" / "areas.json", tmp_path / "table.md"
    printed = run("areas.py", "--clips", 5, "--backends", "dis,codec", "--workers", 1, "--out", out,
                  "--markdown", table)  # fmt: skip
    found = json.loads(out.read_text())
    assert len(found["clips"]) == 5
    assert found["seeds"] == [50000, 50004]
    assert found["hardware"]["cpu"]
    for clip in found["clips"]:
        assert clip["scores"]["whole frame"]["recall"] == 1
        assert clip["scores"]["whole frame"]["share"] == 1
        assert ("codec default" in clip["scores"]) == (clip["suffix"] == ".mp4")
    lines = {(line["row"], line["method"]): line for line in
             found["tables"]["static or moving camera"]}  # fmt: skip
    low, mean, high = (lines["all", "dis default"]["iou"][k] for k in (1, 0, 2))
    assert 0 <= low <= mean <= high <= 1
    assert "dis default" in printed
    assert "number of movers" in table.read_text()


def test_detection_speed_benchmark(tmp_path):
    out = tmp_path / "detect.json"
    printed = run("detect.py", "--quick", "--out", out)
    found = json.loads(out.read_text())
    assert {line["case"].split()[0] for line in found["table"]} == {
        "dis", "farneback", "tvl1", "codec",
    }  # fmt: skip
    for line in found["table"]:
        assert sum(line["stages_ms"].values()) == pytest.approx(line["staged_ms"], rel=0.01)
        # What no stage claims is little.
        assert line["stages_ms"]["rest"] < 0.3 * line["staged_ms"]
        assert line["stages_ms"]["flow"] > 0
    assert "dis >= 150 frames/s" in printed


def test_loader_benchmark(tmp_path):
    out = tmp_path / "loader.json"
    printed = run("loader.py", "--quick", "--out", out)
    found = json.loads(out.read_text())
    (line,) = found["table"]
    assert line["clips_per_s"] == pytest.approx(1000 / line["ms_a_clip"]["mofo"])
    assert all(value > 0 for value in line["ms_a_clip"].values())
    # Counted by torch's FlopCounterMode on our ViT-B, which computes no visible pixels: 66.
    assert 65 < sum(found["gpu"]["forward_gflop"].values()) < 69
    assert "x bare decoding" in printed
    assert "One GPU (H200) at ViT-B" in printed


def test_catalog_benchmark(tmp_path):
    out = tmp_path / "catalog.json"
    printed = run("catalog.py", "--quick", "--out", out)
    found = json.loads(out.read_text())
    assert found["rows"]["pickle_mb"] > 0
    assert found["segments"]["segments"] == 40
    assert [float(at) < 30 for at in found["segments"]["second_read_ms"]] == [True] * 10
    assert [line["files"] for line in found["check"]] == [5, 20]
    assert "5,000 rows of 500 files" in printed
