"""Each operation against Pillow's, which the reference is made of, and the clip as one picture."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from mofo.training.augment.operations import (
    ARGUMENTS,
    MOVING,
    NAMES,
    change_colours,
    matrix,
    move_area,
    move_frames,
)

COLOURS = tuple(name for name in NAMES if name not in MOVING)
ENHANCERS = {
    "colour": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}


def pillow(name: str, picture: np.ndarray, strength: float, sign: int) -> np.ndarray:
    """What Pillow makes of one frame; strengths by the reference's published formulas."""
    image = Image.fromarray(picture)
    if name in ENHANCERS:
        image = ENHANCERS[name](image).enhance(max(0.1, 1 + sign * 0.9 * strength))
    elif name == "posterize":
        image = ImageOps.posterize(image, 4 - int(strength * 4))
    elif name == "solarize":
        image = ImageOps.solarize(image, 256 - int(strength * 256))
    elif name == "solarize_add":
        added = int(strength * 110)
        image = image.point([min(255, v + added) if v < 128 else v for v in range(256)] * 3)
    else:
        image = getattr(ImageOps, name)(image)
    return np.asarray(image)


def pictures(seed: int = 0, count: int = 3) -> np.ndarray:
    """(G, H, W, 3), blurred noise of few levels, so that contrast and histogram matter."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(30, 200, (count, 9, 11, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((48, 40), 2)) for p in rough])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_pillows(name, sign):
    found = pictures()
    strengths = [0.3, 0.7, 0.85]
    argument_G = torch.tensor([float(ARGUMENTS[name](s, sign)) for s in strengths])
    clips = torch.from_numpy(found)[:, None]
    changed = change_colours(name, clips, argument_G)
    assert changed.dtype == torch.uint8
    expected = [pillow(name, p, s, sign) for p, s in zip(found, strengths, strict=True)]
    difference = np.abs(changed[:, 0].numpy().astype(int) - np.stack(expected))
    # Pillow cuts what it computes to whole levels, some of it twice; here it is rounded.
    least = 0 if name in ("equalize", "invert", "posterize", "solarize", "solarize_add") else 2
    assert difference.max() <= least
    assert (changed != clips).any()


@pytest.mark.parametrize("name", COLOURS)
def test_a_still_scene_stays_still(name):
    """What an operation looks at is the clip, so that nothing begins to flicker."""
    clip = torch.from_numpy(pictures(count=1))[:, None].repeat(1, 4, 1, 1, 1)
    clip[:, 2:, :10, :10] = 255  # something that appears
    changed = change_colours(name, clip, torch.tensor([float(ARGUMENTS[name](0.7, 1))]))
    # Sharpening reaches one pixel further.
    still = changed[:, :, 11:, 11:]
    assert torch.equal(still, still[:, :1].expand_as(still))


@pytest.mark.parametrize("name", COLOURS)
def test_all_levels_alike(name):
    """A clip of one level is a hard case for what divides by the span of levels."""
    clip = torch.full((2, 2, 5, 5, 3), 90, dtype=torch.uint8)
    changed = change_colours(name, clip, torch.full((2,), float(ARGUMENTS[name](0.7, 1))))
    assert changed.shape == clip.shape
    assert len(changed.unique()) == 1


@pytest.mark.parametrize(
    ("name", "argument", "point", "expected"),
    [
        ("rotate", 90.0, (50, 20), (40, 30)),  # clockwise: y goes down
        ("rotate", -90.0, (50, 20), (40, 10)),
        ("shear_x", 0.5, (60, 30), (65, 30)),
        ("shear_y", 0.5, (60, 20), (60, 30)),
        ("translate_x", 8 / 81, (60, 20), (68, 20)),
        ("translate_y", -4 / 41, (60, 20), (60, 16)),
    ],
)
def test_where_a_point_goes(name, argument, point, expected):
    """One bright pixel of a frame of 81x41, whose middle is (40, 20)."""
    clip = torch.zeros(1, 2, 41, 81, 3, dtype=torch.uint8)
    clip[0, :, point[1], point[0]] = 255
    matrix_G23 = torch.tensor([matrix(name, argument, 81, 41)])
    area = move_area((clip[:, :1, :, :, 0] > 0).float(), matrix_G23)
    for picture in (*move_frames(clip, matrix_G23)[0, ..., 0], area[0, 0]):
        place = int(picture.argmax())
        assert (place % 81, place // 81) == expected


def test_grey_comes_in_and_no_area():
    clip = torch.full((1, 2, 16, 20, 3), 9, dtype=torch.uint8)
    where = torch.tensor([matrix("translate_x", 0.5, 20, 16)])
    moved = move_frames(clip, where)
    assert (moved[:, :, :, :10] == 128).all()
    assert (moved[:, :, :, 10:] == 9).all()
    area = move_area(torch.ones(1, 1, 16, 20), where)
    assert (area[..., :10] < 0.01).all()
    assert (area[..., 10:] > 0.99).all()


def test_only_moving_operations_have_a_matrix():
    with pytest.raises(ValueError, match="'invert' moves nothing"):
        matrix("invert", 0.0, 8, 8)
