import json

import numpy as np
import pytest

from helpers.stored import store_of
from mofo import cli
from mofo.motion.boxes_json import import_boxes, read_boxes, to_area, to_entries
from mofo.motion.exports import EXPORTS, AreaExport, export_areas
from mofo.motion.merge import merge, scan
from mofo.motion.parts import write_part
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import MofoError, MotionArea, SettingsError, StoreError
from mofo.video.writer import VideoWriter


def area(box_T4, valid_T) -> MotionArea:
    frames = len(valid_T)
    box_T4 = np.array(box_T4, np.float32).reshape(frames, 4)
    return MotionArea(
        width=64,
        height=48,
        frame_T=np.arange(frames),
        time_T=np.arange(frames) / 25,
        box_T4=box_T4,
        valid_T=np.array(valid_T, bool),
        movers=tuple(box_T4[t : t + 1] if valid_T[t] else box_T4[:0] for t in range(frames)),
    )


AREA = area([[1.1, 2, 30.7, 40], [0, 0, 0, 0], [3, 4, 64, 48]], [True, False, True])


def videos(folder, *names, frames=3):
    folder.mkdir(exist_ok=True)
    for name in names:
        with VideoWriter(folder / name, fps=25) as writer:
            for level in range(frames):
                writer.write(np.full((48, 64, 3), 40 * level, np.uint8))
    return folder


def test_the_file_is_as_the_released_code_reads_it(tmp_path):
    store = store_of(tmp_path / "s", one=AREA, two=AREA)
    assert export_areas(store.folder, tmp_path / "boxes.json") == 2
    content = json.loads((tmp_path / "boxes.json").read_text())
    assert list(content) == ["one", "two"]
    box2d = {"x1": 1.1, "y1": 2.0, "x2": 30.7, "y2": 40.0}
    assert content["one"][0] == {"labels": [{"box2d": box2d, "gt_annotation": "union"}]}
    assert content["one"][1] == {"labels": []}
    assert len(content["one"]) == 3


def test_the_clip_union_is_one_box_for_all_frames():
    entries = to_entries(AREA, clip_union=True)
    boxes = [entry["labels"][0]["box2d"] for entry in entries]
    assert boxes == [{"x1": 1.1, "y1": 2.0, "x2": 64.0, "y2": 48.0}] * 3
    still = area([[0, 0, 0, 0]], [False])
    assert to_entries(still, clip_union=True) == [{"labels": []}]


def test_there_and_back(tmp_path):
    export_areas(store_of(tmp_path / "s", one=AREA).folder, tmp_path / "boxes.json")
    folder = videos(tmp_path / "v", "one.mp4")
    report = import_boxes(tmp_path / "boxes.json", [folder], tmp_path / "back")
    assert (report.done, report.failures) == (1, ())
    store = AreaStore.open(tmp_path / "back")
    assert store.settings is None
    back = store["one.mp4"]
    np.testing.assert_array_equal(back.box_T4, AREA.box_T4)
    np.testing.assert_array_equal(back.valid_T, AREA.valid_T)
    np.testing.assert_allclose(back.time_T, AREA.time_T)
    assert (back.width, back.height, back.flow, back.warnings) == (64, 48, "imported", ())
    export_areas(store.folder, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "boxes.json").read_bytes()


def test_several_boxes_a_frame_are_movers_and_a_union_is_the_area(tmp_path):
    def label(x, name):
        return {"box2d": {"x1": x, "y1": 0, "x2": x + 5, "y2": 9}, "gt_annotation": name}

    one = [label(1, "hand"), label(20, "cup")]
    both = [*one, {"box2d": {"x1": 1, "y1": 0, "x2": 25, "y2": 9}, "gt_annotation": "union"}]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"one": [{"labels": one}, {"labels": both}]}))
    boxes = read_boxes(file)["one"]
    made = to_area(boxes, width=64, height=48, time_T=np.array([0.0, 0.1, 0.2]))
    assert [len(boxes_K4) for boxes_K4 in made.movers] == [2, 1, 0]
    np.testing.assert_array_equal(made.box_T4[:2], [[1, 0, 25, 9]] * 2)
    assert list(made.valid_T) == [True, True, False]
    assert made.warnings == ("boxes for 2 of 3 frames: no motion in the others",)


def test_boxes_are_cut_at_the_edge_and_refused_outside():
    time_T = np.zeros(1)
    over = [np.array([[-3, 40, 70, 50]], np.float32)]
    made = to_area(over, width=64, height=48, time_T=time_T)
    np.testing.assert_array_equal(made.box_T4, [[0, 40, 64, 48]])
    with pytest.raises(MofoError, match="frame 0: a box lies outside the 30x30 frame"):
        to_area(over, width=30, height=30, time_T=time_T)
    with pytest.raises(MofoError, match="2 frames of boxes, but the video has 1"):
        to_area(over * 2, width=64, height=48, time_T=time_T)


