from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.kinds import built_in
from helpers.shown import batch, frames_of, read_png
from mofo.cli import main
from mofo.masking import MASKS, MaskSettings
from mofo.report.figures.marks import AREA
from mofo.report.figures.masks import mask_film, show_masks, write_masks
from mofo.types import SettingsError, TokenGrid

STRATEGIES = built_in(MASKS)

GRID = TokenGrid(4, 64, 64)
ALL = [MaskSettings(strategy=strategy, ratio=0.75, block=2) for strategy in STRATEGIES]


@pytest.mark.parametrize("strategies", [ALL[:1], ALL], ids=len)
def test_sheets_and_videos_have_all_masks(tmp_path, strategies):
    masks = write_masks(batch(1), GRID, strategies, tmp_path / "x.png", title="a title")
    assert [mask.settings for mask in masks] == strategies
    assert all(mask.hidden_thw.sum() == 24 for mask in masks)
    assert read_png(tmp_path / "x.png").shape[1] <= 1400
    write_masks(batch(1), GRID, strategies, tmp_path / "x.mp4")
    assert len(frames_of(tmp_path / "x.mp4")) == 4


def test_hidden_patches_are_dark_and_visible_ones_as_they_are(tmp_path):
    clips = batch(1)
    clips.valid_BT[:] = False  # no outline
    masks = write_masks(clips, GRID, ALL[1:3], tmp_path / "x.png")
    film = mask_film(clips, GRID, masks)
    assert [row.name for row in film.rows[1:]] == ["random", "motion"]
    frame, tile, _ = film.tiles(2, 16)
    assert np.array_equal(frame, clips.frames_BTHWC[0, 2].numpy())
    hidden = masks[0].hidden_thw[1].repeat(16, 0).repeat(16, 1)
    assert np.array_equal(tile[~hidden], frame[~hidden])
    assert tile[hidden].max() < 80


def test_numbers_are_given_and_so_is_the_spill_rule(tmp_path):
    clips = batch(1)

    def text(strategy="motion", ratio=0.75, box=(0, 0, 32, 32), **more):
        clips.box_BT4[:] = clips.box_BT4.new_tensor(box)
        settings = MaskSettings(strategy=strategy, ratio=ratio, **more)
        [mask] = write_masks(clips, GRID, [settings], tmp_path / "x.png")
        return mask.text

    # 16 places, 4 inside, 12 hidden: 3 inside, 9 of 12 outside.
    assert text() == ("hidden inside 75 %", "hidden outside 75 %", "visible from area 25 %")
    # 12 inside, 4 outside: of 12 hidden, 8 are inside at least.
    assert text(box=(0, 0, 64, 48), inside_ratio=0.5)[0] == "hidden inside 67 % (spilled)"
    assert text(box=(0, 0, 64, 48), inside_ratio=0.5, strategy="tube")[0].count("spilled") == 0
    assert text(box=(0, 0, 64, 64))[1] == "nothing outside"
    clips.valid_BT[:] = False
    assert text() == ("no motion in this clip",)


def test_show_masks_reads_a_video(tmp_path, video, videos):
    options = {"frames": 4, "size": 64, "mask": MaskSettings(ratio=0.75)}
    one = show_masks(video, tmp_path / "x.png", **options)
    assert [mask.settings.strategy for mask in one.masks] == ["motion"]
    assert one.notes == ()
    several = show_masks(video, tmp_path / "x.png", strategies=tuple(MASKS), **options)
    assert [mask.settings.strategy for mask in several.masks] == list(MASKS)
    assert np.array_equal(several.masks[2].hidden_thw, one.masks[0].hidden_thw)
    other = show_masks(video, tmp_path / "x.png", seed=1, **options)
    assert not np.array_equal(other.masks[0].hidden_thw, one.masks[0].hidden_thw)
    still = show_masks(videos / "clip2.mp4", tmp_path / "x.png", **options)
    assert still.masks[0].text == ("no motion in this clip",)


def test_mistakes_are_found_before_the_video_is_read(tmp_path):
    out = tmp_path / "x.png"
    for options, message in (
        ({"strategies": ("moton",)}, "did you mean 'motion'"),
        ({"shape": "fild"}, "did you mean 'field'"),
        ({"size": 100}, "not a multiple of patch 16"),
        ({"mask": MaskSettings(ratio=0.001)}, "hides none"),
        ({"mask": MaskSettings(strategy="block", block=15)}, "block 15 is larger"),
    ):
        with pytest.raises(SettingsError, match=message):
            show_masks(tmp_path / "no.mp4", out, **options)
    with pytest.raises(SettingsError, match=r"must end in \.png"):
        show_masks(tmp_path / "no.mp4", tmp_path / "x.webp")


def test_the_field_is_drawn_slot_by_slot(tmp_path):
    clips = batch(1)
    motion = torch.zeros(1, 2, 8, 8, dtype=torch.uint8)
    motion[0, 0, :4, :4] = motion[0, 1, 4:, 4:] = 255  # a quarter each, another one in each slot
    clips = replace(clips, motion_Btyx=motion)
    settings = MaskSettings(ratio=0.75, per_slot=True)
    masks = write_masks(clips, GRID, [settings], tmp_path / "x.png", shape="field")
    assert masks[0].inside_thw.sum((1, 2)).tolist() == [4, 4]
    assert not (masks[0].inside_thw[0] & masks[0].inside_thw[1]).any()
    film = mask_film(clips, GRID, masks, "field")
    frame, tokens, hidden = film.tiles(2, 16)
    given = clips.frames_BTHWC[0, 2].numpy()
    changed = (frame != given).any(2)
    assert changed[36:, 36:].mean() > 0.9  # tinted
    assert not changed[:28, :28].any()
    for tile in (tokens, hidden):
        assert (tile[32, 32:] == AREA).all()  # outlined


def test_the_command_takes_all_that_a_mask_takes(tmp_path, video, capsys):
    words = ["--frames", "4", "--size", "64", "--shape", "field", "--temperature", "-0.5"]
    words += ["--strategy", "weighted", "--join", "mean", "--out", str(tmp_path / "x.png")]
    assert main(["show", "mask", str(video), *words]) == 0
    assert capsys.readouterr().out.startswith("weighted  hidden inside")
    assert read_png(tmp_path / "x.png").shape[1] <= 1400
