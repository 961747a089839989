"""Cut-outs of real texture, and where they are seen in generated clips."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Cutout:
    """A piece of photograph with a soft outline.

    Attributes:
        rgb_HW3: uint8 texture.
        alpha_HW: uint8, 255 inside the shape.
        size: square root of the shape's area, in pixels of the cut-out.
    """

    rgb_HW3: np.ndarray
    alpha_HW: np.ndarray
    size: float


@dataclass(frozen=True, eq=False)
class Shown:
    """Frames, and the truth about what moves in them.

    Attributes:
        video_THW3: uint8 RGB.
        label_THW: uint8, k + 1 on the visible pixels of thing k, whether it moves at that moment
            or stands still; 0 elsewhere.
        moving_TK: bool, whether thing k moves against the background in frame t.
    """

    video_THW3: np.ndarray
    label_THW: np.ndarray
    moving_TK: np.ndarray

    def boxes(self) -> tuple[np.ndarray, ...]:
        """Per frame a float32 ``(K, 4)`` box around each thing that moves and is seen, pixels."""
        frames = zip(self.label_THW, self.moving_TK, strict=True)
        return tuple(
            np.array(
                [
                    (x, y, x + width, y + height)
                    for x, y, width, height in (
                        cv2.boundingRect((label_HW == k + 1).astype(np.uint8))
                        for k in np.flatnonzero(moving_K)
                    )
                    if width
                ],
                np.float32,
            ).reshape(-1, 4)
            for label_HW, moving_K in frames
        )


def cut_out(photo_HW3: np.ndarray, rng: np.random.Generator, pixels: int = 192) -> Cutout:
    """Cuts a random blob (smooth star-shaped outline, aspect 1/2 to 2) out of a photograph.

    Flat pieces say nothing about motion, so the most textured of a few random crops is taken.
    """
    aspect = np.exp(rng.uniform(-np.log(2), np.log(2)))
    height, width = round(pixels / np.sqrt(aspect)), round(pixels * np.sqrt(aspect))
    crops = [_random_crop(photo_HW3, width, height, rng) for _ in range(4)]
    rgb_HW3 = max(crops, key=lambda crop: cv2.Laplacian(crop, cv2.CV_32F).std() + crop.std() / 4)
    # Colour and gain are changed so that a cut-out is not camouflaged on its own photograph.
    gain = rng.uniform(0.7, 1.2)
    rgb_HW3 = np.clip(rgb_HW3[..., rng.permutation(3)] * gain + rng.uniform(-25, 25), 0, 255)

    theta_P = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius_P = np.ones_like(theta_P)
    for harmonic in range(2, 6):
        radius_P += rng.normal(0, 0.22 / harmonic) * np.cos(
            harmonic * theta_P + rng.uniform(0, 6.3)
        )
    radius_P = 0.46 * np.clip(radius_P, 0.5, None) / radius_P.max()
    outline_P2 = np.stack(
        [width * (0.5 + radius_P * np.cos(theta_P)), height * (0.5 + radius_P * np.sin(theta_P))], 1
    )
    alpha_HW = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha_HW, [np.round(outline_P2 * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return Cutout(rgb_HW3.astype(np.uint8), alpha_HW, float(np.sqrt((alpha_HW / 255.0).sum())))


def _random_crop(
    photo_HW3: np.ndarray, width: int, height: int, rng: np.random.Generator
) -> np.ndarray:
    rows, columns = photo_HW3.shape[:2]
    scale = max(width / columns, height / rows) * rng.uniform(1.0, 2.0)
    if scale != 1:
        photo_HW3 = cv2.resize(photo_HW3, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x = rng.integers(0, photo_HW3.shape[1] - width + 1)
    y = rng.integers(0, photo_HW3.shape[0] - height + 1)
    return photo_HW3[y : y + height, x : x + width]
