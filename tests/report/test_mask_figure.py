import numpy as np
import pytest

from helpers.kinds import built_in
from helpers.shown import batch, frames_of, read_png
from mofo.masking import MASKS, MaskSettings
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
    assert text(box=(0, 0, 64, 48), inside_ratio=0.5)[0] == "hidden inside 67 % (asked 50 %)"
    assert text(box=(0, 0, 64, 48), inside_ratio=0.5, strategy="tube")[0].count("asked") == 0
    assert text(box=(0, 0, 64, 64))[1] == "nothing outside"
    clips.valid_BT[:] = False
    assert text() == ("no motion in this clip",)


def test_show_masks_reads_a_video(tmp_path, video, videos):
    options = {"frames": 4, "size": 64, "ratio": 0.75}
    one = show_masks(video, tmp_path / "x.png", **options)
    assert [mask.settings.strategy for mask in one.masks] == ["motion"]
    assert one.notes == ()
    several = show_masks(video, tmp_path / "x.png", strategies=None, **options)
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
        ({"size": 100}, "not a multiple of patch 16"),
        ({"ratio": 1.0}, "ratio 1.0 is not between"),
        ({"ratio": 0.001}, "hides none"),
        ({"strategies": ("block",), "block": 15}, "block 15 is larger"),
    ):
        with pytest.raises(SettingsError, match=message):
            show_masks(tmp_path / "no.mp4", out, **options)
    with pytest.raises(SettingsError, match=r"must end in \.png"):
        show_masks(tmp_path / "no.mp4", tmp_path / "x.webp")
