from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.painted import bright_box, paint, walk
from mofo.clips.transforms import (
    CropSettings,
    Geometry,
    MotionCrop,
    centre_geometry,
    draw_geometry,
    whole_geometry,
)
from mofo.types import SettingsError

FLIPPED = CropSettings(flip=True)
sides = st.integers(1, 700)
drawn = st.builds(
    lambda seed, width, height, size: (
        draw_geometry(FLIPPED, (width, height), size, np.random.default_rng(seed)),
        width,
        height,
    ),
    st.integers(0, 2**32 - 1),
    sides,
    sides,
    st.tuples(st.sampled_from([16, 56, 64, 224]), st.sampled_from([16, 56, 64, 224])),
)


def disagreement(geometry: Geometry, boxes_T4: np.ndarray, width: int, height: int) -> float:
    """Largest distance in pixels between transformed boxes and transformed bright pixels."""
    seen_THWC = geometry.frames(paint(boxes_T4, width, height))
    box_T4, valid_T = geometry.boxes(boxes_T4, np.ones(len(boxes_T4), bool))
    worst = 0.0
    for image, box_4, valid in zip(seen_THWC, box_T4, valid_T, strict=True):
        found = bright_box(image)
        if found is not None and valid:
            worst = max(worst, float(np.abs(found - box_4).max()))
        elif found is not None or (valid and np.min(box_4[2:] - box_4[:2]) > 1):
            return np.inf
    return worst


def test_painted_object_through_500_augmentations():
    for seed in range(500):
        rng = np.random.default_rng(seed)
        width, height = int(rng.integers(100, 400)), int(rng.integers(100, 300))
        geometry = draw_geometry(FLIPPED, (width, height), (112, 112), rng)
        assert disagreement(geometry, walk(4, width, height, seed), width, height) <= 1, seed


@pytest.mark.parametrize("defect", ["offset", "flip", "scale", "swap"])
def test_the_painted_object_shows_defects(monkeypatch, defect):
    """Each of the defects that boxes of augmented clips are known for is seen by that test."""
    boxes = Geometry.boxes

    def broken(self, box_T4, valid_T):
        x1, y1 = self.crop[:2]
        if defect == "offset":  # of the crop, not subtracted
            box_T4 = box_T4 + np.array([x1, y1, x1, y1])
        if defect == "flip":  # of the frames only
            self = Geometry(self.crop, self.size)
        if defect == "scale":  # of the whole frame instead of the crop
            self = Geometry((x1, y1, x1 + 400, y1 + 300), self.size, self.flip)
        if defect == "swap":  # x for y
            box_T4 = box_T4[:, [1, 0, 3, 2]]
        return boxes(self, box_T4, valid_T)

    monkeypatch.setattr(Geometry, "boxes", broken)
    geometry = Geometry((100, 20, 260, 180), (112, 112), flip=True)
    assert disagreement(geometry, np.array([[140, 50, 180, 150]], np.float32), 400, 300) > 10


@given(drawn)
def test_drawn_crops(case):
    geometry, width, height = case
    x1, y1, x2, y2 = geometry.crop
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert x1 % 2 == y1 % 2 == 0
    assert (x2 - x1) % 2 == 0 or x2 - x1 == 1
    assert (y2 - y1) % 2 == 0 or y2 - y1 == 1
    # At least the smallest of the scales, but for even numbers.
    scale = min(width / geometry.size[0], height / geometry.size[1])
    for side, target in ((x2 - x1, geometry.size[0]), (y2 - y1, geometry.size[1])):
        assert side >= min(0.66 * scale * target - 2, target)
        assert side <= max(scale * target + 1e-6, 2)


@given(drawn, st.lists(st.tuples(sides, sides, sides, sides), min_size=1, max_size=6), st.data())
def test_boxes(case, boxes, data):
    geometry, _, _ = case
    box_T4 = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32)
    valid_T = np.array(data.draw(st.lists(st.booleans(), min_size=len(boxes), max_size=len(boxes))))
    before = box_T4.copy()
    found_T4, found_T = geometry.boxes(box_T4, valid_T)
    np.testing.assert_array_equal(box_T4, before)
    assert found_T4.dtype == np.float32
    assert found_T4.shape == box_T4.shape
    assert not (found_T & ~valid_T).any()
    assert not found_T4[~found_T].any()
    x1, y1, x2, y2 = geometry.crop
    width, height = geometry.size
    for (bx1, by1, bx2, by2), box_4, was, valid in zip(
        box_T4, found_T4, valid_T, found_T, strict=True
    ):
        inside = max(bx1, x1) < min(bx2, x2) and max(by1, y1) < min(by2, y2)
        assert valid == (was and inside)
        if valid:
            assert 0 <= box_4[0] < box_4[2] <= width
            assert 0 <= box_4[1] < box_4[3] <= height
            part = (min(bx2, x2) - max(bx1, x1)) / (x2 - x1)
            assert (box_4[2] - box_4[0]) / width == pytest.approx(part, rel=1e-4)


def test_a_box_outside_the_crop_is_not_valid():
    geometry = Geometry((100, 100, 200, 200), (50, 50))
    boxes = [[0, 0, 100, 300], [150, 150, 160, 160], [0, 0, 101, 101], [200, 0, 300, 300]]
    box_T4, valid_T = geometry.boxes(np.array(boxes, np.float32), np.ones(4, bool))
    assert valid_T.tolist() == [False, True, True, False]
    assert box_T4.tolist() == [[0] * 4, [25, 25, 30, 30], [0, 0, 0.5, 0.5], [0] * 4]


