import numpy as np
import pytest
from scipy import ndimage

from mofo.motion.motion_map import flow_gradient, motion_maps

ACROSS = np.array([[-1, 0, 1]] * 3)


def flows_of(frames, height=40, width=52, seed=0, size=2.0):
    """As ``with_flow`` gives them: one a frame, None first."""
    rng = np.random.default_rng(seed)
    field = rng.normal(0, size, (frames, height, width, 2)).astype(np.float32)
    return [None, *field[1:]][:frames]


def naive_maps(flows, border):
    """The paper, word by word, in float64: window of derivatives, summed, per frame."""
    fields = [flow.astype(float) for flow in flows if flow is not None]
    fields.append(fields[-1])  # the last one is repeated
    derivatives = [
        [
            [
                ndimage.correlate(flow[..., c], kernel, mode="mirror")
                for kernel in (ACROSS, ACROSS.T)
            ]
            for c in (0, 1)
        ]
        for flow in fields
    ]
    derivatives = np.array(derivatives)  # (T, uv, xy, H, W)
    frames = len(fields)
    maps = []
    for t in range(frames):
        first = min(max(t - 3, 0), max(frames - 8, 0))
        summed = derivatives[first : first + 8].sum(0)
        one = np.hypot(summed[:, 0], summed[:, 1]).mean(0)
        if border:
            one[:border] = one[-border:] = 0
            one[:, :border] = one[:, -border:] = 0
        maps.append(one)
    return maps


@pytest.mark.parametrize("frames", [2, 3, 5, 7, 8, 9, 10, 20, 100])
def test_running_sums_equal_windows(frames):
    flows = flows_of(frames, seed=frames)
    fast, slow = list(motion_maps(iter(flows))), naive_maps(flows, border=1)
    assert len(fast) == len(slow) == frames
    for one_HW, other_HW in zip(fast, slow, strict=True):
        assert one_HW.dtype == np.float32
        np.testing.assert_allclose(one_HW, other_HW, rtol=1e-3, atol=1e-3 * other_HW.max())
    if frames > 12:  # the windows differ, so a wrong one would be seen
        assert np.abs(slow[5] - slow[6]).max() > 0.1 * slow[5].max()


def test_rounding_does_not_pile_up_after_a_violent_stretch():
    flows = flows_of(300, 16, 16)
    flows[20] = flows[20] * np.float32(1e5)
    fast, slow = list(motion_maps(iter(flows))), naive_maps(flows, border=1)
    np.testing.assert_allclose(fast[-1], slow[-1], rtol=1e-3, atol=1e-3 * slow[-1].max())


def test_clip_of_one_frame_has_no_map():
    assert list(motion_maps(iter([None]))) == []
    assert list(motion_maps(iter([]))) == []


def test_maps_do_not_share_memory_and_inputs_stay():
    flows = flows_of(20)
    copies = [None if flow is None else flow.copy() for flow in flows]
    stream = motion_maps(iter(flows))
    first = next(stream)
    kept = first.copy()
    rest = list(stream)
    np.testing.assert_array_equal(first, kept)
    assert not any(np.shares_memory(first, other) for other in rest)
    for flow, copy in zip(flows[1:], copies[1:], strict=True):
        np.testing.assert_array_equal(flow, copy)


@pytest.mark.parametrize("way", [(3.0, 0.0), (-1.25, 7.5), (0.0, 0.0)])
def test_a_pure_pan_has_no_map(way):
    pan_HW2 = np.full((48, 64, 2), way, np.float32)
    for map_HW in motion_maps(iter([None] + [pan_HW2] * 12)):
        assert np.abs(map_HW).max() < 1e-4


def test_a_zoom_is_not_removed_and_has_the_expected_size():
    # The paper: only translation vanishes. Divergence d gives Prewitt 6 d (3 rows x 2 px).
    y, x = np.mgrid[0:48, 0:64].astype(np.float32)
    zoom_HW2 = np.stack([0.01 * x, 0.01 * y], -1)
    maps = list(motion_maps(iter([None] + [zoom_HW2] * 20)))
    np.testing.assert_allclose(maps[10][10:-10, 10:-10], 8 * 6 * 0.01, rtol=1e-4)


@pytest.mark.parametrize(("shape", "border"), [((240, 320), 8), ((120, 400), 4), ((480, 270), 9)])
def test_border_is_zero_and_scales(shape, border):
    rng = np.random.default_rng(0)
    flow_HW2 = rng.normal(size=(*shape, 2)).astype(np.float32)
    (map_HW, _) = motion_maps(iter([None, flow_HW2]))
    inner = np.s_[border:-border, border:-border]
    assert (map_HW[inner] > 0).mean() > 0.999
    outer_HW = map_HW.copy()
    outer_HW[inner] = 0
    assert (outer_HW == 0).all()
    assert map_HW[border].max() > 0
    assert map_HW[:, -border - 1].max() > 0


def test_no_border_asked_for():
    flow_HW2 = np.random.default_rng(0).normal(size=(10, 12, 2)).astype(np.float32)
    map_HW = flow_gradient(flow_HW2, 0)
    # Mirrored at the edge, so only the corners' gradients vanish.
    assert (map_HW > 0).sum() == map_HW.size - 4


def test_u_and_v_weigh_the_same_and_signs_do_not_matter():
    bump_HW = np.zeros((40, 40), np.float32)
    bump_HW[15:25, 15:25] = 3
    zero_HW = np.zeros_like(bump_HW)
    in_u, in_v, minus = (
        flow_gradient(np.stack(pair, -1), 2)
        for pair in ((bump_HW, zero_HW), (zero_HW, bump_HW), (-bump_HW, zero_HW))
    )
    assert in_u.max() > 0
    np.testing.assert_allclose(in_u, in_v)
    np.testing.assert_allclose(in_u, minus)
    np.testing.assert_allclose(flow_gradient(np.stack([bump_HW, bump_HW], -1), 2), 2 * in_u)


def test_opposite_motion_cancels_within_the_window():
    # Derivatives are summed signed: something that trembles in place adds up to nothing.
    bump_HW2 = np.zeros((40, 40, 2), np.float32)
    bump_HW2[15:25, 15:25] = 3
    maps = list(motion_maps(iter([None] + [bump_HW2, -bump_HW2] * 10)))
    steady = list(motion_maps(iter([None] + [bump_HW2] * 20)))
    assert maps[10].max() < 1e-3 * steady[10].max()


@pytest.mark.parametrize("speed", [1.0, 42.6, 42.7, 85.4, 500.0, 20000.0])
def test_trap_strong_motion_does_not_wrap(speed):
    """Released code: a map converted to uint8 wraps at 256, the strongest motion vanishes."""

    def peak(value):
        flow_HW2 = np.zeros((60, 80, 2), np.float32)
        flow_HW2[20:40, 30:50] = value
        return max(float(map_HW.max()) for map_HW in motion_maps(iter([None] + [flow_HW2] * 9)))

    assert peak(speed) == pytest.approx(speed * peak(1.0), rel=1e-4)
    assert peak(1.0) >= 8 * 3
