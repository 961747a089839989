"""Preset ``paper``: maps of motion, boxes of maps, boxes over time."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from mofo.motion.paper import (
    flow_gradient,
    frame_box,
    motion_maps,
    settled_boxes,
    wide_blur,
)

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


HEIGHT, WIDTH = 240, 320
CENTRAL = [80, 60, 240, 180]


def spots(*boxes, value=5.0, shape=(HEIGHT, WIDTH)):
    map_HW = np.zeros(shape, np.float32)
    for x1, y1, x2, y2 in boxes:
        map_HW[y1:y2, x1:x2] = value
    return map_HW


def box(x1, y1, x2, y2):
    return np.array([x1, y1, x2, y2], np.float32)


def contains(outer_4, inner_4):
    return (outer_4[:2] <= inner_4[:2]).all() and (outer_4[2:] >= inner_4[2:]).all()


@pytest.mark.parametrize("shape", [(240, 320), (240, 427), (426, 240), (241, 333)])
@pytest.mark.parametrize("where", [(100, 80), (0, 0), (-5, -5)])
def test_wide_blur_equals_the_full_gaussian(shape, where):
    image_HW = np.zeros(shape, np.float32)
    image_HW[where] = 1
    image_HW[40:60, 100:140] = 0.02
    fast_HW = wide_blur(image_HW, 30)
    scipy_HW = ndimage.gaussian_filter(image_HW, 30, mode="reflect", truncate=4)
    cv2_HW = cv2.GaussianBlur(image_HW, (0, 0), 30, borderType=cv2.BORDER_REFLECT)
    assert np.abs(scipy_HW - cv2_HW).max() < 2e-3 * scipy_HW.max()
    assert fast_HW.shape == shape
    assert fast_HW.dtype == np.float32
    assert np.abs(fast_HW - scipy_HW).max() < 0.01 * scipy_HW.max()


@pytest.mark.parametrize("sigma", [0.01, 0.7, 2.9, 3, 6.1, 15, 60])
def test_wide_blur_at_any_sigma(sigma):
    image_HW = np.random.default_rng(0).random((120, 160), np.float32)
    image_HW[50:70, 60:90] += 3
    truth_HW = ndimage.gaussian_filter(image_HW, sigma, mode="reflect")
    error = 0.02 if sigma > 1 else 0.05
    assert np.abs(wide_blur(image_HW, sigma) - truth_HW).max() < error * image_HW.max()


def test_one_spot():
    found_4 = frame_box(spots((150, 100, 170, 120)))
    assert found_4.dtype == np.float32
    assert contains(found_4, box(150, 100, 170, 120))
    assert not contains(found_4, box(0, 0, WIDTH, HEIGHT))
    # The wide blur grows a spot about evenly to all sides (the paper's way).
    assert (found_4[0] + found_4[2]) / 2 == pytest.approx(160, abs=3)
    assert (found_4[1] + found_4[3]) / 2 == pytest.approx(110, abs=3)


def test_nothing_left():
    assert frame_box(np.zeros((HEIGHT, WIDTH), np.float32)) is None


def test_weak_regions_are_cut_off():
    # 0.4 of the maximum: the weaker spot does not count.
    map_HW = spots((40, 40, 60, 60)) + spots((250, 180, 270, 200), value=1.8)
    np.testing.assert_array_equal(frame_box(map_HW), frame_box(spots((40, 40, 60, 60))))


def test_trap_a_small_bright_spot_survives():
    """The paper: in 8 bits the blur loses spots under 9x9."""
    found_4 = frame_box(spots((150, 100, 158, 108)))
    assert found_4 is not None
    assert contains(found_4, box(150, 100, 158, 108))


@pytest.mark.parametrize("value", [0.01, 1, 255, 256, 300, 1e6])
def test_scale_of_the_map_does_not_matter(value):
    """Defect of the released code: float to uint8 wraps at 256."""
    np.testing.assert_array_equal(
        frame_box(spots((60, 60, 100, 90), value=value)), frame_box(spots((60, 60, 100, 90)))
    )


def test_two_regions_near_each_other_share_a_box():
    # Two regions after the wide blur, whose centres are less than 0.4 of 400 px apart.
    left, right = (80, 110, 86, 116), (232, 110, 238, 116)
    both_4 = frame_box(spots(left, right))
    alone_4 = frame_box(spots(left))
    other_4 = frame_box(spots(right))
    assert alone_4[2] < other_4[0], "the two spots must not flow together for this test"
    assert contains(both_4, box(*left))
    assert contains(both_4, box(*right))


def test_two_regions_far_apart_leave_the_larger():
    small, large = (20, 110, 26, 116), (250, 100, 275, 125)
    found_4 = frame_box(spots(small, large))
    assert contains(found_4, box(*large))
    assert found_4[0] > small[2]


def test_of_three_regions_two_count():
    # Largest and second largest are near each other; the third is left out.
    found_4 = frame_box(spots((20, 20, 24, 24), (200, 50, 212, 62), (200, 195, 210, 205)))
    assert contains(found_4, box(200, 50, 212, 62))
    assert contains(found_4, box(200, 195, 210, 205))
    assert found_4[0] > 24


def test_frame_box_scales_with_the_analysis():
    half_4 = frame_box(spots((75, 50, 85, 60), shape=(120, 160)))
    full_4 = frame_box(spots((150, 100, 170, 120)))
    np.testing.assert_allclose(2 * half_4, full_4, atol=6)


def test_first_frame_without_anything_gets_the_central_half():
    boxes_T4 = settled_boxes([None, None], WIDTH, HEIGHT)
    assert boxes_T4.tolist() == [CENTRAL, CENTRAL]
    assert boxes_T4.dtype == np.float32


def test_later_frames_without_anything_get_the_previous_box():
    one = box(80, 60, 220, 160)  # at least 0.4 of both sides: no padding
    boxes_T4 = settled_boxes([one, None, None], WIDTH, HEIGHT)
    assert boxes_T4.tolist() == [one.tolist()] * 3


def test_no_frames():
    assert settled_boxes([], WIDTH, HEIGHT).shape == (0, 4)


@pytest.mark.parametrize(
    "bad",
    [(10, 60, 236, 160), (100, 10, 240, 180), (100, 100, 120, 138), (0, 0, 320, 240)],
    ids=["wide", "tall", "small", "all"],
)
def test_boxes_of_impossible_size_take_a_neighbours(bad):
    good = box(100, 70, 240, 180)
    boxes_T4 = settled_boxes([good, box(*bad), good], WIDTH, HEIGHT)
    assert boxes_T4.tolist() == [good.tolist()] * 3
    # Also at the beginning and the end.
    boxes_T4 = settled_boxes([box(*bad), good, box(*bad), box(*bad)], WIDTH, HEIGHT)
    assert boxes_T4.tolist() == [good.tolist()] * 4


@pytest.mark.parametrize(
    "just_good",
    [(10, 60, 234, 160), (100, 10, 240, 178), (100, 100, 130, 126)],
    ids=["wide", "tall", "small"],
)
def test_limits_are_where_the_recipe_says(just_good):
    boxes_T4 = settled_boxes([box(*just_good)], WIDTH, HEIGHT)
    other = settled_boxes([box(*just_good), box(100, 70, 240, 180)], WIDTH, HEIGHT)
    np.testing.assert_array_equal(boxes_T4[0], other[0])  # does not take its neighbour's


def test_the_nearest_good_box_is_taken():
    one, other, bad = box(100, 70, 240, 180), box(104, 74, 244, 184), box(0, 0, 320, 240)
    boxes_T4 = settled_boxes([one, bad, bad, bad, bad, other], WIDTH, HEIGHT)
    assert boxes_T4[1:3].tolist() == [one.tolist()] * 2
    assert boxes_T4[3:].tolist() == [other.tolist()] * 3


def test_a_drifting_box_takes_its_predecessors():
    one = box(20, 20, 160, 130)
    jump = box(180, 110, 318, 238)
    boxes_T4 = settled_boxes([one, one, jump, one], WIDTH, HEIGHT)
    assert boxes_T4.tolist() == [one.tolist()] * 4


def test_a_slow_box_is_followed():
    way = [box(20 + 2 * t, 20, 160 + 2 * t, 130) for t in range(20)]
    np.testing.assert_array_equal(settled_boxes(way, WIDTH, HEIGHT), way)


def test_drift_is_measured_against_the_area():
    # Mean squared distance of the coordinates 100: over 10 % of 900 px, under 10 % of 140 x 110.
    small, large = box(100, 100, 160, 115), box(100, 70, 240, 180)
    for one, follows in ((small, False), (large, True)):
        boxes_T4 = settled_boxes([one, one + 10], WIDTH, HEIGHT)
        moved = boxes_T4[1] - boxes_T4[0]
        assert moved.tolist() == ([10] * 4 if follows else [0] * 4)


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_trap_padding_is_applied_once(frames):
    """Defect of the released code: padding applied again to already padded boxes."""
    boxes_T4 = settled_boxes([box(100, 100, 200, 180)] + [None] * (frames - 1), WIDTH, HEIGHT)
    np.testing.assert_allclose(boxes_T4, [[95, 96, 205, 184]] * frames)


def test_padding_each_axis_by_itself_and_within_the_frame():
    wide, tall = box(100, 100, 240, 160), box(100, 70, 160, 200)
    np.testing.assert_allclose(settled_boxes([wide], WIDTH, HEIGHT), [[100, 97, 240, 163]])
    np.testing.assert_allclose(settled_boxes([tall], WIDTH, HEIGHT), [[97, 70, 163, 200]])
    corner = settled_boxes([box(0, 0, 100, 80)], WIDTH, HEIGHT)
    np.testing.assert_allclose(corner, [[0, 0, 105, 84]])


def test_trap_all_frames_oversize_keep_their_coordinates():
    """Released code: all frames oversize -> coordinates halved, box in the top-left quarter."""
    large = [box(30 + t, 10, 310, 236) for t in range(4)]
    np.testing.assert_array_equal(settled_boxes(large, WIDTH, HEIGHT), large)


def test_inputs_stay_as_they_are():
    boxes = [box(20, 20, 60, 60), box(0, 0, 320, 240), box(22, 20, 62, 60)]
    copies = [one.copy() for one in boxes]
    settled_boxes(boxes, WIDTH, HEIGHT)
    for one, copy in zip(boxes, copies, strict=True):
        np.testing.assert_array_equal(one, copy)


def test_no_neighbour_rule_leaves_the_frame():
    rng = np.random.default_rng(0)
    for _ in range(50):
        corners = np.sort(rng.uniform(0, 1, (12, 2, 2)), axis=1) * [WIDTH, HEIGHT]
        boxes = [None if rng.random() < 0.3 else c.reshape(4).astype(np.float32) for c in corners]
        out_T4 = settled_boxes(boxes, WIDTH, HEIGHT)
        assert out_T4.shape == (12, 4)
        assert (out_T4 >= 0).all()
        assert (out_T4 <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
        assert (out_T4[:, 2:] >= out_T4[:, :2]).all()
