import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mofo.clips.token_area import token_area
from mofo.types import SettingsError, TokenGrid

GRID = TokenGrid(16, 224, 224)


def area(*boxes, grid=GRID, valid=None, per="clip"):
    """One sample; a single box stands in all frames."""
    box_T4 = torch.tensor(boxes, dtype=torch.float32)
    if len(boxes) == 1:
        box_T4 = box_T4.expand(grid.frames, 4)
    valid_T = torch.ones(grid.frames, dtype=torch.bool) if valid is None else torch.tensor(valid)
    return token_area(box_T4[None], valid_T[None], grid, per)[0]


def by_hand(box_BT4, valid_BT, grid, per):
    """The definition, one patch after the other: shared pixels of hull and patch above zero."""
    batch = len(box_BT4)
    inside_Bthw = np.zeros((batch, grid.t, grid.h, grid.w), bool)
    for b in range(batch):
        for t in range(grid.t):
            first = t * grid.tubelet
            span = range(grid.frames) if per == "clip" else range(first, first + grid.tubelet)
            kept = []
            for f in span:
                x1, y1, x2, y2 = box_BT4[b, f].tolist()
                x1, x2 = max(x1, 0), min(x2, grid.width)
                y1, y2 = max(y1, 0), min(y2, grid.height)
                if valid_BT[b, f] and x2 > x1 and y2 > y1:
                    kept.append((x1, y1, x2, y2))
            if not kept:
                continue
            left, top = min(k[0] for k in kept), min(k[1] for k in kept)
            right, bottom = max(k[2] for k in kept), max(k[3] for k in kept)
            for y in range(grid.h):
                for x in range(grid.w):
                    across = min(right, (x + 1) * grid.patch) - max(left, x * grid.patch)
                    down = min(bottom, (y + 1) * grid.patch) - max(top, y * grid.patch)
                    inside_Bthw[b, t, y, x] = across > 0 and down > 0
    return inside_Bthw


def random_boxes(rng, batch, grid):
    """Boxes of all kinds: inside, across the border, on the lattice, inside out, empty, far off."""
    size_2 = np.array([grid.width, grid.height])
    corner_BT2 = rng.uniform(-0.5, 1.3, (batch, grid.frames, 2)) * size_2
    extent_BT2 = rng.uniform(-0.1, 0.6, (batch, grid.frames, 2)) * size_2
    box_BT4 = np.concatenate([corner_BT2, corner_BT2 + extent_BT2], 2)
    lattice_BT = rng.random((batch, grid.frames)) < 0.3
    box_BT4[lattice_BT] = np.round(box_BT4[lattice_BT] / grid.patch) * grid.patch
    return box_BT4.astype(np.float32), rng.random((batch, grid.frames)) < 0.7


def test_a_box_takes_every_patch_it_shares_a_pixel_with():
    inside_thw = area((40, 100, 41, 130))
    assert inside_thw.shape == (8, 14, 14)
    assert inside_thw.dtype == torch.bool
    expected_hw = torch.zeros(14, 14, dtype=torch.bool)
    expected_hw[6:9, 2] = True  # rows 96-112, 112-128, 128-144; column 32-48
    assert (inside_thw == expected_hw).all()


def test_touching_along_an_edge_is_outside():
    inside_hw = area((32, 64, 48, 96))[0]
    assert inside_hw.nonzero().tolist() == [[4, 2], [5, 2]]
    assert area((31.999, 64, 48.001, 96))[0].nonzero().tolist() == [
        [y, x] for y in (4, 5) for x in (1, 2, 3)
    ]


def test_the_whole_frame_is_inside():
    assert area((0, 0, 224, 224)).all()
    assert area((-500, -500, 1000, 1000)).all()
    assert area((-float("inf"), 0, float("inf"), 224)).all()


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 0, 0),
        (50, 50, 50, 90),  # a line
        (50, 50, 90, 50),
        (90, 50, 50, 90),  # inside out
        (-50, 20, 0, 60),  # left of the frame, touching it
        (224, 20, 260, 60),
        (20, -30, 60, -1),
        (float("nan"), 20, 60, 60),
        (20, 20, 60, float("nan")),
    ],
)  # fmt: skip
def test_boxes_without_area_in_the_frame_count_for_nothing(box):
    assert not area(box).any()
    # Not even as a part of the hull.
    good = (100, 100, 120, 120)
    mixed = area(*[box if t % 2 else good for t in range(16)])
    assert torch.equal(mixed, area(good))


