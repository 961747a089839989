"""The benchmarks run at their smallest, add up and write what they say.

Their times mean nothing at this size, and nothing here depends on how busy the machine is.
"""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.synth.actions.dataset_writer import ActionSetSettings, write_action_set
from mofo.types import TokenGrid

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _photographs() -> None:
    pytest.importorskip("skimage", reason="photographs: pip install mofo[test]")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the benchmarks can be imported."""
    monkeypatch.syspath_prepend(BENCHMARKS)


def run(script: str, *options: object) -> str:
    command = [sys.executable, BENCHMARKS / script, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_areas(tmp_path):
    out, table = tmp_path / "new" / "areas.json", tmp_path / "table.md"
    printed = run("areas.py", "--clips", 5, "--backends", "dis,codec", "--workers", 1, "--out", out,
                  "--markdown", table)  # fmt: skip
    results = json.loads(out.read_text())
    assert len(results["clips"]) == 7  # and one that follows, one with depth
    assert results["seeds"] == [50000, 50004]
    assert results["hardware"]["cpu"]
    for clip in results["clips"]:
        moves = 1 if clip["recipe"]["movers"] else None
        assert clip["scores"]["whole frame"]["recall"] == moves
        assert clip["scores"]["whole frame"]["share"] == moves
        assert ("codec default" in clip["scores"]) == (clip["suffix"] == ".mp4")
    lines = {(line["row"], line["method"]): line for line in
             results["tables"]["static or moving camera"]}  # fmt: skip
    low, mean, high = (lines["all", "dis default"]["iou"][k] for k in (1, 0, 2))
    assert 0 <= low <= mean <= high <= 1
    assert "dis default" in printed
    assert "number of movers" in table.read_text()


def test_real_motion(tmp_path):
    clip = make_clip(ClipRecipe(seed=3, frames=20, area=(0.1, 0.2), split="tune"))
    frames, masks = tmp_path / "JPEGImages/480p/thing", tmp_path / "Annotations/480p/thing"
    for folder in (frames, masks):
        folder.mkdir(parents=True)
    for t, mask_HW in enumerate(clip.moving_mask()):
        cv2.imwrite(str(frames / f"{t:05d}.jpg"), clip.video_THW3[t][..., ::-1])
        cv2.imwrite(str(masks / f"{t:05d}.png"), mask_HW.astype(np.uint8) * 255)
    names, out = tmp_path / "val.txt", tmp_path / "real.json"
    names.write_text("/JPEGImages/480p/thing/00000.jpg /Annotations/480p/thing/00000.png\n")
    printed = run("real_motion.py", tmp_path, "--split", names, "--json", out)
    row = json.loads(out.read_text())["videos"]["thing"]
    assert row["iou"] > max(0.7, row["whole"], row["centre"])
    assert row["Jfield"] > row["Jbox"] > 0.4
    assert row["APfield"] > 0.8
    assert "mask covers" in printed
    run("real_motion.py", tmp_path, "--change", "flip", "--json", out)
    assert json.loads(out.read_text())["videos"]["thing"]["iou"] == pytest.approx(
        row["iou"], abs=0.1
    )


def test_detection_speed(tmp_path):
    out = tmp_path / "detect.json"
    printed = run("detect.py", "--quick", "--out", out)
    results = json.loads(out.read_text())
    assert {line["case"].split()[0] for line in results["table"]} == {
        "dis", "farneback", "tvl1", "codec",
    }  # fmt: skip
    for line in results["table"]:
        assert sum(line["stages_ms"].values()) == pytest.approx(line["staged_ms"], rel=0.01)
        assert line["stages_ms"]["flow"] > 0
    assert "dis >= 150 frames/s" in printed


def test_loader(tmp_path):
    out = tmp_path / "loader.json"
    printed = run("loader.py", "--quick", "--out", out)
    results = json.loads(out.read_text())
    (line,) = results["table"]
    assert line["clips_per_s"] == pytest.approx(1000 / line["ms_a_clip"]["mofo"])
    assert all(value > 0 for value in line["ms_a_clip"].values())
    # Counted by torch's FlopCounterMode on our ViT-B, which computes no visible pixels: 66.
    assert 65 < sum(results["gpu"]["forward_gflop"].values()) < 69
    assert "x bare decoding" in printed


def test_catalog(tmp_path):
    out = tmp_path / "catalog.json"
    printed = run("catalog.py", "--quick", "--out", out)
    results = json.loads(out.read_text())
    assert results["rows"]["pickle_mb"] > 0
    assert results["segments"]["segments"] == 40
    assert len(results["segments"]["second_read_ms"]) == 10
    assert [line["files"] for line in results["check"]] == [5, 20]
    assert "5,000 rows of 500 files" in printed


def test_shards(tmp_path):
    out = tmp_path / "shards.json"
    printed = run("shards.py", "--quick", "--out", out)
    results = json.loads(out.read_text())
    assert results["members"]["members"] == 200
    assert results["loader"]["shards_of_files"] > 0
    assert "2,000 rows" in printed


def test_places(tmp_path):
    out = tmp_path / "places.json"
    run("places.py", "--videos", 6, "--flow", "codec", "--out", out)
    assert all(json.loads(out.read_text())["equal"].values())


def test_masks(tmp_path):
    out, png = tmp_path / "masks.json", tmp_path / "new" / "masks.png"
    run("masks.py", "--repeat", 1, "--samples", 20, "--out", out, "--picture", png)
    results = json.loads(out.read_text())
    assert all(value > 0 for value in results["milliseconds"].values())
    motion = {line["positions"]: line for line in results["shares"] if line["strategy"] == "motion"}
    assert motion[80]["hidden_inside"] == pytest.approx(0.75)
    assert png.read_bytes().startswith(b"\x89PNG")


def test_augmentation(tmp_path):
    out, png = tmp_path / "new" / "augmentation.json", tmp_path / "new" / "sheet.png"
    printed = run("augmentation.py", "--size", "nano", "--batch", 2, "--repeat", 1, "--out", out,
                  "--picture", png)  # fmt: skip
    results = json.loads(out.read_text())
    assert all(value > 0 for value in results["milliseconds"].values())
    assert "augmentation" in printed
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("script", "cases"),
    [
        ("pretrain_step.py", ["Hugging Face", "ours", "ours, half decoded"]),
        ("finetune_step.py", ["Hugging Face", "ours, mean", "ours, cross_attention"]),
    ],
)
def test_step(tmp_path, script, cases):
    pytest.importorskip("transformers", reason="the other side: pip install transformers")
    out = tmp_path / "step.json"
    run(script, "--quick", "--processes", 1, "--out", out)
    results = json.loads(out.read_text())
    (result,) = results["results"]
    assert [line["case"] for line in result["lines"]] == cases
    for line in result["lines"]:
        assert line["seconds"] > 0
        assert line["memory_mb"]["step"] > 0
    assert results["promises"]


def test_kept_tokens(tmp_path):
    out = tmp_path / "kept.json"
    run("kept_tokens.py", "--quick", "--out", out)
    (result,) = json.loads(out.read_text())["results"]
    lines = {line["case"]: line for line in result["lines"]}
    assert len(lines) == 10
    assert lines["training, keep 0.25"]["time_of_all"] > 0
    assert lines["inference, keep 1"]["throughput_of_all"] == 1
    assert 0 < lines["inference, keep 0.4"]["choosing"] < 1


def test_actions(tmp_path):
    settings = ActionSetSettings(level="easy", clips=48, size=32, frames=8)
    write_action_set(tmp_path / "easy", settings, workers=0)
    out, picture = tmp_path / "actions.json", tmp_path / "sheet.png"
    run("actions.py", tmp_path / "easy", "--clips", 8, "--out", out, "--picture", picture,
        "--level", "easy", "--pair", "left", "right", "--pair-clips", 24)  # fmt: skip
    assert picture.stat().st_size > 10_000
    results = json.loads(out.read_text())
    assert set(results["clips_per_s"]) == {"easy", "medium", "hard"}
    easy, pair = results["controls"]
    assert [line["sees"] for line in pair["table"]] == [
        "shuffled frames, as drawn", "shuffled frames, from files",
    ]  # fmt: skip
    assert easy["set"]["level"] == "easy"
    assert {line["sees"] for line in easy["table"]} == {
        "first frame", "middle frame", "last frame", "shuffled frames", "frames in order",
        "union box",
    }  # fmt: skip
    for line in easy["table"]:
        mean, low, high = line["accuracy"]
        assert low <= mean <= high


def test_flops_are_those_of_the_products(scripts):
    from pretrain_models import OURS, PART, Models, Work, flops

    work = Work("small", 2, "cpu", small=True)
    models = Models(work, OURS)
    hidden, part = models.num_targets()
    visible = work.settings.grid.tokens - hidden
    for case, decoded in ((OURS, hidden), (PART, part)):
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            models.step(case)().backward()
        assert counter.get_total_flops() == work.batch * flops(work.settings, visible, decoded)


def test_motion_areas_are_of_typical_sizes(scripts):
    from finetune_models import areas

    inside_BN = areas(TokenGrid(16, 224, 224), 4)
    shares = inside_BN.float().mean(1)
    assert sorted(round(share.item(), 2) for share in shares) == [0.05, 0.13, 0.25, 0.51]


def test_interval_of_a_ratio(scripts):
    from step_cost import ratios

    ours, theirs = ([{"cpu": 2.0 + k / 100} for k in order] for order in (range(9), range(9)[::-1]))
    result = ratios({"a": ours, "b": theirs}, "a", "b", "cpu", "time")
    assert result["time"] == 1.0
    low, high = result["time_95"]
    assert 0.96 <= low < 0.99
    assert 1.01 < high <= 1.04
    assert ratios({"a": ours, "b": ours}, "a", "b", "cpu", "time")["time_95"] == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore")
def test_identities(tmp_path):
    pytest.importorskip("motmetrics")
    run("identities.py", "--clips", 1, "--out", tmp_path / "out.json")
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["mofo"]["num_unique_objects"] == 1
    assert results["mofo"]["idf1"] > 0.8 > results["each its own"]["idf1"]


def test_curation(tmp_path):
    still = make_clip(ClipRecipe(seed=4, camera="pan", movers=0, frames=24, split="tune"))
    thing = make_clip(ClipRecipe(seed=3, movers=1, frames=24, area=(0.1, 0.2), split="tune"))
    for name, clip in (("nothing-pan", still), ("thing", thing)):
        write_clip(clip, tmp_path / f"{name}.mp4")
        np.savez(tmp_path / f"{name}.npz", mask=clip.moving_mask())
    out = tmp_path / "new" / "curation.json"
    few = ("--clips", 1, "--cameras", "static,pan", "--split", "tune", "--keep", tmp_path / "kept")
    printed = run("curation.py", *few, "--real", tmp_path, "--rounds", 1, "--json", out)
    content = json.loads(out.read_text())
    rows = content["results"]["generated"]
    assert rows["mofo dis"]["dropped"] == 1 > rows["farneback"]["dropped"]
    assert rows["mofo dis"]["auc"] == 1 > rows["vectors"]["auc"]
    assert content["results"]["real"]["mofo codec"]["auc"] == 1
    assert min(content["frames_per_second"].values()) > 0
    assert "camera only" in printed
    assert run("curation.py", *few, "--fit").startswith("pace ")
