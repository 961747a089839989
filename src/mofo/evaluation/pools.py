"""What features are made of a clip: kinds of pooling, by name in ``POOLS``."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.registry import Registry
from mofo.types import TokenGrid

POOLS: Registry[type[Pool]] = Registry("pool")


class Pool:
    """Clips and the tokens of an encoder to features.

    Args:
        grid: frames and tokens of a clip.
        width: channels of a token; 0 without an encoder.
        count: tokens that the encoder computes.

    Attributes:
        needs_motion: whether the motion area makes a difference.
        needs_encoder: whether tokens are looked at.
        per_token: whether tokens stay apart; several clips of a video have no average then.
        shape: of one clip's feature.
    """

    needs_motion: ClassVar[bool] = False
    needs_encoder: ClassVar[bool] = True
    per_token: ClassVar[bool] = False

    def __init__(self, grid: TokenGrid, width: int, count: int) -> None:
        self.grid = grid
        self.shape: tuple[int, ...] = (width,)

    def __call__(self, tokens_BND: Tensor, inside_BN: Tensor, clips: ClipBatch) -> Tensor:
        """Features, float32 (B, ...).

        Args:
            tokens_BND: of the encoder, float32; no channels without one.
            inside_BN: bool, tokens inside the motion area.
            clips: where they come from.
        """
        raise NotImplementedError


@POOLS.register("mean")
class MeanPool(Pool):
    """The mean over all tokens."""

    def __call__(self, tokens_BND: Tensor, inside_BN: Tensor, clips: ClipBatch) -> Tensor:
        """(B, D)."""
        return tokens_BND.mean(1)


@POOLS.register("inside")
class InsidePool(Pool):
    """The mean over the tokens inside the motion area; over all where there are none."""

    needs_motion = True

    def __call__(self, tokens_BND: Tensor, inside_BN: Tensor, clips: ClipBatch) -> Tensor:
        """(B, D)."""
        return _mean_of(tokens_BND, inside_BN)


@POOLS.register("both")
class InsideOutsidePool(InsidePool):
    """The means over the tokens inside and outside, one after the other."""

    def __init__(self, grid: TokenGrid, width: int, count: int) -> None:
        super().__init__(grid, width, count)
        self.shape = (2 * width,)

    def __call__(self, tokens_BND: Tensor, inside_BN: Tensor, clips: ClipBatch) -> Tensor:
        """(B, 2 D)."""
        means = [_mean_of(tokens_BND, some_BN) for some_BN in (inside_BN, ~inside_BN)]
        return torch.cat(means, dim=1)


@POOLS.register("tokens")
class TokenPool(Pool):
    """No pooling: all tokens."""

    per_token = True

    def __init__(self, grid: TokenGrid, width: int, count: int) -> None:
        super().__init__(grid, width, count)
        self.shape = (count, width)

    def __call__(self, tokens_BND: Tensor, inside_BN: Tensor, clips: ClipBatch) -> Tensor:
        """(B, N, D)."""
        return tokens_BND


@POOLS.register("boxes")
class BoxPool(Pool):
    """No encoder: where the motion area is over time, see ``area_coordinates``."""

    needs_motion = True
    needs_encoder = False

    def __init__(self, grid: TokenGrid, width: int, count: int) -> None:
        super().__init__(grid, width, count)
        self.shape = (9 * grid.frames + 5,)

    def __call__(self, tokens_BND: Tensor, inside_BN: Tensor, clips: ClipBatch) -> Tensor:
        """(B, 9 T + 5)."""
        boxes = zip(clips.box_BT4.cpu().numpy(), clips.valid_BT.cpu().numpy(), strict=True)
        size = (self.grid.width, self.grid.height)
        rows = [area_coordinates(box_T4, valid_T, *size) for box_T4, valid_T in boxes]
        return torch.from_numpy(np.stack(rows))


def _mean_of(tokens_BND: Tensor, some_BN: Tensor) -> Tensor:
    """Mean over some of the tokens, (B, D); over all where there are none."""
    some_BN = some_BN | ~some_BN.any(1, keepdim=True)
    share_BN = some_BN / some_BN.sum(1, keepdim=True)
    return torch.einsum("bn,bnd->bd", share_BN, tokens_BND)


def area_coordinates(
    box_T4: np.ndarray, valid_T: np.ndarray, width: int, height: int
) -> np.ndarray:
    """Features of the area's place and size over time, for ``area_probe``.

    For each frame centre, width and height as shares of the frame and whether anything moves; then
    how the four change from frame to frame and from the first to the last, the box around the whole
    clip in the same form, and the share of frames with motion. The changes could be had from the
    rest, but not by every classifier.

    In a frame without motion the box is taken to lie between those before and after (at the ends:
    as the nearest one); what is never valid is a point in the middle of the frame.

    Args:
        box_T4: pixels, ``(x1, y1, x2, y2)``; read where valid only.
        valid_T: bool.
        width, height: of the clip's frames, pixels.

    Returns:
        float32 ``(9 * T + 5,)``: ``5 * T`` of the frames, ``4 * (T - 1)`` steps, 4 from first to
        last, 4 around all, 1 share.
    """
    box_T4, valid_T = np.asarray(box_T4, np.float64), np.asarray(valid_T, bool)
    known = np.flatnonzero(valid_T)
    place_T4 = np.tile([0.5, 0.5, 0.0, 0.0], (len(valid_T), 1))
    around_4 = place_T4[0]
    if len(known):
        boxes_K4 = box_T4[known]
        place_K4 = _place(boxes_K4, width, height)
        times = np.arange(len(valid_T))
        place_T4 = np.stack([np.interp(times, known, side_K) for side_K in place_K4.T], axis=1)
        hull_14 = np.concatenate([boxes_K4[:, :2].min(0), boxes_K4[:, 2:].max(0)])[None]
        around_4 = _place(hull_14, width, height)[0]
    parts = (
        place_T4,
        valid_T,
        np.diff(place_T4, axis=0),
        place_T4[-1] - place_T4[0],
        around_4,
        valid_T.mean(),
    )
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


def _place(box_K4: np.ndarray, width: int, height: int) -> np.ndarray:
    """Centre and size as shares of the frame."""
    low_K2, high_K2 = box_K4[:, :2] / (width, height), box_K4[:, 2:] / (width, height)
    return np.concatenate([(low_K2 + high_K2) / 2, high_K2 - low_K2], axis=1)
