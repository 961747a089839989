import numpy as np
import pytest

from mofo.motion.camera import CameraFitter
from mofo.motion.colours import colour_odds
from mofo.motion.evidence import Evidence, shot_evidence
from mofo.motion.field import motion_field
from mofo.motion.movers import frame_movers
from mofo.motion.paper import box_field
from mofo.motion.parallax import still_share
from mofo.motion.paths import FlowPaths
from mofo.motion.thin import thin_traces, with_thin
from mofo.types import MotionArea, TokenGrid

ROWS, COLUMNS = 20, 24


def disc(x, y, radius):
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    return np.hypot(column - x, row - y) < radius


def evidence_of(flow_Thw2, seed=0):
    """Of frames whose pictures agree with the flow of their cells: noise that is carried along."""
    frames = len(flow_Thw2)
    rng = np.random.default_rng(seed)
    texture_HW = rng.integers(40, 220, (4 * ROWS, 4 * COLUMNS)).astype(np.uint8)
    halves = [np.roll(texture_HW, round(t * flow_Thw2[t, 0, 0, 0] / 2), 1) for t in range(frames)]
    sure_Thw = np.ones(flow_Thw2.shape[:3], np.float32)
    return shot_evidence(flow_Thw2, sure_Thw, halves, CameraFitter((ROWS, COLUMNS), (8, 8)))


def test_a_camera_alone_is_no_evidence():
    flow_Thw2 = np.full((12, ROWS, COLUMNS, 2), (2, 0), np.float32)
    evidence = evidence_of(flow_Thw2)
    assert evidence.motion_Thw.max() < 0.05
    assert evidence.strength_Thw.max() < 0.05
    assert evidence.camera_T == pytest.approx(np.full(12, 2), abs=0.1)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_shots_of_a_few_frames(frames):
    flow_Thw2 = np.zeros((frames, ROWS, COLUMNS, 2), np.float32)
    evidence = evidence_of(flow_Thw2)
    picture_Thw3 = np.full((frames, ROWS, COLUMNS, 3), 90, np.float32)
    field_Thw = motion_field(evidence, flow_Thw2, picture_Thw3)
    assert field_Thw.shape == (frames, ROWS, COLUMNS)
    assert (field_Thw == 0).all()


def test_what_cells_say_follows_the_flow():
    frames = 9
    flow_Thw2 = np.full((frames, ROWS, COLUMNS, 2), (1, 0), np.float32)
    picture_Thw3 = np.zeros((frames, ROWS, COLUMNS, 3), np.float32)
    said_Thw = np.zeros((frames, ROWS, COLUMNS), np.float32)
    said_Thw[4, 10, 12] = 1
    mean_Thw = FlowPaths(flow_Thw2, picture_Thw3).mean(said_Thw, 0.9)
    for t in range(2, 7):
        assert np.unravel_index(mean_Thw[t].argmax(), (ROWS, COLUMNS)) == (10, 12 + t - 4)
    assert mean_Thw.max() <= 1
    picture_Thw3[5:] = 200  # nothing looks as it did: whatever was known is lost
    mean_Thw = FlowPaths(flow_Thw2, picture_Thw3).mean(said_Thw, 0.9)
    assert mean_Thw[3, 10, 11] > 0.1
    assert mean_Thw[5:].max() < 1e-3


def test_colours_of_movers_are_learnt():
    rng = np.random.default_rng(0)
    picture_Thw3 = rng.normal((90, 128, 128), 6, (16, ROWS, COLUMNS, 3)).astype(np.float32)
    inside_hw = disc(12, 10, 5)
    picture_Thw3[:, inside_hw] += np.float32((60, 50, 0))
    known_Thw = np.tile(disc(12, 10, 2), (16, 1, 1)).astype(np.float32)
    odds_Thw = colour_odds(picture_Thw3, known_Thw)
    assert odds_Thw[:, inside_hw].min() > 0
    assert odds_Thw[:, ~disc(12, 10, 7)].max() < 0
    assert np.abs(colour_odds(picture_Thw3, np.zeros_like(known_Thw))).max() < 12


