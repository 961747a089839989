from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from helpers.drawn import texture
from mofo.video.cuts import CutDetector
from mofo.video.reader import VideoReader

# Found by looking at all 250 frames: street from above | man among cars | van and cyclist | fence |
# wall with a man walking by | bicycle wheel.
BIKES_CUTS = [30, 76, 137, 187, 242]
TWO = {blur: [texture(400, 3000, blur=blur, seed=s) for s in (1, 2)] for blur in (1, 3, 8, 20)}


def cuts(images: Iterable[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [i for i, image in enumerate(images) if detector.step(image)]


def pan(picture: np.ndarray, frames: int, step: float) -> list[np.ndarray]:
    return [picture[80:320, int(step * i) : int(step * i) + 320] for i in range(frames)]


@pytest.mark.parametrize(
    "options", [{}, {"short_side": 240}, {"short_side": 96}, {"size": (50, 70)}]
)
def test_real_cuts(bikes: Path, options: dict) -> None:
    with VideoReader(bikes, **options) as reader:
        assert cuts(frame.image for frame in reader) == BIKES_CUTS


def test_darker_and_faster_video_has_the_same_cuts(bikes: Path) -> None:
    with VideoReader(bikes, short_side=240) as reader:
        images = [frame.image for frame in reader]
    assert cuts(image // 3 for image in images) == BIKES_CUTS
    assert cuts(images[::2]) == [(cut + 1) // 2 for cut in BIKES_CUTS]


def test_one_real_shot(carphone: Path) -> None:
    with VideoReader(carphone) as reader:
        assert cuts(frame.image for frame in reader) == []


@pytest.mark.parametrize("blur", TWO)
def test_generated_cut(blur: int) -> None:
    one, two = TWO[blur]
    assert cuts(pan(one, 20, 3) + pan(two, 20, 3)) == [20]


def test_cut_between_noisy_shots() -> None:
    rng = np.random.default_rng(3)
    images = pan(TWO[3][0], 20, 2) + pan(TWO[3][1], 20, 2)
    noisy = [np.clip(im + rng.normal(0, 12, im.shape), 0, 255).astype(np.uint8) for im in images]
    assert cuts(noisy) == [20]


@pytest.mark.parametrize("blur", TWO)
@pytest.mark.parametrize("step", [1, 5, 20, 40, 80])
def test_pans_are_no_cuts(blur: int, step: int) -> None:
    assert cuts(pan(TWO[blur][0], 30, step)) == []


@pytest.mark.parametrize("blur", TWO)
def test_shake_is_no_cut(blur: int) -> None:
    offsets = np.clip(np.random.default_rng(0).normal(0, 8, (60, 2)), -30, 30).astype(int) + 40
    picture = TWO[blur][0]
    assert cuts(picture[y : y + 240, x : x + 320] for y, x in offsets) == []


@pytest.mark.parametrize("blur", TWO)
def test_a_large_object_that_crosses_is_no_cut(blur: int) -> None:
    one, two = (picture[:240, :320] for picture in TWO[blur])
    images = []
    for left in range(-240, 340, 15):
        image = one.copy()
        image[:, max(0, left) : max(0, left + 220)] = two[:, max(0, left) : max(0, left + 220)]
        images.append(image)
    assert cuts(images) == []


@pytest.mark.parametrize("flash", [60, 120, 255])
def test_flash_is_no_cut(flash: int) -> None:
    images = pan(TWO[8][0], 30, 2)
    for i in (12, 13):
        images[i] = np.clip(images[i].astype(int) + flash, 0, 255).astype(np.uint8)
    assert cuts(images) == []


def test_white_frame_is_no_cut_and_a_torn_one_is_one() -> None:
    images = pan(TWO[8][0], 30, 2)
    images[12] = np.full_like(images[12], 255)
    assert cuts(images) == []
    images[12] = TWO[8][1][:240, :320]
    assert cuts(images) == [12]


def test_fades_and_dissolves_are_no_cuts() -> None:
    one, two = (picture[:240, :320].astype(float) for picture in TWO[8])
    down = np.linspace(1, 0, 15)
    fade = [(one * a).astype(np.uint8) for a in [*down, 0, 0, *down[::-1]]]
    assert cuts(fade) == []
    dissolve = [(one * a + two * (1 - a)).astype(np.uint8) for a in np.linspace(1, 0, 15)]
    assert cuts([dissolve[0]] * 5 + dissolve + [dissolve[-1]] * 5) == []


def test_through_black_to_another_scene_is_one_cut() -> None:
    black = [np.zeros((240, 320), np.uint8)] * 5
    assert cuts(pan(TWO[8][0], 20, 2) + black + pan(TWO[8][1], 20, 2)) == [25]


def test_nothing_to_see() -> None:
    assert cuts([np.zeros((240, 320), np.uint8)] * 20) == []
    rng = np.random.default_rng(0)
    assert cuts(rng.integers(0, 12, (20, 240, 320), np.uint8)) == []
    assert cuts([texture(5, 7)] * 5) == []
    assert cuts([]) == []


def test_reset() -> None:
    detector = CutDetector()
    for image in pan(TWO[8][0], 10, 2):
        detector.step(image)
    detector.reset()
    assert not any(detector.step(image) for image in pan(TWO[8][1], 10, 2))


def test_cheap() -> None:
    detector = CutDetector()
    images = pan(TWO[3][0], 20, 3)
    best = 1.0
    for _ in range(5):
        start = time.process_time()
        for image in images:
            detector.step(image)
        best = min(best, (time.process_time() - start) / len(images))
    assert best < 0.001  # about 0.06 ms on one core; the rest is room for busy machines