GOOD = {"x1": 1, "y1": 2, "x2": 3, "y2": 4}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"labels": []}, "video 'clip': expected a list of frames, found {\"labels\": []}"),
        ([[]], "video 'clip', frame 0: expected an object with labels, found []"),
        ([{"labels": []}, {}], "video 'clip', frame 1: 'labels' is missing"),
        ([{"labels": 3}], "frame 0: expected a list of labels, found 3"),
        ([{"labels": ["a"]}], 'frame 0: expected a label with box2d, found "a"'),
        ([{"labels": [{"gt_annotation": "union"}]}], "frame 0: 'box2d' is missing"),
        ([{"labels": [{"box2d": [1, 2, 3, 4]}]}], "expected box2d with x1, y1, x2, y2"),
        ([{"labels": [{"box2d": {"x1": 1, "y1": 2, "x2": 3}}]}], "frame 0: 'y2' is missing"),
        ([{"labels": [{"box2d": GOOD | {"x1": "1"}}]}], 'expected a number as x1, found "1"'),
        ([{"labels": [{"box2d": GOOD | {"y2": None}}]}], "expected a number as y2, found null"),
        ([{"labels": [{"box2d": GOOD | {"x2": True}}]}], "expected a number as x2, found true"),
        ([{"labels": [{"box2d": GOOD | {"x2": np.nan}}]}], "expected a number as x2, found NaN"),
        ([{"labels": [{"box2d": GOOD | {"x1": 5}}]}], "x1 (5) has to be less than x2 (3)"),
        ([{"labels": [{"box2d": GOOD | {"y2": 2}}]}], "y1 (2) has to be less than y2 (2)"),
    ],
)
def test_errors_name_file_video_and_frame(tmp_path, entries, message):
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"fine": [], "clip": entries}))
    with pytest.raises(MofoError) as error:
        read_boxes(file)
    assert str(error.value).startswith(f"{file}: video 'clip'")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "{'a': 1}", "\xff"])
def test_what_is_not_such_json_is_refused(tmp_path, text):
    file = tmp_path / "boxes.json"
    file.write_bytes(text.encode("latin1"))
    with pytest.raises(MofoError, match=r"boxes.json: (not JSON|expected an object of videos)"):
        read_boxes(file)
    with pytest.raises(MofoError, match="no such file"):
        read_boxes(tmp_path / "none.json")


def test_what_does_not_fit_is_listed(tmp_path):
    file = tmp_path / "boxes.json"
    box = {"labels": [{"box2d": GOOD}]}
    file.write_text(json.dumps({"one": [box] * 3, "long": [box] * 4, "bad": [box], "more": []}))
    folder = videos(tmp_path / "v", "one.mp4", "two.mp4", "long.mp4")
    (folder / "bad.mp4").write_text("text")
    report = import_boxes(file, [folder], tmp_path / "out")
    reasons = dict(report.failures)
    assert report.done == 1
    assert reasons["more"] == "boxes without a video"
    assert reasons["two.mp4"] == f"no boxes for 'two' in {file}"
    assert reasons["long.mp4"].startswith("4 frames of boxes, but the video has 3")
    assert "not a video" in reasons["bad.mp4"]
    assert list(AreaStore.open(tmp_path / "out")) == ["one.mp4"]
    assert (tmp_path / "out/failures.csv").exists()


def test_boxes_and_detections_do_not_share_a_store(tmp_path):
    store_of(tmp_path / "s", one=AREA)
    (tmp_path / "boxes.json").write_text("{}")
    folder = videos(tmp_path / "v", "one.mp4")
    with pytest.raises(StoreError, match="holds a detection"):
        import_boxes(tmp_path / "boxes.json", [folder], tmp_path / "s")


def test_equal_stems_cannot_be_exported(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    for key in ("a/one.mp4", "b/one.mp4"):
        write_part(folder, key, f"/v/{key}", 1, AREA, DetectSettings())
    merge(scan(folder, DetectSettings()))
    with pytest.raises(StoreError, match=r"'a/one.mp4' and 'b/one.mp4' have the same file name"):
        export_areas(folder, tmp_path / "boxes.json")
    assert not (tmp_path / "boxes.json").exists()


def test_a_form_from_outside(tmp_path):
    @EXPORTS.register("counts")
    class Counts(AreaExport):
        line = "how many frames move"

        def write(self, store, file, *, clip_union=False):
            file.write_text(" ".join(f"{key}={store[key].valid_T.sum()}" for key in store))
            return len(store)

    folder = store_of(tmp_path / "s", one=AREA).folder
    words = ["areas", "export", str(folder), "--to", str(tmp_path / "a/counts.txt")]
    assert cli.main([*words, "--form", "counts"]) == 0
    assert (tmp_path / "a/counts.txt").read_text() == "one.mp4=2"
    with pytest.raises(SettingsError, match="did you mean 'counts'"):
        export_areas(folder, tmp_path / "x", form="count")
