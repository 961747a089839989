import numpy as np
import pytest

from helpers.scenes import Waves, about, apply, shift
from mofo.motion.change import at_scale, two_sided_change

HEIGHT, WIDTH = 60, 80


def changes(now_HW, others_HW, ways_33, scale):
    """The two-sided change; ways in pixels that are ``scale`` times smaller than the frames'."""
    to_others_33 = at_scale(np.array(ways_33, float), scale)
    return two_sided_change(
        now_HW, others_HW, list(to_others_33), list(np.linalg.inv(to_others_33))
    )


def frame(x, y, *, side=14, ground=None):
    """A textured ground with a bright square at (x, y)."""
    grey_HW = (
        (Waves(0).picture(HEIGHT, WIDTH) // 2).astype(np.uint8) if ground is None else ground.copy()
    )
    grey_HW[y : y + side, x : x + side] = 230
    return grey_HW


def test_a_moved_square_is_kept_and_its_trail_dropped():
    before_HW, now_HW, after_HW = frame(10, 20), frame(34, 20), frame(58, 20)
    change_HW = changes(now_HW, [before_HW, after_HW], [np.eye(3)] * 2, 2.0)
    assert change_HW.dtype == np.uint8
    assert (change_HW[20:34, 34:48] > 20).all()
    change_HW[20:34, 34:48] = 0
    assert change_HW.max() == 0


def test_with_one_neighbour_the_trail_stays():
    change_HW = changes(frame(34, 20), [frame(10, 20)], [np.eye(3)], 2.0)
    assert (change_HW[20:34, 34:48] > 20).all()
    assert change_HW[21:33, 11:23].mean() > 20  # uncovered ground


def test_nothing_changes_nothing():
    now_HW = frame(30, 20)
    assert changes(now_HW, [now_HW, now_HW], [np.eye(3)] * 2, 2.0).max() == 0


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(
    "camera", [{"u": 6.0, "v": -3.0}, {"zoom": 1.05}, {"roll": 2.0, "u": 3.3}], ids=str
)
def test_the_camera_is_taken_out(camera, scale):
    # Homographies are given in full-resolution pixels, the frames are ``scale`` times smaller.
    moved_33 = about(round(HEIGHT * scale), round(WIDTH * scale), **camera)
    up_33 = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
    small_33 = np.linalg.inv(up_33) @ moved_33 @ up_33
    waves = Waves(3)
    now_HW = waves.picture(HEIGHT, WIDTH)
    after_HW = waves.picture(HEIGHT, WIDTH, small_33)
    before_HW = waves.picture(HEIGHT, WIDTH, np.linalg.inv(small_33))
    ways = [np.linalg.inv(moved_33), moved_33]
    change_HW = changes(now_HW, [before_HW, after_HW], ways, scale)
    assert change_HW.max() <= 3
    assert changes(now_HW, [before_HW, after_HW], ways[::-1], scale).mean() > 3


@pytest.mark.parametrize("way", [(30, 0), (-30, 0), (0, 24), (7.5, -9)])
def test_places_no_other_frame_shows_are_0(way):
    now_HW = np.full((HEIGHT, WIDTH), 200, np.uint8)
    other_HW = np.full((HEIGHT, WIDTH), 20, np.uint8)
    change_HW = changes(now_HW, [other_HW], [shift(*way)], 1.0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    there_HW2 = apply(shift(*way), np.stack([x, y], -1).astype(float))
    limit_2 = np.array([WIDTH - 1, HEIGHT - 1])
    outside_HW = ((there_HW2 < -1) | (there_HW2 > limit_2 + 1)).any(-1)
    inside_HW = ((there_HW2 >= 1) & (there_HW2 <= limit_2 - 1)).all(-1)
    assert outside_HW.any()
    assert (change_HW[outside_HW] == 0).all()
    assert (change_HW[inside_HW] == 180).all()


def test_a_place_seen_by_one_neighbour_only_is_judged_by_that_one():
    now_HW = np.full((HEIGHT, WIDTH), 200, np.uint8)
    dark_HW = np.full((HEIGHT, WIDTH), 20, np.uint8)
    change_HW = changes(now_HW, [dark_HW, dark_HW], [shift(40, 0), shift(-40, 0)], 1.0)
    assert (change_HW[:, :38] == 180).all()
    assert (change_HW[:, 42:] == 180).all()


def test_black_is_seen():
    black_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    now_HW = black_HW.copy()
    now_HW[20:40, 30:50] = 100
    change_HW = changes(now_HW, [black_HW, black_HW], [np.eye(3)] * 2, 2.0)
    assert (change_HW[21:39, 31:49] >= 98).all()
    change_HW[20:40, 30:50] = 0
    assert change_HW.max() <= 1


def test_half_a_pixel_of_misalignment_is_no_change():
    waves = Waves(5)
    now_HW, moved_HW = waves.picture(HEIGHT, WIDTH), waves.picture(HEIGHT, WIDTH, shift(0.4, 0))
    raw = np.abs(now_HW.astype(int) - moved_HW)[2:-2, 2:-2]
    change_HW = changes(now_HW, [moved_HW], [np.eye(3)], 1.0)[2:-2, 2:-2]
    assert raw.max() > 8
    assert change_HW.max() <= 3


@pytest.mark.parametrize("way", [(0.3, 0), (-0.3, 0), (0, 0.45), (0.4, -0.4), (-0.49, 0.3)])
def test_the_frames_border_does_not_change_under_a_camera_that_hardly_moves(way):
    waves = Waves(6)
    now_HW, moved_HW = waves.picture(HEIGHT, WIDTH), waves.picture(HEIGHT, WIDTH, shift(*way))
    change_HW = changes(now_HW, [moved_HW], [shift(*way)], 1.0)
    assert change_HW.max() <= 6
