"""The motion field of a clip: through the same crop, resize and flip as its frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from helpers.clipsets import area_of, settings, store_of, write_painted
from helpers.painted import BRIGHT, DARK, walk
from mofo.clips.dataset import ClipDataset
from mofo.clips.motion_map import box_map, cells_of, field_map, map_shape
from mofo.clips.token_area import MotionSettings, inside_tokens, pooled_motion
from mofo.clips.transforms import FITS, CropSettings, Geometry, draw_geometry
from mofo.datasets.catalog import read_catalog
from mofo.types import SettingsError, TokenGrid

GRID = TokenGrid(4, 64, 64)
WIDTH, HEIGHT = 176, 128


def painted_field(box_T4):
    """A field of 8 x 8 pixels a cell: what of each the boxes cover."""
    cover_THW = np.zeros((len(box_T4), HEIGHT, WIDTH), np.float32)
    for cover_HW, (x1, y1, x2, y2) in zip(cover_THW, box_T4.astype(int), strict=True):
        cover_HW[y1:y2, x1:x2] = 255
    blocks = cover_THW.reshape(len(box_T4), HEIGHT // 8, 8, WIDTH // 8, 8)
    return np.rint(blocks.mean((2, 4))).astype(np.uint8)


def edges(weight_yx, size):
    """Box of the same moments as a rectangle's: to parts of a cell."""
    box = []
    for axis, cells in ((0, weight_yx.shape[1]), (1, weight_yx.shape[0])):
        weight_n, place_n = weight_yx.sum(axis), (np.arange(cells) + 0.5) * size / cells
        middle = (weight_n * place_n).sum() / weight_n.sum()
        box.append(middle)
    return np.array(box)


@pytest.mark.parametrize("kind", ["boxes", "field"])
def test_painted_object_from_file_to_clip(tmp_path, kind):
    """The map is what the bright pixels cover: mass and middle to 1 px, whatever was drawn."""
    box_T4 = walk(40, WIDTH, HEIGHT, 3)
    path = write_painted(tmp_path / "a.mp4", box_T4, WIDTH, HEIGHT)
    area = area_of(box_T4, WIDTH, HEIGHT)
    if kind == "field":
        area = replace(area, field_Tyx=painted_field(box_T4))
    store = store_of(tmp_path / "areas", {"a.mp4": area})
    chosen = settings(grid=GRID, motion=store, stride=1, crop=CropSettings(flip=True))
    data = ClipDataset(read_catalog([path]).videos, chosen, seed=0)
    compared = 0
    for epoch in range(150):
        sample = data[epoch, 0]
        bright_THW = sample.frames_THWC.mean(-1) > (BRIGHT + DARK) / 2
        for slot in range(GRID.t):
            pixels_HW = bright_THW[2 * slot : 2 * slot + 2].mean(0)
            motion_yx = sample.motion_tyx[slot] / 255
            side = 64 / motion_yx.shape[0]
            # Against a field of coarse cells only what lies well inside can be told exactly.
            if kind == "field":
                touched = pixels_HW[[0, -1]].any() or pixels_HW[:, [0, -1]].any()
                if touched or pixels_HW.sum() < 100:
                    continue
                assert abs(motion_yx.sum() * side**2 / pixels_HW.sum() - 1) < 0.15
                found, expected = edges(motion_yx, 64), edges(pixels_HW, 64)
                assert np.abs(found - expected).max() <= 1
            else:
                cover_yx = pixels_HW.reshape(16, 4, 16, 4).mean((1, 3))
                assert np.abs(motion_yx - cover_yx).max() <= 0.5  # a pixel at two edges of four
            compared += 1
    assert compared > 50


def test_frames_left_out_between_count():
    """A slot is the mean over all frames up to the next one."""
    field_Fyx = np.zeros((13, 8, 8), np.uint8)
    field_Fyx[4] = 240
    field_Fyx[12] = 100
    crop = Geometry((0, 0, 64, 64), (64, 64))
    map_tyx = field_map(field_Fyx, (64, 64), crop, np.array([0, 4, 8, 12]), GRID)
    assert map_tyx.shape == map_shape(GRID) == (2, 16, 16)
    assert (map_tyx[0] == 240 / 8).all()
    assert (map_tyx[1] == 100 / 5).all()
    repeated = field_map(field_Fyx, (64, 64), crop, np.array([12, 12, 12, 12]), GRID)
    assert (repeated == 100).all()