def test_movers_are_regions_of_the_field_sharpened_by_changed_pixels():
    field_yx = np.zeros((ROWS, COLUMNS), np.float32)
    field_yx[4:8, 5:10] = 0.9
    field_yx[15:17, 20:22] = 0.8
    field_yx[0, 0] = 0.6  # too light beside the others
    changed_HW = np.zeros((4 * ROWS, 4 * COLUMNS), np.uint8)
    changed_HW[18:31, 22:39] = 40
    boxes_K4 = frame_movers(field_yx, changed_HW, (8 * COLUMNS, 8 * ROWS))
    np.testing.assert_allclose(boxes_K4, [[44, 36, 78, 62], [160, 120, 176, 136]], atol=1)
    assert frame_movers(np.zeros_like(field_yx), changed_HW, (192, 160)).shape == (0, 4)


@pytest.mark.parametrize("carried", [True, False])
def test_boxes_grow_along_a_pole_only_if_the_mover_carries_it(carried):
    frames, speed = 16, 0.25  # cells a frame
    field_Tyx, doubtful = np.zeros((frames, ROWS, COLUMNS), np.float32), []
    for t in range(frames):
        left = 5 + speed * t
        field_Tyx[t, 12:17, round(left) : round(left) + 5] = 1
        changed_HW = np.zeros((4 * ROWS, 4 * COLUMNS), bool)
        along = np.arange(16, 48)
        if carried or t == 8:
            changed_HW[along, (4 * left + 8 + (48 - along) / 3).astype(int)] = along % 3 != t % 3
        doubtful.append(changed_HW)
    flow_Tyx2 = np.full((frames, ROWS, COLUMNS, 2), (speed, 0), np.float32)
    traces = thin_traces(field_Tyx, flow_Tyx2, doubtful)
    box_14 = np.array([[64, 96, 104, 136]], np.float32)
    grown_14 = with_thin(box_14, field_Tyx[8], traces[8], (8 * COLUMNS, 8 * ROWS))
    if carried:
        np.testing.assert_allclose(grown_14, [[64, 32, 104, 136]], atol=8)
    else:
        np.testing.assert_array_equal(grown_14, box_14)


@pytest.mark.parametrize("others", ["agree", "differ", "none"])
@pytest.mark.parametrize("own", ["along", "across", "opposite"])
def test_a_region_is_still_only_if_the_rest_has_its_epipole(others, own):
    rng, frames = np.random.default_rng(0), 10
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    away_hw2 = np.stack([column - 4.5, row - 3.5], -1)  # the epipole is left and up of the middle
    away_hw2 /= np.linalg.norm(away_hw2, axis=-1, keepdims=True)
    region_hw = disc(15, 10, 4)
    turn = {"along": 0, "across": np.pi / 2, "opposite": np.pi}[own]
    turn_hw = np.where(region_hw, turn, 0)
    if others == "differ":
        turn_hw = np.where(region_hw, turn, rng.uniform(0, 2 * np.pi, region_hw.shape))
    cos_hw, sin_hw = np.cos(turn_hw), np.sin(turn_hw)
    x_hw, y_hw = away_hw2[..., 0], away_hw2[..., 1]
    residual_hw2 = np.stack([cos_hw * x_hw - sin_hw * y_hw, sin_hw * x_hw + cos_hw * y_hw], -1)
    if others == "none":
        residual_hw2[~region_hw] = 0
    nothing_Thw = np.zeros((frames, ROWS, COLUMNS), np.float32)
    evidence = plain_evidence(
        nothing_Thw, np.tile(residual_hw2.astype(np.float32), (frames, 1, 1, 1))
    )
    still_Thw = still_share(nothing_Thw + region_hw, evidence)
    assert still_Thw.shape == nothing_Thw.shape
    inside = still_Thw[:, region_hw]
    assert inside.min() > 0.9 if (own, others) == ("along", "agree") else inside.max() < 0.1


def plain_evidence(strength_Thw, residual_Thw2, camera=1.0):
    frames = len(strength_Thw)
    return Evidence(
        strength_Thw=strength_Thw,
        residual_Thw2=residual_Thw2,
        trust_Thw=np.ones_like(strength_Thw),
        changed=[],
        camera_T=np.full(frames, camera, np.float32),
        homography_T33=np.tile(np.eye(3), (frames, 1, 1)),
    )


