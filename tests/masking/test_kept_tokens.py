"""Tokens that an encoder computes: exact numbers, those that move, an even grid of the rest."""

from dataclasses import replace

import pytest
import torch

from helpers.batches import batch_of, with_field
from helpers.kinds import built_in
from mofo.masking.kept_tokens import TOKEN_CHOICES, TokenSettings, motion_map
from mofo.types import SettingsError, TokenGrid

GRID = TokenGrid(8, 64, 96)  # 4 x 4 x 6
BY = built_in(TOKEN_CHOICES)


def clips(seed: int = 0):
    """Four clips of noise with boxes: nothing, a corner, half of the frame, a corner that moves."""
    draw = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (4, 8, 64, 96, 3), dtype=torch.uint8, generator=draw)
    box_BT4 = torch.zeros(4, 8, 4)
    box_BT4[1] = torch.tensor([0, 0, 32, 32])
    box_BT4[2] = torch.tensor([0, 0, 48, 64])
    box_BT4[3] = torch.tensor([0, 0, 16, 32])
    box_BT4[3, :, ::2] += 10 * torch.arange(8)[:, None]
    valid_BT = torch.ones(4, 8, dtype=torch.bool)
    valid_BT[0] = False
    noise_BN = torch.rand(4, GRID.tokens, generator=draw)
    return with_field(batch_of(frames, box_BT4, valid_BT, noise_BN), GRID)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("per_slot", [False, True])
@pytest.mark.parametrize("keep", [0.03, 0.25, 0.4, 0.99])
def test_as_many_in_each_sample_whatever_moves(by, per_slot, keep):
    settings = TokenSettings(keep=keep, by=by)
    keep_BV = settings.of_clips(clips(), GRID, per_slot=per_slot)
    assert keep_BV.shape == (4, settings.count(GRID, keep, per_slot))
    assert (keep_BV.diff(dim=1) > 0).all()
    assert 0 <= keep_BV.min() <= keep_BV.max() < GRID.tokens
    if per_slot:
        slot_BV = keep_BV // GRID.positions
        assert (slot_BV == torch.arange(4).repeat_interleave(keep_BV.shape[1] // 4)).all()
    # Neither the batch nor another sample matters.
    one = replace(clips(), **{
        name: getattr(clips(), name)[2:3] for name in ("frames_BTHWC", "motion_Btyx", "noise_BN")
    })  # fmt: skip
    assert torch.equal(settings.of_clips(one, GRID, per_slot=per_slot), keep_BV[2:3])


def test_merging_keeps_as_many_in_each_sample():
    settings = TokenSettings(keep=0.4, merge="static")
    keep_BV = settings.of_clips(clips(), GRID)
    assert keep_BV.shape == (4, settings.count(GRID, 0.4))
    assert settings.uses_motion
    assert settings.changed(by="random") == TokenSettings(keep=0.4, by="random")


def test_all_is_said_by_none():
    assert TokenSettings().of_clips(clips(), GRID) is None


@pytest.mark.parametrize("per_slot", [False, True])
def test_what_moves_is_kept_and_an_even_grid_of_the_rest(per_slot):
    batch = clips()
    keep_BV = TokenSettings(keep=0.4).of_clips(batch, GRID, per_slot=per_slot)
    kept_BN = torch.zeros(4, GRID.tokens, dtype=torch.bool).scatter(1, keep_BV, True)
    moves_BN = motion_map(batch, GRID).flatten(1) > 0
    assert (kept_BN | ~moves_BN)[[1, 3]].all()  # there is room for all of it
    half = kept_BN[2] & moves_BN[2]
    assert half.sum() / kept_BN[2].sum() == pytest.approx(0.8, abs=0.1)
    # Where nothing moves: in all slots and quarters of the frame.
    still_thw = kept_BN[0].reshape(4, 2, 2, 2, 3).sum((2, 4))
    assert still_thw.min() >= 1
    assert still_thw.max() <= 4


def test_by_pixels_that_change_the_camera_counts():
    batch = clips()
    frames = torch.zeros(4, 8, 64, 96, 3, dtype=torch.uint8)
    frames[:, ::2, :, 48:] = 200  # flickers where nothing moves by itself
    keep_BV = TokenSettings(keep=0.4, by="difference", even=0).of_clips(
        replace(batch, frames_BTHWC=frames), GRID
    )
    assert (keep_BV % GRID.w >= 3).all()
    floats = replace(batch, frames_BTHWC=frames / 255)
    assert torch.equal(TokenSettings(keep=0.4, by="difference", even=0).of_clips(floats, GRID),
                       keep_BV)  # fmt: skip


def test_merging_shows_each_place_once_and_again_while_it_moves():
    motion = torch.zeros(1, 4, 4, 6)
    motion[0, 1:3, 2, 3] = 1.0  # a place that moves in two slots and has come to rest in the last
    settings = TokenSettings(keep=27 / 96, merge="static", even=0)
    keep_BV = settings.choose(GRID, clips().frames_BTHWC[:1], motion, torch.rand(1, 96))
    place = 2 * 6 + 3
    assert keep_BV[0].tolist() == [*range(24), 24 + place, 48 + place, 72 + place]


@pytest.mark.parametrize("per_slot", [False, True])
def test_quiet_clips_keep_fewer(per_slot):
    settings = TokenSettings(keep=0.8, least=0.2)
    assert settings.shares == [0.8, 0.4, 0.2]
    groups = settings.groups(clips(), GRID, per_slot=per_slot)
    counts = {row: keep.shape[1] for rows, keep in groups for row in rows.tolist()}
    by_share = [settings.count(GRID, share, per_slot) for share in settings.shares]
    places = (2, 2 if per_slot else 1, 0, 2)  # of the shares
    assert [counts[row] for row in range(4)] == [by_share[place] for place in places]
    assert TokenSettings(keep=0.4).groups(clips(), GRID) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"keep": 0}, "keep 0"),
        ({"keep": 1.5}, "keep 1.5"),
        ({"even": 1}, "even 1"),
        ({"keep": 0.4, "least": 0.5}, "least 0.5"),
        ({"keep": 0.4, "least": 0.1, "by": "random"}, "by motion"),
        ({"keep": 0.4, "least": 0.1, "merge": "static"}, "by motion"),
        ({"merge": "statik"}, "merge"),
        ({"merge": "static", "by": "random"}, "itself"),
        ({"by": "motoin"}, "did you mean 'motion'"),
    ],
)
def test_mistakes(values, expected):
    with pytest.raises(SettingsError, match=expected):
        TokenSettings(**values)
