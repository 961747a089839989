"""The motion area goes where the moving pixels go, whatever is done to a clip."""

import pytest
import torch

from helpers.batches import (
    OFF,
    PIXELS,
    flickering,
    grown,
    moving,
    one_hot,
    textured,
    with_field,
)
from mofo.clips.token_area import MotionSettings, token_area
from mofo.training.augment import Augmentation, AugmentSettings, mixing, randaugment
from mofo.training.augment.mixing import LEAST_WEIGHT
from mofo.types import TokenGrid

FULL = {"erasing": 0.5, "magnitude": 7.0}


def strength_of(frames_BTHWC):
    """(B,): how many levels most moving pixels of a clip change by."""
    return moving(frames_BTHWC).flatten(1).quantile(0.99, dim=1)


def far_off(settings: dict, seed: int, per: str = "clip", count: int = 16, shape="box") -> int:
    """How many pixels of a batch are area and more than 2 px from any motion, or the opposite."""
    batch = with_field(flickering(PIXELS, count, seed), PIXELS)
    targets = {"label": one_hot(count, 5)}
    motion = MotionSettings(shape=shape)
    augmentation = Augmentation(AugmentSettings(**settings), PIXELS, per, motion)
    plan = augmentation.plan(batch.noise_BN)
    found = augmentation(batch, targets, plan)
    slots_BtHW = found.inside_BN.unflatten(1, (PIXELS.t, PIXELS.height, PIXELS.width))
    area_BHW = slots_BtHW[:, 0]
    assert torch.equal(slots_BtHW, area_BHW[:, None].expand_as(slots_BtHW))

    # What cannot be told from the picture: what is erased, and what is too faint to count.
    hidden_BHW = torch.zeros_like(area_BHW)
    for clip, patch in enumerate(plan.patches):
        if patch is not None:
            height, width = patch.picture_HWC.shape[:2]
            hidden_BHW[clip, patch.y : patch.y + height, patch.x : patch.x + width] = True
    alone = augmentation(batch, targets, plan._replace(mixes=[None] * count)).frames_BTHWC
    least_B = own_B = strength_of(alone)
    if any(plan.mixes):
        hidden_BHW = hidden_BHW | hidden_BHW.flip(0)
        weight_B = torch.tensor([1.0 if how is None else how.weight for how in plan.mixes])
        cut_B = torch.tensor([how is not None and how.cut is not None for how in plan.mixes])
        for weights_B, picture, strengths_B in (
            (weight_B, alone, own_B),
            (1 - weight_B, alone.flip(0), own_B.flip(0)),
        ):
            faint_B = ~cut_B & (weights_B < LEAST_WEIGHT)
            hidden_BHW = hidden_BHW | (faint_B[:, None, None] & grown(moving(picture) > 0, 2))
            seen_B = torch.where(cut_B, strengths_B, strengths_B * weights_B)
            least_B = torch.minimum(least_B, torch.where(faint_B, least_B, seen_B))
    # Colours may leave hardly a difference in a clip: nothing to be seen, nothing to be told.
    told_B = least_B > 8
    assert told_B.float().mean() > 0.6
    moving_BHW = moving(found.frames_BTHWC) > 0.3 * least_B[:, None, None]
    lost_BHW = moving_BHW & ~grown(area_BHW, 2) & ~hidden_BHW
    empty_BHW = area_BHW & ~grown(moving_BHW, 2) & ~grown(hidden_BHW, 2)
    assert moving_BHW[told_B].any()
    assert area_BHW[told_B].any()
    return int((lost_BHW | empty_BHW)[told_B].sum())


CASES = {
    "randaugment": FULL | {"erasing": 0.0, "mixing": 0.0},
    "erasing": FULL | {"mixing": 0.0},
    "mixup": FULL | {"cutmix": 0.0},
    "cutmix": FULL | {"mixup": 0.0},
    "everything": FULL,
}


@pytest.mark.parametrize(("shape", "per"), [("box", "clip"), ("box", "tubelet"), ("field", "clip")])
@pytest.mark.parametrize("case", list(CASES))
def test_the_area_is_where_the_painted_object_is(case, shape, per):
    """Within 2 px, in 640 draws."""
    assert sum(far_off(CASES[case], seed, per, shape=shape) for seed in range(4)) == 0