def test_invalid_frames_count_for_nothing():
    assert not area((20, 20, 60, 60), valid=[False] * 16).any()
    boxes = [(20, 20, 60, 60)] * 15 + [(0, 0, 224, 224)]
    assert torch.equal(area(*boxes, valid=[True] * 15 + [False]), area((20, 20, 60, 60)))


def test_a_clip_has_one_area_and_tubelets_have_their_own():
    boxes = [(16 * (t // 2), 32, 16 * (t // 2) + 16, 48) for t in range(16)]
    clip_thw = area(*boxes)
    assert (clip_thw == clip_thw[0]).all()
    assert clip_thw[0].nonzero().tolist() == [[2, x] for x in range(8)]
    tubelet_thw = area(*boxes, per="tubelet")
    assert tubelet_thw.nonzero().tolist() == [[t, 2, t] for t in range(8)]


def test_both_frames_of_a_tubelet_count():
    boxes = [(0, 0, 16, 16), (64, 64, 80, 80)] * 8
    assert area(*boxes, per="tubelet")[3].nonzero().tolist() == [
        [y, x] for y in range(5) for x in range(5)
    ]
    only_second = area(*boxes, per="tubelet", valid=[False, True] * 8)
    assert only_second[3].nonzero().tolist() == [[4, 4]]


@pytest.mark.parametrize("per", ["clip", "tubelet"])
@pytest.mark.parametrize(
    "grid",
    [GRID, TokenGrid(8, 64, 112), TokenGrid(3, 48, 24, tubelet=3, patch=8)],
    ids=["14x14", "4x7", "tubelet 3"],
)
def test_is_the_definition_for_boxes_of_all_kinds(grid, per):
    box_BT4, valid_BT = random_boxes(np.random.default_rng(3), 120, grid)
    valid_BT[:3] = False
    inside_Bthw = token_area(torch.from_numpy(box_BT4), torch.from_numpy(valid_BT), grid, per)
    expected_Bthw = by_hand(box_BT4, valid_BT, grid, per)
    np.testing.assert_array_equal(inside_Bthw.numpy(), expected_Bthw)
    assert 0.02 < expected_Bthw.mean() < 0.98


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 3), st.integers(1, 6),
    st.integers(1, 6), st.sampled_from([1, 7, 16]), st.sampled_from(["clip", "tubelet"]),
)  # fmt: skip
def test_is_the_definition_on_any_grid(seed, t, tubelet, h, w, patch, per):
    grid = TokenGrid(t * tubelet, h * patch, w * patch, tubelet=tubelet, patch=patch)
    box_BT4, valid_BT = random_boxes(np.random.default_rng(seed), 4, grid)
    inside_Bthw = token_area(torch.from_numpy(box_BT4), torch.from_numpy(valid_BT), grid, per)
    np.testing.assert_array_equal(inside_Bthw.numpy(), by_hand(box_BT4, valid_BT, grid, per))


def test_samples_do_not_mix():
    box_BT4, valid_BT = map(torch.from_numpy, random_boxes(np.random.default_rng(5), 30, GRID))
    together = token_area(box_BT4, valid_BT, GRID)
    for b in range(30):
        assert torch.equal(
            together[b], token_area(box_BT4[b : b + 1], valid_BT[b : b + 1], GRID)[0]
        )


def test_an_empty_batch_is_fine():
    inside = token_area(torch.zeros(0, 16, 4), torch.zeros(0, 16, dtype=torch.bool), GRID)
    assert inside.shape == (0, 8, 14, 14)


def test_the_result_is_its_own_memory():
    """Writing into one time slot must not write into the others."""
    inside_thw = area((0, 0, 16, 16))
    inside_thw[0] = False
    assert inside_thw[1].any()


def test_wrong_arguments_are_said():
    box_BT4, valid_BT = torch.zeros(2, 16, 4), torch.zeros(2, 16, dtype=torch.bool)
    with pytest.raises(SettingsError, match="per 'frame' is unknown: choose from clip, tubelet"):
        token_area(box_BT4, valid_BT, GRID, "frame")
    with pytest.raises(ValueError, match=r"\(2, 8, 4\).*instead of \(B, 16, 4\)"):
        token_area(box_BT4[:, :8], valid_BT, GRID)
