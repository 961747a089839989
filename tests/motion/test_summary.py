"""What a store says about motion in a few numbers."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.clipsets import area_of
from mofo.motion.merge import merge, scan
from mofo.motion.parts import write_part
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.motion.summary import MotionSummary


def test_numbers_of_a_store(tmp_path):
    settings = DetectSettings()
    box_T4 = np.tile(np.float32([0, 0, 32, 24]), (10, 1))  # a quarter of the frame
    areas = {
        "half.mp4": area_of(box_T4, 64, 48, np.arange(10) < 5),
        "still.mp4": area_of(box_T4[:6], 64, 48, np.zeros(6, bool)),
    }
    for key, area in areas.items():
        write_part(tmp_path, key, f"/videos/{key}", 100, area, settings)
    merge(scan(tmp_path, settings))
    with AreaStore.open(tmp_path) as store:
        summary = MotionSummary.of(store)
    assert (summary.videos, summary.frames, summary.still) == (2, 16, 1)
    assert summary.moving == pytest.approx(5 / 16)
    assert summary.box == pytest.approx(0.25)
    assert summary.field is None
    assert "1 of 2 videos without motion" in str(summary)


def test_fields_count_where_something_moves(tmp_path):
    settings = DetectSettings()
    field_Tyx = np.zeros((4, 6, 8), np.uint8)
    field_Tyx[:2, :3] = 255
    field_Tyx[2:] = 9  # frames without motion do not count
    area = area_of(np.tile(np.float32([0, 0, 64, 24]), (4, 1)), 64, 48, [1, 1, 0, 0])
    area = replace(area, valid_T=np.array([True, True, False, False]), field_Tyx=field_Tyx)
    write_part(tmp_path, "a.mp4", "/videos/a.mp4", 100, area, settings)
    with AreaStore.open(tmp_path) as store:
        summary = MotionSummary.of(store)
    assert summary.field == pytest.approx(0.5)
    assert summary.box == pytest.approx(0.5)