def test_all_scales_places_and_flips_are_drawn():
    rng = np.random.default_rng(0)
    found = [draw_geometry(FLIPPED, (400, 200), (224, 224), rng) for _ in range(4000)]
    shapes = {(g.crop[2] - g.crop[0], g.crop[3] - g.crop[1]) for g in found}
    steps = (200, 174, 150, 132)  # 1, .875, .75, .66 of the short side, even
    assert shapes == {(steps[i], steps[j]) for i in range(4) for j in range(4) if abs(i - j) <= 1}
    # Anywhere, up to the very edges.
    assert min(g.crop[0] for g in found) == min(g.crop[1] for g in found) == 0
    assert max(g.crop[2] for g in found) == 400
    assert max(g.crop[3] for g in found) == 200
    share = np.mean([g.crop[0] / (400 - g.crop[2] + g.crop[0]) for g in found])
    assert abs(share - 0.5) < 0.02
    assert abs(np.mean([g.flip for g in found]) - 0.5) < 0.04


def test_no_flip_unless_asked_for():
    """Labels may have a left and a right."""
    rng = np.random.default_rng(0)
    assert not any(
        draw_geometry(CropSettings(), (100, 100), (56, 56), rng).flip for _ in range(200)
    )


def test_the_generator_decides_and_nothing_else():
    def draw(seed: int) -> Geometry:
        np.random.seed(seed % 3)  # noqa: NPY002 - that is what must not matter
        return draw_geometry(FLIPPED, (320, 240), (224, 224), np.random.default_rng(seed))

    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
    assert len({draw(seed) for seed in range(50)}) > 45


@pytest.mark.parametrize(("frame", "size", "expected"), [
    ((320, 240), (224, 224), (40, 0, 280, 240)), ((240, 320), (224, 224), (0, 40, 240, 280)),
    ((224, 224), (224, 224), (0, 0, 224, 224)), ((400, 300), (200, 100), (0, 50, 400, 250)),
    ((321, 241), (224, 224), (40, 0, 280, 240)), ((1, 1), (16, 16), (0, 0, 1, 1)),
])  # fmt: skip
def test_centre(frame, size, expected):
    assert centre_geometry(frame, size) == Geometry(expected, size)


@pytest.mark.parametrize("wrong", [
    {"scales": ()}, {"scales": (1.2,)}, {"scales": (0.0, 1.0)}, {"distortion": -1},
])  # fmt: skip
def test_impossible_settings(wrong):
    with pytest.raises(SettingsError):
        CropSettings(**wrong)


@given(
    st.integers(8, 700), st.integers(8, 700), st.sampled_from([(56, 56), (64, 32)]),
    st.integers(0, 99),
)  # fmt: skip
def test_a_motion_crop_is_in_the_frame_and_holds_what_moves(width, height, size, seed):
    boxes_T4 = walk(10, width, height, seed)
    valid_T = (boxes_T4[:, 2] > boxes_T4[:, 0]) & (boxes_T4[:, 3] > boxes_T4[:, 1])
    geometry = MotionCrop(size, margin=0.1).geometry(boxes_T4, valid_T, (width, height))
    x1, y1, x2, y2 = geometry.crop
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    largest = min(width / size[0], height / size[1])
    assert (x2 - x1) / (y2 - y1) == pytest.approx(size[0] / size[1], rel=8 / min(x2 - x1, y2 - y1))
    # Never enlarged where the frame is large enough, never more than the frame holds.
    assert x2 - x1 >= int(size[0] * min(1, largest)) // 2 * 2
    if valid_T.any() and largest >= 1:
        low_2 = np.quantile(boxes_T4[valid_T, :2], 0.05, axis=0)
        high_2 = np.quantile(boxes_T4[valid_T, 2:], 0.95, axis=0)
        if ((high_2 - low_2) * 1.2 <= np.array(size) * largest - 4).all():
            assert (low_2 >= [x1 - 2, y1 - 2]).all()
            assert (high_2 <= [x2 + 2, y2 + 2]).all()
    nothing = MotionCrop(size).geometry(boxes_T4, np.zeros(10, bool), (width, height))
    assert nothing == centre_geometry((width, height), size)


def test_an_outlier_does_not_move_a_motion_crop():
    boxes_T4 = np.tile(np.float32([100, 100, 140, 140]), (40, 1))
    steady = MotionCrop((64, 64)).geometry(boxes_T4, np.ones(40, bool), (640, 480))
    assert steady.crop == (88, 88, 152, 152)
    boxes_T4[7] = [0, 0, 640, 480]
    assert MotionCrop((64, 64)).geometry(boxes_T4, np.ones(40, bool), (640, 480)) == steady


@pytest.mark.parametrize("fit", ["pad", "squeeze"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("width", "height"), [(320, 180), (180, 320), (90, 90), (501, 77)])
def test_the_whole_frame(fit, flip, width, height):
    """All of it is seen, and boxes go where the pixels go."""
    geometry = whole_geometry(fit, (width, height), (112, 112), flip)
    boxes_T4 = walk(12, width, height, seed=3)
    assert disagreement(geometry, boxes_T4, width, height) <= 1.01
    everything = np.float32([[0, 0, width, height]])
    box_T4, _ = geometry.boxes(everything, np.ones(1, bool))
    sides = np.diff(box_T4.reshape(2, 2), axis=0)[0]
    wanted = (
        (112, 112) if fit == "squeeze" else 112 * np.array([width, height]) / max(width, height)
    )
    assert sides == pytest.approx(wanted, abs=1)
    drawn = draw_geometry(
        CropSettings(fit=fit, flip=True), (width, height), (112, 112), np.random.default_rng(1)
    )
    assert drawn.crop == geometry.crop


def test_an_unknown_fit():
    with pytest.raises(SettingsError, match="did you mean 'squeeze'"):
        CropSettings(fit="sqeeze")