@examples(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(FITS))
def test_boxes_and_fields_go_the_same_way(seed, flip, fit):
    """A field of single pixels that a box fills gives the map of that box."""
    rng = np.random.default_rng(seed)
    x1, y1 = rng.integers(0, 40, 2)
    x2, y2 = x1 + rng.integers(1, 40), y1 + rng.integers(1, 24)
    field_Fyx = np.zeros((2, 64, 80), np.uint8)
    field_Fyx[:, y1:y2, x1:x2] = 255
    crop = draw_geometry(CropSettings(flip=flip, fit=fit), (80, 64), (64, 64), rng)
    box_F4, valid_F = np.tile(np.float32([x1, y1, x2, y2]), (2, 1)), np.ones(2, bool)
    start_T = np.array([0, 0, 1, 1])
    from_box = box_map(box_F4, valid_F, crop, start_T, GRID)
    from_field = field_map(field_Fyx, (80, 64), crop, start_T, GRID)
    assert np.abs(from_box.astype(int) - from_field).max() <= 1


def test_no_motion_is_no_motion():
    crop = Geometry((0, 0, 64, 64), (64, 64))
    box_F4, valid_F = np.ones((4, 4), np.float32), np.zeros(4, bool)
    assert not box_map(box_F4, valid_F, crop, np.arange(4), GRID).any()


def test_ranking_of_tokens_survives_random_crops():
    """Average precision after crops and flips is that of the whole frame within .02."""
    rng = np.random.default_rng(0)
    grid, frames = TokenGrid(2, 224, 224, patch=16), 60
    truth_FHW = np.zeros((frames, 240, 320), np.float32)
    for truth_HW in truth_FHW:
        x, y, size = *rng.integers(20, 160, 2), rng.integers(40, 90)
        truth_HW[y : y + size, x : x + size] = 255
    clean_Fyx = truth_FHW.reshape(frames, 24, 10, 32, 10).mean((2, 4))
    noisy_Fyx = np.clip(clean_Fyx + rng.normal(40, 70, clean_Fyx.shape), 0, 255).astype(np.uint8)
    pixels_Fyx = truth_FHW.astype(np.uint8)

    def precision(scales, flip, seed):
        draw, found, wanted = np.random.default_rng(seed), [], []
        for noisy_yx, pixels_yx in zip(noisy_Fyx, pixels_Fyx, strict=True):
            crop = draw_geometry(
                CropSettings(scales=scales, flip=flip), (320, 240), (224, 224), draw
            )
            for field_yx, tokens in ((noisy_yx, found), (pixels_yx, wanted)):
                map_tyx = field_map(field_yx[None], (320, 240), crop, np.zeros(2, int), grid)
                tokens.append(pooled_motion(torch.from_numpy(map_tyx[None] / 255), grid))
        found_X, wanted_X = (torch.cat(tokens).ravel().numpy() for tokens in (found, wanted))
        return average_precision_score(wanted_X > 0.5, found_X)

    whole = precision((1.0,), False, 0)
    cropped = np.mean([precision((1.0, 0.875, 0.75, 0.66), True, seed) for seed in range(1, 9)])
    assert 0.7 < whole < 0.99
    assert cropped == pytest.approx(whole, abs=0.02)


def test_tokens():
    grid = TokenGrid(4, 32, 32, patch=16)
    cells = cells_of(grid)
    motion_Btyx = torch.zeros(1, 2, 2 * cells, 2 * cells)
    motion_Btyx[0, 0, :cells, :cells] = 1
    motion_Btyx[0, 1, cells:, cells:] = 0.4
    by_slot = pooled_motion(motion_Btyx, grid)
    assert by_slot.shape == (1, 2, 2, 2)
    assert by_slot[0, 0].tolist() == [[1, 0], [0, 0]]
    assert int(inside_tokens(by_slot, 0.4).sum()) == 2
    assert int(inside_tokens(by_slot, 0.4, "clip").sum()) == 4
    assert int(inside_tokens(by_slot, span="clip").sum()) == 2
    assert [cells_of(TokenGrid(2, 30, 30, patch=patch)) for patch in (6, 5, 1)] == [2, 1, 1]


def test_unknown_shape():
    with pytest.raises(SettingsError, match="did you mean 'field'"):
        MotionSettings(shape="feild")
