from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from helpers.drawn import texture
from mofo.video.picture import coded_box, crop_picture, grey_picture, resized
from mofo.video.reader import VideoReader, orientation

Encode = Callable[..., Path]


def coloured(width: int = 96, height: int = 64, seed: int = 0) -> np.ndarray:
    """RGB with soft, strong colours."""
    planes = [texture(height, width, blur=6, seed=seed + i) for i in range(3)]
    return np.stack(planes, -1)


def frame_of(image: np.ndarray, fmt: str = "yuv420p", **options: Any) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    precise = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
    return frame.reformat(format=fmt, interpolation=precise, threads=1, **options)


def whole(frame: av.VideoFrame, size: tuple[int, int] | None = None, **options: Any) -> np.ndarray:
    upright = (frame.width, frame.height)
    return crop_picture(frame, (0, 0, *upright), size or upright, upright=upright, **options)


def off(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("space", [Colorspace.ITU601, Colorspace.ITU709, Colorspace.SMPTE240M])
@pytest.mark.parametrize("whole_range", [False, True])
@pytest.mark.parametrize("fmt", ["yuv444p", "yuv422p", "yuv420p"])
def test_colours_come_back(fmt, space, whole_range):
    image = coloured()
    frame = frame_of(
        image,
        fmt,
        dst_colorspace=space,
        dst_color_range=ColorRange.JPEG if whole_range else ColorRange.MPEG,
    )
    assert off(whole(frame), image) < (0.8 if fmt == "yuv444p" else 1.5)
    # The same pixels read in another colour space are another picture.
    frame.colorspace = Colorspace.ITU709 if space == Colorspace.ITU601 else Colorspace.ITU601
    assert off(whole(frame), image) > 2


@pytest.mark.parametrize(
    "fmt", ["yuv410p", "gray", "nv12", "yuv420p10le", "yuv444p16le", "bgr0", "rgb24", "gbrp"]
)
def test_rare_formats(fmt):
    image = coloured()
    if fmt == "gray":
        image = np.repeat(image[..., :1], 3, 2)
    frame = frame_of(image, fmt)
    assert off(whole(frame), image) < 4
    assert whole(frame, (32, 32)).shape == (32, 32, 3)
    grey = grey_picture(frame, (48, 32))
    expected = resized(frame_of(image, "gray").to_ndarray(), (48, 32))
    # Luma is 16-235 where it is a plane of its own, and 0-255 where it is made from RGB.
    assert grey.shape == (32, 48)
    assert np.corrcoef(grey.ravel(), expected.ravel())[0, 1] > 0.99


def test_as_the_reader_gives_it(bikes):
    with VideoReader(bikes, colour="rgb") as reader, av.open(str(bikes)) as container:
        for _, frame, theirs in zip(range(3), container.decode(video=0), reader, strict=False):
            assert off(whole(frame), theirs.image) < 1.5
            np.testing.assert_array_equal(
                grey_picture(frame, (frame.width, frame.height)),
                frame.to_ndarray()[: frame.height, : frame.width],
            )


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("box", [(0, 0, 96, 64), (10, 4, 74, 60), (32, 22, 60, 50), (2, 0, 4, 2)])
@pytest.mark.parametrize("size", [(56, 56), (64, 48), (20, 20)])
def test_a_crop_is_that_part_of_the_picture(fmt, box, size):
    """As if everything were converted first, then cropped, then resized."""
    image = coloured()
    frame = frame_of(image, fmt)
    found = crop_picture(frame, box, size, upright=(96, 64))
    x1, y1, x2, y2 = box
    expected = resized(image[y1:y2, x1:x2], size)
    assert found.shape == (size[1], size[0], 3)
    assert off(found, expected) < 2.5
    flipped = crop_picture(frame, box, size, upright=(96, 64), flip=True)
    np.testing.assert_array_equal(flipped, found[:, ::-1])


def test_into_an_array():
    frame = frame_of(coloured())
    out = np.zeros((3, 30, 40, 3), np.uint8)
    for flip in (False, True):
        whole(frame, (40, 30), out=out[1], flip=flip)
        np.testing.assert_array_equal(out[1], whole(frame, (40, 30), flip=flip))
        assert not out[[0, 2]].any()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_upright(encode: Encode, tmp_path: Path, degrees: int, mirrored: bool) -> None:
    """A crop of the upright picture, whatever way the frame is coded."""
    path = encode(
        tmp_path / "a.mkv", [coloured()], codec="ffv1", pix_fmt="yuv444p",
        rotate=(degrees, mirrored),
    )  # fmt: skip
    with VideoReader(path, colour="rgb") as reader:
        expected = next(iter(reader)).image
    with VideoReader(path) as reader:
        expected_grey = next(iter(reader)).image
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        rotation, mirror = orientation(frame)
        height, width = expected.shape[:2]
        how = {"rotation": rotation, "mirrored": mirror}
        box = (10, 6, 42, 54)
        found = crop_picture(frame, box, (32, 48), upright=(width, height), **how)
        flipped = crop_picture(frame, box, (32, 48), upright=(width, height), flip=True, **how)
        grey = grey_picture(frame, (width, height), **how)
    assert off(found, expected[6:54, 10:42]) < 1
    np.testing.assert_array_equal(flipped, found[:, ::-1])
    np.testing.assert_array_equal(grey, expected_grey)
    coded = coded_box(box, (width, height), rotation, mirror)
    assert 0 <= coded[0] < coded[2] <= 96
    assert 0 <= coded[1] < coded[3] <= 64


def test_a_frame_of_another_size_is_cropped_in_proportion():
    image = coloured()
    found = crop_picture(frame_of(image), (40, 20, 140, 120), (60, 60), upright=(192, 128))
    assert off(found, resized(image[10:60, 20:70], (60, 60))) < 2.5


def test_odd_sizes():
    image = coloured(97, 63)
    frame = frame_of(image)
    assert (frame.width, frame.height) == (97, 63)
    assert off(whole(frame), image) < 2.5
    found = crop_picture(frame, (5, 3, 60, 41), (56, 56), upright=(97, 63))
    # Colours are half a pixel off where a crop does not begin on an even pixel.
    assert off(found, resized(image[3:41, 5:60], (56, 56))) < 4


def test_shrinking_averages():
    """A picture of single black and white pixels becomes grey, not one or the other."""
    image = np.zeros((160, 160), np.uint8)
    image[::2] = 255
    assert np.abs(resized(image, (50, 50)).astype(int) - 128).max() < 40


@pytest.mark.parametrize("fmt", ["yuva420p", "yuva444p", "rgba", "bgra", "yuva420p10le", "gbrap"])
def test_transparent_pixels_are_black(fmt):
    """What a file holds where nothing is seen is nobody's business, least of all motion."""
    seen = []
    for seed in range(2):
        image = coloured(seed=3)
        image[16:48, 32:64] = coloured(seed=5 + seed)[16:48, 32:64]
        rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
        rgba[16:48, 32:64, 3] = 0
        frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=fmt, threads=1)
        picture, grey = whole(frame), grey_picture(frame, (96, 64))
        assert picture[20:44, 36:60].max() < 8
        assert grey[20:44, 36:60].max() <= 24
        seen.append((picture[17:47, 33:63], grey[17:47, 33:63]))
        outside = np.ones((64, 96), bool)
        outside[12:52, 28:68] = False
        assert off(picture[outside], image[outside]) < 4
    np.testing.assert_array_equal(*(picture for picture, _ in seen))
    np.testing.assert_array_equal(*(grey for _, grey in seen))


def test_grey_levels_are_those_of_frames_without_transparent_pixels():
    rgba = np.dstack([coloured(), np.full((64, 96), 255, np.uint8)])
    solid = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p", threads=1)
    rgba[:8, :8, 3] = 0
    holed = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p", threads=1)
    one, two = (grey_picture(frame, (96, 64)) for frame in (solid, holed))
    np.testing.assert_array_equal(one[12:], two[12:])


def test_a_reader_shows_transparent_pixels_black(tmp_path):
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgra"
        for _ in range(5):
            bgra = np.full((64, 96, 4), 200, np.uint8)
            bgra[..., 3] = 255
            bgra[20:50, 60:90] = rng.integers(0, 256, (30, 30, 4))
            bgra[20:50, 60:90, 3] = 0
            container.mux(stream.encode(av.VideoFrame.from_ndarray(bgra, format="bgra")))
        container.mux(stream.encode(None))
    for colour in ("gray", "rgb"):
        with VideoReader(tmp_path / "a.mkv", colour=colour) as reader:
            images = [frame.image for frame in reader]
        assert all((image == images[0]).all() for image in images)
        assert images[0][25:45, 65:85].max() < 20
