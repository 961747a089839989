from types import SimpleNamespace

import numpy as np
import pytest

from helpers.scenes import about, apply, shift
from mofo.motion.camera import CameraFitter

SHAPE, CELL = (60, 80), 4
HEIGHT, WIDTH = SHAPE[0] * CELL, SHAPE[1] * CELL
SURE = np.ones(SHAPE, np.float32)


def fit(fitter, flow_hw2, sure_hw):
    """The fit of one field, without the axis of frames."""
    motion = fitter.fit(flow_hw2[None], sure_hw[None])
    return SimpleNamespace(
        homography_33=motion.homography_T33[0],
        residual_hw2=motion.residual_Thw2[0],
        noise=motion.noise_T[0],
        shift_hw2=motion.shift_Thw2[0],
    )


def centres(shape_hw=SHAPE, cell=CELL):
    """Places of the cells' centres in pixels, (h, w, 2)."""
    y, x = np.mgrid[0 : shape_hw[0], 0 : shape_hw[1]]
    return np.stack([x, y], -1) * cell + (cell - 1) / 2


def flow_of(moved_33, shape_hw=SHAPE, cell=CELL):
    xy_hw2 = centres(shape_hw, cell)
    return (apply(moved_33, xy_hw2) - xy_hw2).astype(np.float32)


