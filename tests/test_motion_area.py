"""What people do with a motion area."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.stored import area as make
from helpers.stored import store_of
from mofo.types import MofoError

FIELD = np.full((7, 3, 4), 51, np.uint8)
AREA = make(cuts=(3,), field_Tyx=FIELD)


def test_frames_and_parts():
    assert len(list(AREA)) == len(AREA) == 7
    np.testing.assert_array_equal(AREA[2].box_4, AREA.box_T4[2])
    assert AREA[-1].time == AREA.time_T[-1]
    part = AREA[2:6]
    assert (len(part), part.cuts) == (4, (1,))
    np.testing.assert_array_equal(part.box_T4, AREA.box_T4[2:6])
    assert len(part.movers) == len(part.field_Tyx) == 4
    with pytest.raises(IndexError):
        AREA[7]
    with pytest.raises(ValueError, match="step"):
        AREA[::2]


def test_a_line_or_three():
    assert 2 <= len(repr(AREA).splitlines()) <= 3
    assert max(map(len, repr(AREA).splitlines())) < 100
    assert "0 frames" in repr(AREA[:0])


def test_plain_numbers():
    content = json.loads(json.dumps(AREA.to_dict()))
    assert content["cuts"] == [3]
    for row, frame in enumerate(content["frames"]):
        assert (frame["box"] is not None) == AREA.valid_T[row]
        assert np.float32(frame["movers"]).reshape(-1, 4) == pytest.approx(AREA.movers[row])


def test_coco():
    content = json.loads(json.dumps(AREA.to_coco("walk")))
    assert len(content["images"]) == 7
    assert len(content["annotations"]) == sum(map(len, AREA.movers))
    assert content["images"][3]["file_name"] == "walk/000003.jpg"


def test_pandas(tmp_path, monkeypatch):
    store = store_of(tmp_path / "areas", one=AREA)
    monkeypatch.setitem(sys.modules, "pandas", None)
    for missing in (AREA, store):
        with pytest.raises(MofoError, match="pip install pandas"):
            missing.to_pandas()
    monkeypatch.undo()
    pytest.importorskip("pandas")
    frame = AREA.to_pandas()
    assert frame["valid"].tolist() == AREA.valid_T.tolist()
    assert frame["field"].tolist() == pytest.approx([0.2] * 7)
    assert store.to_pandas()["frames"].tolist() == [7]
    assert "1 videos" in repr(store)


def test_supervision(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MofoError, match="pip install supervision"):
        AREA.to_supervision()
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=SimpleNamespace))
    several = AREA.to_supervision()
    assert [len(one.xyxy) for one in several] == [len(boxes) for boxes in AREA.movers]
    assert all(len(one.tracker_id) == len(one.xyxy) for one in several)
