import numpy as np
import pytest

from mofo.synth.actions.levels import LEVELS
from mofo.synth.actions.materials import SPLITS, pictures, texture
from mofo.synth.actions.scene import ActionRecipe, make_action_clip


def clip_of(label, level="easy", seed=(1, 2), **more):
    recipe = ActionRecipe(label=label, level=level, split="train", seed=seed, size=64, **more)
    return make_action_clip(recipe)


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_recipe_gives_the_same_clip(level):
    for label in LEVELS[level].classes[::5]:
        one, other = clip_of(label, level), clip_of(label, level)
        np.testing.assert_array_equal(one.video_THW3, other.video_THW3)
        np.testing.assert_array_equal(one.label_THW, other.label_THW)
        assert not np.array_equal(one.video_THW3, clip_of(label, level, seed=(1, 3)).video_THW3)


def test_the_mask_is_where_the_picture_changes():
    """Of a still camera's clip: beside noise, pixels change only where a thing is or was."""
    for seed in range(6):
        clip = clip_of("right", seed=(seed,))
        video = clip.video_THW3.astype(int)
        ever_HW = (clip.label_THW > 0).any(0)
        # A margin for the soft edge and the blur.
        wide_HW = np.zeros_like(ever_HW)
        for y in range(-2, 3):
            for x in range(-2, 3):
                wide_HW |= np.roll(ever_HW, (y, x), (0, 1))
        change_HW = np.ptp(video.mean(-1), axis=0)
        assert change_HW[~wide_HW].max() < 25
        assert np.median(change_HW[ever_HW]) > 25


def test_boxes_follow_the_thing():
    for seed in range(5):
        clip = clip_of("left", seed=(seed,))
        centre_T = [
            (boxes[0, 0] + boxes[0, 2]) / 2 if len(boxes) else np.nan for boxes in clip.boxes()
        ]
        step_T = np.diff(centre_T)
        # To the left, but for one change of sides.
        assert (step_T < 0.5).sum() >= 14
        for label_HW, boxes in zip(clip.label_THW, clip.boxes(), strict=True):
            x1, y1, x2, y2 = boxes[0].astype(int)
            inside = np.zeros_like(label_HW, bool)
            inside[y1:y2, x1:x2] = True
            assert not label_HW[~inside].any()
            assert label_HW[y1].any()
            assert label_HW[:, x2 - 1].any()


def test_what_stands_still_has_no_area():
    clip = clip_of("stopping", "medium", seed=(4,))
    assert clip.moving_TK[0, 0]
    assert not clip.moving_TK[-4:, 0].any()
    assert len(clip.boxes()[-1]) == 0
    assert (clip.label_THW[-1] == 1).any()  # it is still there


def test_two_things_have_two_boxes():
    assert max(len(boxes) for boxes in clip_of("meeting", "medium", seed=(8,)).boxes()) == 2


def test_other_lengths_last_as_long():
    recipe = clip_of("up", frames=32).recipe
    assert recipe.frames / recipe.fps == pytest.approx(16 / 12)


def test_splits_share_no_picture():
    names = [set(pictures(split)) for split in SPLITS]
    assert all(names)
    assert len(set.union(*names)) == sum(map(len, names))
    assert texture("train", 3).name != texture("test", 3).name
    assert np.array_equal(texture("test", 3).rgba_levels[0], texture("test", 3).rgba_levels[0])