def field_of(strength_hw, camera=1.0):
    """Of things that go nowhere, for 16 frames."""
    strength_Thw = np.tile(strength_hw.astype(np.float32), (16, 1, 1))
    residual_Thw2 = np.stack([np.sqrt(strength_Thw), np.zeros_like(strength_Thw)], -1)
    picture_Thw3 = np.full((*strength_Thw.shape, 3), 90, np.float32)
    evidence = plain_evidence(strength_Thw, residual_Thw2, camera)
    return motion_field(evidence, np.zeros_like(residual_Thw2), picture_Thw3)[8]


def test_a_slow_mover_beside_a_fast_one_before_a_silent_background():
    slow_hw, fast_hw = disc(17, 13, 4.5), disc(5, 5, 3)
    still_hw = ~(disc(17, 13, 7) | disc(5, 5, 6))
    field_hw = field_of(0.9 * slow_hw + 8 * fast_hw, camera=0.0)
    assert field_hw[slow_hw].mean() > 0.5
    assert field_hw[still_hw].max() < 0.2
    # Before ripples that rise by degrees it may be one of them.
    ripples_hw = np.random.default_rng(0).uniform(0, 0.4, (ROWS, COLUMNS))
    field_hw = field_of(np.maximum(0.9 * slow_hw + 8 * fast_hw, ripples_hw), camera=0.0)
    assert field_hw[slow_hw].max() < 0.5 < field_hw[fast_hw].mean()


def test_what_runs_along_the_border_is_ground_unless_the_border_cuts_it_off():
    row, _ = np.mgrid[0:ROWS, 0:COLUMNS]
    corner_hw, ground_hw = disc(0, 0, 5), row > ROWS - 5
    assert field_of(4 * corner_hw)[corner_hw].mean() > 0.5
    assert field_of(4 * ground_hw)[ground_hw].max() < 0.1
    assert field_of(4 * ground_hw, camera=0.0)[ground_hw].mean() > 0.5


def test_field_of_a_box():
    field_yx = box_field(np.array([12, 8, 28, 16.0]), (40, 20), (5, 4))
    assert field_yx.shape == (5, 4)
    np.testing.assert_allclose(field_yx[2], [0, 0.8, 0.8, 0])
    assert field_yx.sum() * 10 * 4 == pytest.approx(16 * 8)


def area_of(field_Tyx, width=106, height=60):
    frames = len(field_Tyx)
    return MotionArea(
        width, height, np.arange(frames), np.arange(frames) / 25.0,
        np.zeros((frames, 4), np.float32), np.zeros(frames, bool),
        tuple(np.zeros((0, 4), np.float32) for _ in range(frames)), field_Tyx=field_Tyx,
    )  # fmt: skip


def test_tokens_are_means_over_patches_and_over_the_frames_between():
    rng = np.random.default_rng(0)
    field_Tyx = rng.integers(0, 256, (20, 30, 53)).astype(np.uint8)
    area, grid = area_of(field_Tyx), TokenGrid(4, 32, 48, tubelet=2)
    motion_thw = area.tokens(grid, np.array([2, 5, 9, 12]))
    assert motion_thw.shape == (2, 2, 3)
    assert motion_thw.dtype == np.float32
    pixels_THW = field_Tyx.repeat(2, 1).repeat(2, 2) / 255  # columns 0 to 105
    cell = pixels_THW[2:9, :30, :35].mean()
    assert motion_thw[0, 0, 0] == pytest.approx(cell, abs=0.003)
    assert motion_thw[1].mean() == pytest.approx(field_Tyx[9:13].mean() / 255, abs=1e-3)
    crop = area.tokens(grid, np.array([3, 3, 3, 3]), np.array([20, 10, 68, 42]))
    np.testing.assert_allclose(
        crop[0], pixels_THW[3, 10:42, 20:68].reshape(2, 16, 3, 16).mean((1, 3)), atol=1e-5
    )
    outside = area.tokens(grid, np.arange(4), np.array([-106, 0, 0, 60]))
    assert (outside == 0).all()


def test_tokens_need_a_field_and_the_clips_frames():
    area = area_of(np.zeros((5, 3, 4), np.uint8))
    with pytest.raises(ValueError, match="3 frames"):
        area.tokens(TokenGrid(4, 16, 16), np.arange(3))
    with pytest.raises(ValueError, match="no motion field"):
        area_of(np.zeros((4, 3, 4), np.uint8)).__class__(
            9, 9, *(np.zeros(0) for _ in range(2)), np.zeros((0, 4)), np.zeros(0, bool), ()
        ).tokens(TokenGrid(4, 16, 16), np.arange(4))
