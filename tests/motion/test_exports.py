"""Exports, opened by the libraries that they are for: what went in comes out."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from helpers.stored import store_of
from mofo import cli
from mofo.motion.exports import EXPORTS, export_areas
from mofo.motion.identities import identities, movers_of
from mofo.types import MotionArea, hull

# What the other libraries say about numpy's and pandas' future is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")
FRAMES, WIDTH, HEIGHT = 40, 160, 120


def crossing() -> MotionArea:
    """One thing goes right, one comes from frame 5 on and goes left; they rest from 20 to 24."""
    movers, field_Tyx = [], np.zeros((FRAMES, 15, 20), np.uint8)
    for t in range(FRAMES):
        first = [4.5 + 3 * t, 20, 24.25 + 3 * t, 50]
        second = [140 - 3 * t, 70, 160 - 3 * t, 110.125]
        boxes = [] if 20 <= t < 25 else [first] if t < 5 else [second, first][:: (-1) ** t]
        boxes_K4 = np.array(boxes, np.float32).reshape(-1, 4)
        for x1, y1, x2, y2 in (boxes_K4 / 8).round().astype(int):
            field_Tyx[t, y1:y2, x1:x2] = 255
        movers.append(boxes_K4)
    valid_T = np.array([len(boxes_K4) > 0 for boxes_K4 in movers])
    return MotionArea(
        width=WIDTH,
        height=HEIGHT,
        frame_T=np.arange(FRAMES),
        time_T=np.arange(FRAMES) / 25,
        box_T4=np.stack([hull(boxes_K4).box_4 for boxes_K4 in movers]),
        valid_T=valid_T,
        movers=tuple(movers),
        flow="dis",
        field_Tyx=field_Tyx,
    )


AREA = crossing()
TRUTH = {(m.row, m.number): m.box_4.tolist() for m in movers_of(AREA)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_of(tmp_path_factory.mktemp("exports") / "areas", one=AREA)


@pytest.fixture
def export(store, tmp_path):
    def run(form: str, name: str) -> Path:
        assert cli.main(
            ["areas", "export", str(store.folder), "--form", form, "--to", str(tmp_path / name)]
        ) == 0  # fmt: skip
        return tmp_path / name

    return run


def same(found: dict[tuple[int, int], list[float]], within: float = 0.0) -> None:
    assert found.keys() == TRUTH.keys()
    for place, box in found.items():
        assert box == pytest.approx(TRUTH[place], abs=within), place


def test_things_keep_their_numbers_past_a_rest_and_each_other():
    by_number: dict[int, list[float]] = {}
    for (_, number), box in TRUTH.items():
        by_number.setdefault(number, []).append(box[1])
    assert {number: set(tops) for number, tops in by_number.items()} == {1: {20.0}, 2: {70.0}}
    cut = MotionArea(**{**vars(AREA), "cuts": (30,)})
    assert set(np.concatenate(identities(cut)[30:]).tolist()) == {3, 4}


def test_coco_by_pycocotools(export):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(export("coco", "boxes.json")))
    assert len(coco.getImgIds()) == FRAMES
    found = {}
    for entry in coco.loadAnns(coco.getAnnIds()):
        x, y, width, height = entry["bbox"]
        row = coco.loadImgs(entry["image_id"])[0]["frame_index"]
        found[row, entry["track_id"]] = [x, y, x + width, y + height]
    same(found, 1e-4)


def test_masks_by_pycocotools_and_as_pictures(export):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(export("coco-masks", "masks.json")))
    folder = export("masks", "png")
    pictures = [cv2.imread(str(path), -1) for path in sorted(folder.glob("one/*.png"))]
    assert len(pictures) == FRAMES
    for entry in coco.loadAnns(coco.getAnnIds()):
        mask_HW = coco.annToMask(entry).astype(bool)
        assert mask_HW.sum() == entry["area"] > 200
        label_HW = pictures[coco.loadImgs(entry["image_id"])[0]["frame_index"]]
        np.testing.assert_array_equal(label_HW == entry["track_id"], mask_HW)


def test_mot_by_motmetrics(export):
    motmetrics = pytest.importorskip("motmetrics")
    folder = export("mot", "mot")
    table = motmetrics.io.loadtxt(folder / "one/gt/gt.txt", fmt="mot15-2D")
    found = {
        (frame - 1, number): [row.X, row.Y, row.X + row.Width, row.Y + row.Height]
        for (frame, number), row in table.iterrows()
    }
    same(found, 1e-3)
    assert f"seqLength={FRAMES}" in (folder / "one/seqinfo.ini").read_text()


def test_yolo(export):
    folder = export("yolo", "yolo")
    files = sorted(folder.glob("labels/one/*.txt"))
    assert len(files) == FRAMES
    boxes = sorted(box for (row, _), box in TRUTH.items() if row == 10)
    found = []
    for line in files[10].read_text().splitlines():
        kind, x, y, width, height = map(float, line.split())
        assert kind == 0
        middle, half = np.array([x, y]), np.array([width, height]) / 2
        corners = np.concatenate([middle - half, middle + half])
        found.append((corners * np.tile([WIDTH, HEIGHT], 2)).tolist())
    np.testing.assert_allclose(sorted(found), boxes, atol=1e-3)
    assert files[22].read_text() == ""


def test_supervision_opens_coco_and_yolo(export, tmp_path):
    supervision = pytest.importorskip("supervision")
    images = tmp_path / "images" / "one"
    images.mkdir(parents=True)
    for t in range(FRAMES):
        cv2.imwrite(str(images / f"{t:06d}.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    folder = export("yolo", "yolo")
    sets = [
        supervision.DetectionDataset.from_coco(
            str(tmp_path / "images"), str(export("coco", "boxes.json"))
        ),
        supervision.DetectionDataset.from_yolo(
            str(images), str(folder / "labels/one"), str(folder / "data.yaml")
        ),
    ]
    for opened in sets:
        found = {int(Path(path).stem): detections for path, _, detections in opened}
        for row, several in found.items():
            boxes = sorted(box for (t, _), box in TRUTH.items() if t == row)
            np.testing.assert_allclose(sorted(several.xyxy.tolist()), boxes, atol=1e-3)
    several = AREA.to_supervision()
    assert isinstance(several[10], supervision.Detections)
    same(
        {
            (row, int(number)): box.tolist()
            for row, one in enumerate(several)
            for number, box in zip(one.tracker_id, one.xyxy, strict=True)
        }
    )


def test_cvat(export):
    root = ET.parse(export("cvat", "cvat") / "one.xml").getroot()
    assert root.findtext("version") == "1.1"
    found, outside = {}, []
    for track in root.iter("track"):
        for box in track.iter("box"):
            place = int(box.get("frame")), int(track.get("id")) + 1
            if box.get("outside") == "1":
                outside.append(place)
            else:
                found[place] = [float(box.get(side)) for side in ("xtl", "ytl", "xbr", "ybr")]
    same(found)
    assert sorted(outside) == [(20, 1), (20, 2)]


def test_label_studio(export):
    [task] = json.loads(export("label-studio", "tasks.json").read_text())
    assert task["data"]["video"].endswith("one.mp4")
    found = {}
    for track in task["predictions"][0]["result"]:
        assert (track["type"], track["value"]["labels"]) == ("videorectangle", ["mover"])
        steps = track["value"]["sequence"]
        assert [step["frame"] for step in steps if not step["enabled"]] == [20, FRAMES]
        for step in steps:
            x, y = step["x"] * WIDTH / 100, step["y"] * HEIGHT / 100
            corner = [x + step["width"] * WIDTH / 100, y + step["height"] * HEIGHT / 100]
            found[step["frame"] - 1, int(track["id"].split("-")[1])] = [x, y, *corner]
    same(found, 1e-4)


def test_fiftyone(export):
    folder = export("fiftyone", "labels")
    [entry] = json.loads((folder / "manifest.json").read_text())["index"]
    found = {}
    for frame in json.loads((folder / entry["labels"]).read_text())["frames"].values():
        for thing in frame["objects"]["objects"]:
            corners = [thing["bounding_box"][name] for name in ("top_left", "bottom_right")]
            box = [v for corner in corners for v in (corner["x"] * WIDTH, corner["y"] * HEIGHT)]
            found[frame["frame_number"] - 1, thing["index"]] = box
    same(found, 1e-4)


def test_sam2_prompts_are_boxes_of_their_movers(export):
    [prompts] = json.loads(export("sam2", "prompts.json").read_text()).values()
    assert [prompt["obj_id"] for prompt in prompts] == [1, 2]
    for prompt in prompts:
        assert prompt["box"] == TRUTH[prompt["frame_idx"], prompt["obj_id"]]


@pytest.mark.parametrize("name", ["movers.parquet", "movers.csv"])
def test_the_table_by_pandas_and_arrow(export, name):
    path = export("table", name)
    table = (pyarrow.csv.read_csv if name.endswith("csv") else pq.read_table)(path)
    found = {
        (row["frame"], row["mover"]): [row[side] for side in ("x1", "y1", "x2", "y2")]
        for row in table.to_pylist()
    }
    same(found, 1e-4)
    pandas = pytest.importorskip("pandas")
    frame = (pandas.read_csv if name.endswith("csv") else pandas.read_parquet)(path)
    assert frame.groupby("mover").size().to_dict() == {1: 35, 2: 30}


def test_coco_tells_the_movers_of_several_videos_apart(tmp_path):
    store = store_of(tmp_path / "areas", one=AREA, two=AREA)
    export_areas(store.folder, tmp_path / "boxes.json", form="coco")
    content = json.loads((tmp_path / "boxes.json").read_text())
    video_of = {image["id"]: image["video_id"] for image in content["images"]}
    assert len(video_of) == 2 * FRAMES
    assert [video["name"] for video in content["videos"]] == ["one", "two"]
    entries = content["annotations"]
    assert len({entry["id"] for entry in entries}) == len(entries) == 2 * len(TRUTH)
    owners = {(entry["track_id"], video_of[entry["image_id"]]) for entry in entries}
    assert owners == {(1, 1), (2, 1), (3, 2), (4, 2)}


@pytest.mark.parametrize("form", EXPORTS)
def test_every_form_takes_the_one_box_of_a_clip_and_keeps_names_apart(form, tmp_path):
    still = MotionArea(
        **{
            **vars(AREA),
            "movers": tuple(boxes[:0] for boxes in AREA.movers),
            "valid_T": np.zeros(FRAMES, bool),
            "box_T4": np.zeros((FRAMES, 4), np.float32),
        }
    )
    folder = store_of(tmp_path / "areas", one=AREA, two=still).folder
    assert export_areas(folder, tmp_path / "out.json", form=form, clip_union=True) == 2
    assert (tmp_path / "out.json").exists()
