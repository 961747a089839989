import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mofo.motion.movers import FrameMovers
from mofo.motion.tracks import TrackSettings, lasting_movers

WIDTH, HEIGHT = 320, 240
PLAIN = TrackSettings(margin=0)


def movers(*boxes, own=None, camera=None):
    box_K4 = np.array(boxes, np.float32).reshape(-1, 4)
    nil = np.zeros((len(box_K4), 2))
    return FrameMovers(
        box_K4,
        np.full_like(nil, 2) if own is None else np.broadcast_to(own, nil.shape),
        nil if camera is None else np.broadcast_to(camera, nil.shape),
    )


def at(x, y, size=40):
    return (x, y, x + size, y + size)


def test_no_frames_and_empty_frames():
    assert lasting_movers([], WIDTH, HEIGHT) == []
    out = lasting_movers([movers()] * 5, WIDTH, HEIGHT)
    assert [boxes.shape for boxes in out] == [(0, 4)] * 5
    assert all(boxes.dtype == np.float32 for boxes in out)


def test_a_steady_mover_is_kept_frame_by_frame():
    way = [at(20 + 3 * t, 60 + t) for t in range(30)]
    out = lasting_movers([movers(box) for box in way], WIDTH, HEIGHT, PLAIN)
    assert len(out) == 30
    np.testing.assert_allclose(np.concatenate(out), way, atol=1e-3)
    assert all(boxes.dtype == np.float32 for boxes in out)


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_flicker_is_dropped(frames):
    candidates = [movers(at(100, 100)) if 10 <= t < 10 + frames else movers() for t in range(40)]
    assert all(len(boxes) == 0 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))


def test_scattered_flashes_are_not_one_track():
    # One place, but seen every seventh frame only.
    candidates = [movers(at(100, 100)) if t % 7 == 0 else movers() for t in range(70)]
    assert all(len(boxes) == 0 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))
    rng = np.random.default_rng(0)
    candidates = [movers(at(*rng.uniform(0, 200, 2), 8)) for _ in range(60)]
    kept = sum(len(boxes) for boxes in lasting_movers(candidates, WIDTH, HEIGHT))
    assert kept < 10


def test_what_is_long_enough_is_kept():
    candidates = [movers(at(100, 100)) if 10 <= t < 18 else movers() for t in range(40)]
    out = lasting_movers(candidates, WIDTH, HEIGHT)
    assert [t for t, boxes in enumerate(out) if len(boxes)] == list(range(10, 18))


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_short_shots_need_less(frames):
    out = lasting_movers([movers(at(100, 100))] * frames, WIDTH, HEIGHT)
    assert all(len(boxes) == 1 for boxes in out)


def test_gaps_are_filled():
    way = [at(20 + 3 * t, 60) for t in range(30)]
    candidates = [movers() if 12 <= t < 17 else movers(way[t]) for t in range(30)]
    out = lasting_movers(candidates, WIDTH, HEIGHT, PLAIN)
    np.testing.assert_allclose(np.concatenate(out), way, atol=0.5)


def test_long_gaps_are_not_filled():
    candidates = [movers() if 12 <= t < 28 else movers(at(100, 100)) for t in range(40)]
    out = lasting_movers(candidates, WIDTH, HEIGHT)
    assert [len(boxes) for boxes in out] == [1] * 12 + [0] * 16 + [1] * 12


def test_a_single_wild_box_is_smoothed_away():
    way = [at(60 + 2 * t, 60) for t in range(20)]
    wild = [*way[:10], (way[10][0], 10, way[10][2] + 150, 230), *way[11:]]
    out = lasting_movers([movers(box) for box in wild], WIDTH, HEIGHT, PLAIN)
    np.testing.assert_allclose(out[10], [way[10]], atol=5)


def test_margin_is_added_and_clipped():
    corner = (0, 0, 50, 40)
    s = TrackSettings(margin=6)
    out = lasting_movers([movers(corner)] * 10, WIDTH, HEIGHT, s)
    np.testing.assert_allclose(out[5], [[0, 0, 56, 46]])
    out = lasting_movers([movers((290, 220, 318, 239))] * 10, WIDTH, HEIGHT, s)
    np.testing.assert_allclose(out[5], [[284, 214, 320, 240]])