def tilted(strength):
    """A homography with true perspective: about ``strength`` pixels at the frame's corners."""
    middle = shift((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    bent_33 = np.eye(3)
    bent_33[2, :2] = strength / (WIDTH / 2) ** 2 * np.array([0.8, -0.4])
    return middle @ bent_33 @ np.linalg.inv(middle)


CAMERAS = {
    "still": np.eye(3),
    "pan": shift(4.2, -1.7),
    "zoom in": about(HEIGHT, WIDTH, zoom=1.012),
    "zoom out": about(HEIGHT, WIDTH, zoom=0.99, u=0.5),
    "roll": about(HEIGHT, WIDTH, roll=0.7),
    "all": about(HEIGHT, WIDTH, roll=-0.4, zoom=1.008, u=-3, v=2),
    "fast": shift(-19, 11),
}


def error_of(motion, truth_33):
    """Largest distance, over the frame, from where the homography takes a pixel to the truth."""
    xy_hw2 = centres()
    return np.linalg.norm(
        apply(motion.homography_33, xy_hw2) - apply(truth_33, xy_hw2), axis=-1
    ).max()


@pytest.mark.parametrize("name", CAMERAS)
def test_exact_fields(name):
    truth_33 = CAMERAS[name]
    motion = fit(CameraFitter(SHAPE, (CELL, CELL)), flow_of(truth_33), SURE)
    assert error_of(motion, truth_33) < 1e-2
    assert np.abs(motion.residual_hw2).max() < 1e-2
    np.testing.assert_allclose(motion.shift_hw2, flow_of(truth_33), atol=1e-2)
    assert motion.noise < 0.01


@pytest.mark.parametrize("name", ["pan", "zoom in", "roll", "all", "still"])
@pytest.mark.parametrize("seed", range(3))
def test_outliers_in_clumps_and_noise(name, seed):
    truth_33 = CAMERAS[name]
    rng = np.random.default_rng(seed)
    flow_hw2 = flow_of(truth_33)
    flow_hw2 += rng.normal(0, 0.02, flow_hw2.shape).astype(np.float32)
    flow_hw2[15:47, 10:55] += [5, -3]  # 30 % of the frame is one mover
    motion = fit(CameraFitter(SHAPE, (CELL, CELL)), flow_hw2, SURE)
    # 600 points with 0.02 px of noise cannot say more than some 1e-2 px at the corners.
    assert error_of(motion, truth_33) < 0.03
    inside = np.s_[18:44, 13:52]
    assert motion.residual_hw2[inside].mean((0, 1)) == pytest.approx([5, -3], abs=0.03)
    assert motion.noise < 0.06


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_that_stands_is_not_bent_to_a_slow_mover(seed):
    flow_hw2 = np.random.default_rng(seed).normal(0, 0.03, (*SHAPE, 2)).astype(np.float32)
    flow_hw2[28:, 8:64] += (0.35, -0.1)
    sure_hw = SURE.copy()
    sure_hw[:28] = 0.3  # most of what can be seen is the mover
    assert error_of(fit(CameraFitter(SHAPE, (CELL, CELL)), flow_hw2, sure_hw), np.eye(3)) == 0


@pytest.mark.parametrize("name", CAMERAS)
def test_scattered_outliers_cost_nothing(name):
    truth_33 = CAMERAS[name]
    rng = np.random.default_rng(7)
    flow_hw2 = flow_of(truth_33)
    wild_hw = rng.random(SHAPE) < 0.3
    flow_hw2[wild_hw] += rng.uniform(4, 12, (wild_hw.sum(), 1)) * rng.choice(
        [-1, 1], (wild_hw.sum(), 2)
    )
    motion = fit(CameraFitter(SHAPE, (CELL, CELL)), flow_hw2.astype(np.float32), SURE)
    assert error_of(motion, truth_33) < 1e-2


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_perspective(strength):
    truth_33 = tilted(strength) @ shift(1.5, 1)
    flow_hw2 = flow_of(truth_33)
    motion = fit(CameraFitter(SHAPE, (CELL, CELL)), flow_hw2, SURE)
    bent = np.abs(flow_hw2 - flow_hw2.mean((0, 1))).max()
    assert error_of(motion, truth_33) < 0.06 * bent  # held near a similarity: a few per cent stay
    assert error_of(motion, truth_33) < 0.02 + 0.05 * strength


def test_homography_maps_as_the_fitted_flow_does():
    # Also where the fit is not the truth: the two descriptions of one result agree.
    rng = np.random.default_rng(0)
    flow_hw2 = flow_of(about(HEIGHT, WIDTH, roll=0.5, zoom=1.01, u=2))
    flow_hw2 += rng.normal(0, 0.5, flow_hw2.shape).astype(np.float32)
    motion = fit(CameraFitter(SHAPE, (CELL, CELL)), flow_hw2, SURE)
    xy_hw2 = centres()
    np.testing.assert_allclose(
        apply(motion.homography_33, xy_hw2) - xy_hw2, motion.shift_hw2, atol=0.03
    )
    np.testing.assert_allclose(motion.residual_hw2 + motion.shift_hw2, flow_hw2, atol=1e-4)


@pytest.mark.parametrize("cell", [1, 4, 8.5])
@pytest.mark.parametrize("shape_hw", [(30, 40), (40, 30), (31, 17)])
def test_other_grids(shape_hw, cell):
    height, width = shape_hw[0] * cell, shape_hw[1] * cell
    truth_33 = about(height, width, zoom=1.01, roll=-0.3, u=1, v=-2)
    motion = fit(
        CameraFitter(shape_hw, (cell, cell)),
        flow_of(truth_33, shape_hw, cell),
        np.ones(shape_hw, np.float32),
    )
    xy = centres(shape_hw, cell)
    gap = apply(motion.homography_33, xy) - apply(truth_33, xy)
    assert np.abs(gap).max() < 1e-2


def test_places_without_confidence_do_not_count():
    truth_33 = CAMERAS["pan"]
    flow_hw2, sure_hw = flow_of(truth_33), SURE.copy()
    flow_hw2[:, :56], sure_hw[:, :56] = 0, 0  # a wall without texture over 70 % of the frame
    motion = fit(CameraFitter(SHAPE, (CELL, CELL)), flow_hw2, sure_hw)
    assert error_of(motion, truth_33) < 0.05


def test_no_confidence_anywhere_is_no_motion():
    fitter = CameraFitter(SHAPE, (CELL, CELL))
    rng = np.random.default_rng(0)
    motion = fit(
        fitter, rng.normal(0, 9, (*SHAPE, 2)).astype(np.float32), np.zeros(SHAPE, np.float32)
    )
    np.testing.assert_array_equal(motion.homography_33, np.eye(3))
    assert (motion.residual_hw2 == 0).all()
    assert (motion.shift_hw2 == 0).all()
    assert motion.noise > 0
    # And the next frame is fitted as if nothing had been.
    assert error_of(fit(fitter, flow_of(CAMERAS["pan"]), SURE), CAMERAS["pan"]) < 1e-2


@pytest.mark.parametrize("shape_hw", [(1, 1), (1, 9), (2, 2), (3, 50)])
@pytest.mark.parametrize("sure", [0.0, 1e-9, 1.0])
def test_tiny_grids_stay_finite(shape_hw, sure):
    fitter = CameraFitter(shape_hw, (4, 4))
    rng = np.random.default_rng(1)
    for _ in range(4):
        flow_hw2 = rng.normal(0, 3, (*shape_hw, 2)).astype(np.float32)
        motion = fit(fitter, flow_hw2, np.full(shape_hw, sure, np.float32))
        for value in (motion.homography_33, motion.residual_hw2, motion.shift_hw2, motion.noise):
            assert np.isfinite(value).all()


@pytest.mark.parametrize("size", [0.0, 1.0, 300.0])
def test_pure_noise_stays_finite(size):
    fitter = CameraFitter(SHAPE, (CELL, CELL))
    rng = np.random.default_rng(2)
    for _ in range(20):
        flow_hw2 = (size * rng.normal(size=(*SHAPE, 2))).astype(np.float32)
        motion = fit(fitter, flow_hw2, rng.random(SHAPE).astype(np.float32))
        assert np.isfinite(motion.homography_33).all()
        assert np.isfinite(motion.residual_hw2).all()
        assert np.isfinite(motion.noise)


@pytest.mark.parametrize("at_once", [1, 6, 24])
def test_a_sequence_follows_a_camera_that_changes_its_mind(at_once):
    fitter = CameraFitter(SHAPE, (CELL, CELL))
    truths = [
        CAMERAS["pan"] if (t // 6) % 2 else about(HEIGHT, WIDTH, zoom=1.01, u=-4) for t in range(24)
    ]
    flow_Thw2 = np.stack([flow_of(truth_33) for truth_33 in truths])
    flow_Thw2[:, 20:40, 20:50] += [6, 6]
    for start in range(0, 24, at_once):
        part = flow_Thw2[start : start + at_once]
        motion = fitter.fit(part, np.stack([SURE] * len(part)))
        for way_33, truth_33 in zip(motion.homography_T33, truths[start:], strict=False):
            assert error_of(SimpleNamespace(homography_33=way_33), truth_33) < 0.03


def test_what_was_background_before_and_after_is_background_now():
    fitter = CameraFitter(SHAPE, (CELL, CELL))
    flow_Thw2 = np.stack([flow_of(CAMERAS["pan"])] * 9)
    flow_Thw2[:, :, 44:] += [5, 0]  # the smaller part moves, all the time
    flow_Thw2[4, :, 39:44] += [5, 0]  # once it is a little more than half
    motion = fitter.fit(flow_Thw2, np.stack([SURE] * 9))
    assert np.abs(motion.residual_Thw2[4, :, :30]).max() < 0.3
    assert motion.residual_Thw2[4, :, 42:, 0].mean() == pytest.approx(5, abs=0.3)