def test_area_of_each_tubelet_follows_an_object_that_moves():
    """Each time slot has its own area: the object of one slot is not where that of the other is."""
    batch = flickering(PIXELS, 16, 3)
    batch.frames_BTHWC[:, PIXELS.tubelet :] = 60
    batch.valid_BT[:, PIXELS.tubelet :] = False
    settings = AugmentSettings(mixing=0.0, erasing=0.0)
    found = Augmentation(settings, PIXELS, "tubelet")(batch, {})
    slots_BtHW = found.inside_BN.unflatten(1, (PIXELS.t, PIXELS.height, PIXELS.width))
    assert slots_BtHW[:, 0].any()
    assert not slots_BtHW[:, 1:].any()
    found = Augmentation(settings, PIXELS, "clip")(batch, {})
    slots_BtHW = found.inside_BN.unflatten(1, (PIXELS.t, PIXELS.height, PIXELS.width))
    assert torch.equal(slots_BtHW[:, 0], slots_BtHW[:, -1])
    assert slots_BtHW.any()


def turned_back(matrix_G23):
    """The rotation the other way, the middle of the frame where it belongs."""
    wrong = matrix_G23.clone()
    wrong[:, :, :2] = matrix_G23[:, :, :2].mT
    middle_2 = torch.tensor([(PIXELS.width - 1) / 2, (PIXELS.height - 1) / 2])
    moved_G2 = matrix_G23[:, :, :2] @ middle_2 + matrix_G23[:, :, 2]
    wrong[:, :, 2] = moved_G2 - wrong[:, :, :2] @ middle_2
    return wrong


def without_offset(matrix_G23):
    wrong = matrix_G23.clone()
    wrong[:, :, 2] = 0
    return wrong


def mirrored(matrix_G23):
    flip = torch.tensor([[-1.0, 0, PIXELS.width - 1], [0, 1, 0], [0, 0, 1]])
    return matrix_G23 @ flip


@pytest.mark.parametrize("defect", [turned_back, without_offset, mirrored])
def test_the_check_sees_an_area_that_goes_another_way(monkeypatch, defect):
    right = randaugment.move_area
    monkeypatch.setattr(randaugment, "move_area", lambda area, where: right(area, defect(where)))
    assert far_off(CASES["randaugment"], 0) > 500


def test_the_check_sees_an_area_that_stays(monkeypatch):
    monkeypatch.setattr(randaugment, "move_area", lambda area, where: area)
    assert far_off(CASES["randaugment"], 0) > 500


@pytest.mark.parametrize("case", ["mixup", "cutmix"])
def test_the_check_sees_areas_that_are_not_mixed(monkeypatch, case):
    right = mixing.mix

    def only_frames(frames, area, mixes):
        return right(frames, area, mixes)[0], area

    monkeypatch.setattr("mofo.training.augment.augmentation.mix", only_frames)
    assert far_off(CASES[case], 0) > 500


@pytest.mark.parametrize("per", ["clip", "tubelet"])
@pytest.mark.parametrize("patch", [1, 8, 16])
def test_what_moves_nothing_leaves_token_area_as_it_is(per, patch):
    grid = TokenGrid(4, 64, 80, tubelet=2, patch=patch)
    batch = textured(grid, 200, seed=patch)
    expected = token_area(batch.box_BT4, batch.valid_BT, grid, per=per)
    found = Augmentation(AugmentSettings(**(OFF | {"erasing": 1.0})), grid, per)(batch, {})
    assert torch.equal(found.inside_BN, expected.flatten(1))
    assert 0 < expected.float().mean() < 1


@pytest.mark.parametrize("per", ["clip", "tubelet"])
def test_no_area_stays_none(per):
    batch = flickering(PIXELS, 24, seed=5)
    batch.valid_BT[:] = False
    found = Augmentation(AugmentSettings(), PIXELS, per)(batch, {})
    assert not found.inside_BN.any()


def test_an_area_moved_out_of_the_frame_is_gone():
    area = torch.zeros(1, 1, 20, 20)
    area[..., :5] = 1
    frames = torch.zeros(1, 2, 20, 20, 3, dtype=torch.uint8)
    out = randaugment.Operation("translate_x", -0.4)
    _, found = randaugment.randaugment(frames, area, [(out,)])
    assert not found.any()