def test_two_movers_keep_apart():
    one = [at(20 + 2 * t, 20) for t in range(20)]
    other = [at(250 - 2 * t, 150) for t in range(20)]
    # The order within a frame says nothing.
    candidates = [
        movers(a, b) if t % 2 else movers(b, a)
        for t, (a, b) in enumerate(zip(one, other, strict=True))
    ]
    out = lasting_movers(candidates, WIDTH, HEIGHT, PLAIN)
    for t, boxes_K4 in enumerate(out):
        assert len(boxes_K4) == 2
        np.testing.assert_allclose(
            sorted(boxes_K4.tolist()), sorted([list(one[t]), list(other[t])]), atol=1e-3
        )


def test_a_box_inside_another_is_joined():
    out = lasting_movers([movers((50, 50, 150, 150), (60, 60, 90, 90))] * 12, WIDTH, HEIGHT, PLAIN)
    assert all(len(boxes) == 1 for boxes in out)
    np.testing.assert_allclose(out[6], [[50, 50, 150, 150]])


CAMERA = [np.array([3 + 2 * np.sin(t / 2), 1.5 * np.cos(t / 3)]) for t in range(30)]


def test_parallax_is_dropped():
    candidates = [movers(at(100, 100), own=0.3 * c, camera=c) for c in CAMERA]
    assert all(len(boxes) == 0 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))


def test_parallax_with_noise_is_dropped():
    rng = np.random.default_rng(0)
    candidates = [
        movers(at(100, 100), own=0.4 * c + rng.normal(0, 0.15, 2), camera=c) for c in CAMERA
    ]
    assert all(len(boxes) == 0 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))


@pytest.mark.parametrize("own", [(-0.5, 3.0), (0.5, -2.0), (0.0, 2.0)])
def test_a_mover_under_the_same_camera_is_kept(own):
    candidates = [movers(at(100, 100), own=own, camera=c) for c in CAMERA]
    assert all(len(boxes) == 1 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))


def test_a_steady_mover_along_an_uneven_pan_is_kept():
    own = (2.0, 0.5)
    candidates = [movers(at(100, 100), own=own, camera=c) for c in CAMERA]
    assert all(len(boxes) == 1 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))


def test_what_outruns_the_camera_is_kept():
    candidates = [movers(at(100, 100), own=1.6 * c, camera=c) for c in CAMERA]
    assert all(len(boxes) == 1 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))


def test_a_steady_camera_proves_nothing():
    candidates = [movers(at(100, 100), own=(1.2, 0), camera=(4.0, 0))] * 30
    assert all(len(boxes) == 1 for boxes in lasting_movers(candidates, WIDTH, HEIGHT))


def test_a_box_that_jumps_is_not_turned_inside_out():
    edges = [(80, 180), (110, 230), (70, 150), (20, 200), (0, 50), (40, 50)]
    out = lasting_movers([movers((100, a, 140, b)) for a, b in edges], WIDTH, HEIGHT)
    assert all((boxes_K4[:, 3] > boxes_K4[:, 1]).all() for boxes_K4 in out)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.floats(1, 120))
def test_boxes_are_always_boxes(seed, frames, wander):
    """Whatever comes in, what goes out lies within the frame and is not turned inside out."""
    rng = np.random.default_rng(seed)
    candidates = []
    for _ in range(frames):
        corner_K2 = rng.uniform(0, [WIDTH - 2, HEIGHT - 2], (rng.integers(0, 4), 2))
        far_K2 = np.minimum(
            corner_K2 + 2 + rng.exponential(wander, corner_K2.shape), [WIDTH, HEIGHT]
        )
        candidates.append(movers(*np.concatenate([corner_K2, far_K2], 1)))
    out = lasting_movers(candidates, WIDTH, HEIGHT)
    assert len(out) == frames
    for boxes_K4 in out:
        assert boxes_K4.dtype == np.float32
        assert (boxes_K4 >= 0).all()
        assert (boxes_K4 <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
        assert (boxes_K4[:, 2:] > boxes_K4[:, :2]).all()
