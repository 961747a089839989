"""Defects that motion-guided masks have had, each put back on purpose: the checks reject it.

Every defect is a mutated ``hidden_tokens``, ``token_area`` or drawing of noise. The same checks
pass with ours, so none of them is vacuous.
"""

import numpy as np
import pytest
import torch

from helpers.mask_checks import (
    GRID,
    check_corner,
    check_counts,
    check_differ,
    check_uniform,
    hidden_tokens,
    noise_of,
    one_noise,
    random_areas,
    rectangle,
)
from mofo.clips.token_area import token_area
from mofo.masking import MaskSettings, mask_shares
from mofo.types import TokenGrid

MOTION = MaskSettings(strategy="motion")
MIDDLE = rectangle(GRID, slice(3, 11), slice(4, 9))
WIDE = TokenGrid(16, 112, 224)


def sized(make):
    """Counts over many areas, on a square grid and on one that is not."""
    for grid in (GRID, WIDE):
        inside = random_areas(np.random.default_rng(0), 300, grid)
        check_counts(make, MOTION, grid, inside, noise_of(300, grid))


def uniform(make):
    check_uniform(make, MOTION, MIDDLE)


def check_area(area):
    """Boxes that move: the clip's area is the hull, a patch is in it in both directions."""
    rng = np.random.default_rng(1)
    corner_BT2 = rng.uniform(0, 150, (50, 16, 2))
    box_BT4 = np.concatenate([corner_BT2, corner_BT2 + rng.uniform(5, 60, (50, 16, 2))], 2)
    inside_Bthw = area(torch.from_numpy(box_BT4).float(), torch.ones(50, 16) > 0, GRID, "clip")
    hull_B4 = np.concatenate([box_BT4[..., :2].min(1), box_BT4[..., 2:].max(1)], 1)
    for (x1, y1, x2, y2), inside_thw in zip(hull_B4, inside_Bthw.numpy(), strict=True):
        expected_hw = np.zeros((14, 14), bool)
        rows = slice(int(y1 // 16), int(np.ceil(y2 / 16)))
        expected_hw[rows, int(x1 // 16) : int(np.ceil(x2 / 16))] = True
        assert (inside_thw == expected_hw).all(), "another area"


def corner_with(area):
    check_corner(hidden_tokens, area)


def corner_in(make):
    check_corner(make, token_area)


# ---- the defects ---------------------------------------------------------------------------


def swapped_mask(settings, grid, inside_Bthw, noise_BN):
    """The area's rows are taken for columns: x and y swapped on the way from token to mask."""
    swapped_Bthw = inside_Bthw.transpose(2, 3).reshape(inside_Bthw.shape)
    return hidden_tokens(settings, grid, swapped_Bthw, noise_BN)


def swapped_area(box_BT4, valid_BT, grid, per="clip"):
    """x and y swapped in the boxes."""
    return token_area(box_BT4[..., [1, 0, 3, 2]], valid_BT, grid, per)


def mirrored_area(box_BT4, valid_BT, grid, per="clip"):
    """The frame was flipped, the box was not."""
    return token_area(box_BT4, valid_BT, grid, per).flip(3)


def and_for_or(box_BT4, valid_BT, grid, per="clip"):
    """Outside only if outside in x *and* in y: the area becomes a cross through the frame."""
    inside_Bthw = token_area(box_BT4, valid_BT, grid, per)
    return inside_Bthw.any(2, keepdim=True) | inside_Bthw.any(3, keepdim=True)


def first_frame_only(box_BT4, valid_BT, grid, per="clip"):
    """Only frame 0's box is used for the clip."""
    return token_area(box_BT4[:, :1].expand_as(box_BT4), valid_BT, grid, per)


def rest_from_the_first_176(settings, grid, inside_Bthw, noise_BN):
    """What is hidden outside is drawn from positions 0 to K - 1, never from the last ones."""
    hidden = int(0.9 * grid.positions)
    late_P = torch.arange(grid.positions) >= hidden
    pushed_BN = noise_BN.clone()
    # Positions that are never drawn: as if their noise were larger than any other.
    pushed_BN[:, : grid.positions] += late_P & ~inside_Bthw.any(1).flatten(1)
    return hidden_tokens(settings, grid, inside_Bthw, pushed_BN)


def share_of_the_area_is_a_chance(settings, grid, inside_Bthw, noise_BN):
    """Each position inside is hidden with probability 3/4, and the rest fills up."""
    inside_BP = inside_Bthw.any(1).flatten(1)
    noise_BP = noise_BN[:, : grid.positions]
    key_BP = torch.where(inside_BP, torch.where(noise_BP < 0.75, -1.0, 2.0), noise_BP)
    hidden = int(0.9 * grid.positions)
    mask_BP = key_BP.argsort(dim=1, stable=True).argsort(dim=1) < hidden
    return mask_BP.repeat(1, grid.t)


def filled_up_to_k_by_luck(settings, grid, inside_Bthw, noise_BN):
    """Each position outside is hidden with the probability that gives K on average."""
    mask_BN = hidden_tokens(settings, grid, inside_Bthw, noise_BN)
    inside_BP = inside_Bthw.any(1).flatten(1)
    mask_BP = mask_BN[:, : grid.positions]
    outside = (~inside_BP).sum(1, keepdim=True).clamp(min=1)
    share = (mask_BP & ~inside_BP).sum(1, keepdim=True) / outside
    return torch.where(inside_BP, mask_BP, noise_BN[:, : grid.positions] < share).repeat(1, grid.t)


def another_mask_each_slot(settings, grid, inside_Bthw, noise_BN):
    """Not tubes: each time slot draws for itself, so a hidden patch is seen a moment later."""
    per_slot = [
        hidden_tokens(settings, grid, inside_Bthw, noise_BN.roll(-t * grid.positions, 1))
        for t in range(grid.t)
    ]
    slot_Bt = torch.stack(per_slot, 1).reshape(-1, grid.t, grid.t, grid.positions)
    return slot_Bt.diagonal(dim1=1, dim2=2).transpose(1, 2).flatten(1)


def seed_reset(seed, epoch, index):
    """The transform sets the global seed before it draws."""
    return torch.from_numpy(np.random.RandomState(0).rand(GRID.tokens)).float()


def epoch_forgotten(seed, epoch, index):
    return one_noise(seed, 0, index)


def seed_and_epoch_added(seed, epoch, index):
    """Epoch 1 of seed 0 is epoch 0 of seed 1."""
    return one_noise(seed + epoch, 0, index)


def one_generator_a_worker(seed, epoch, index):
    """The generator lives on in the worker, so a sample depends on what was drawn before."""
    return torch.from_numpy(WORKER.random(GRID.tokens, dtype=np.float32))


WORKER = np.random.default_rng(0)


def masked_by(noise):
    return lambda *key: hidden_tokens(MOTION, GRID, MIDDLE, noise(*key)[None])[0]


# ---- each is rejected ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "ours"),
    [
        (sized, hidden_tokens),
        (uniform, hidden_tokens),
        (check_area, token_area),
        (corner_with, token_area),
        (corner_in, hidden_tokens),
        (check_differ, masked_by(one_noise)),
    ],
)
def test_ours_passes(check, ours):
    check(ours)


@pytest.mark.parametrize(
    ("check", "defect", "because"),
    [
        (sized, swapped_mask, "another number hidden inside"),
        (corner_in, swapped_mask, "instead of 0.750 hidden, box"),
        (check_area, swapped_area, "another area"),
        (corner_with, swapped_area, "instead of 0.750 hidden, box"),
        (corner_with, mirrored_area, "instead of 0.750 hidden, box"),
        (check_area, and_for_or, "another area"),
        (corner_with, and_for_or, "instead of 0.750 hidden, box"),
        (check_area, first_frame_only, "another area"),
        (uniform, rest_from_the_first_176, "not uniform outside"),
        (sized, share_of_the_area_is_a_chance, "another number hidden inside"),
        (sized, filled_up_to_k_by_luck, "not exactly K hidden"),
        (sized, another_mask_each_slot, "not the same positions in all time slots"),
        (check_differ, masked_by(seed_reset), "masks are repeated"),
        (check_differ, masked_by(epoch_forgotten), "masks are repeated"),
        (check_differ, masked_by(seed_and_epoch_added), "masks are repeated"),
        (check_differ, masked_by(one_generator_a_worker), "the same sample has another mask"),
    ],
)
def test_the_defect_is_rejected(check, defect, because):
    with pytest.raises(AssertionError, match=because):
        check(defect)


def test_the_defects_together_miss_the_share_by_far():
    """x and y swapped, "and" for "or", the rest from the first 176: what "75 %" came to then."""
    samples, found = 300, []
    for columns in (slice(1, 5), slice(8, 12)):
        inside = rectangle(GRID, slice(1, 7), columns, samples)
        box_4 = torch.tensor([columns.start, 1, columns.stop, 7]) * 16.0
        swapped_BT4 = box_4[[1, 0, 3, 2]].expand(samples, 16, 4)
        area = and_for_or(swapped_BT4, torch.ones(samples, 16) > 0, GRID)
        noise = noise_of(samples)
        ours = mask_shares(hidden_tokens(MOTION, GRID, inside, noise), inside)
        theirs = mask_shares(rest_from_the_first_176(MOTION, GRID, area, noise), inside)
        assert float(ours.hidden_inside) == 0.75
        assert float(ours.visible_inside) == pytest.approx(0.3)
        found.append((float(theirs.hidden_inside), float(theirs.visible_inside)))
    assert found == [pytest.approx((0.825, 0.21), abs=0.02), (1, 0)]
