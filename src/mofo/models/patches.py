"""Blocks of pixels that belong to tokens: cut from frames, put back, and their statistics.

A token's block of 2 x 16 x 16 pixels is flattened with the colour fastest, then x, y and time:
``(p0 p1 p2 c)``, p = 1536 numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mofo.models.model_settings import CHANNELS
from mofo.types import SettingsError, TokenGrid


def check_frames(frames_BTHWC: Tensor, grid: TokenGrid) -> None:
    """Raises a SettingsError if the frames do not fit the grid, or have no usable type."""
    wanted = (grid.frames, grid.height, grid.width, CHANNELS)
    if frames_BTHWC.ndim != 5 or tuple(frames_BTHWC.shape[1:]) != wanted:
        raise SettingsError(
            f"frames are {tuple(frames_BTHWC.shape)}, but the model takes (batch, "
            f"{', '.join(map(str, wanted))}): batch, frames, height, width, colours"
        )
    if frames_BTHWC.dtype != torch.uint8 and not frames_BTHWC.dtype.is_floating_point:
        raise SettingsError(
            f"frames are {frames_BTHWC.dtype}: the model takes uint8, or floats in [0, 1]"
        )


def full_scale(frames: Tensor) -> float:
    """The value of a pixel of full brightness: 255 for uint8, 1 for floats."""
    return 255.0 if frames.dtype == torch.uint8 else 1.0


def take_patches(frames_BTHWC: Tensor, grid: TokenGrid, index_BM: Tensor | None = None) -> Tensor:
    """The pixels of tokens ``index_BM`` (of all, without), (B, M, p), in the type of the frames.

    Only these pixels are copied.
    """
    batch = frames_BTHWC.shape[0]  # len() would fix it in an exported graph
    # (B, t, p0, h, p1, w, p2, C): splitting axes never copies.
    split = (
        frames_BTHWC.unflatten(3, (grid.w, grid.patch))
        .unflatten(2, (grid.h, grid.patch))
        .unflatten(1, (grid.t, grid.tubelet))
    )
    blocks = split.permute(0, 1, 3, 5, 2, 4, 6, 7)  # (B, t, h, w, p0, p1, p2, C)
    if index_BM is None:
        return blocks.reshape(batch, grid.tokens, -1)
    row_B1 = torch.arange(batch, device=index_BM.device)[:, None]
    t_BM, place_BM = index_BM // grid.positions, index_BM % grid.positions
    return blocks[row_B1, t_BM, place_BM // grid.w, place_BM % grid.w].flatten(2)


def put_patches(
    frames_BTHWC: Tensor, grid: TokenGrid, index_BM: Tensor, patches_BMp: Tensor
) -> Tensor:
    """A copy of the frames in which the tokens ``index_BM`` show ``patches_BMp``."""
    patches_BNp = take_patches(frames_BTHWC, grid).clone()
    patches_BNp.scatter_(1, index_BM[..., None].expand_as(patches_BMp), patches_BMp)
    blocks = patches_BNp.unflatten(2, (grid.tubelet, grid.patch, grid.patch, CHANNELS))
    blocks = blocks.unflatten(1, (grid.t, grid.h, grid.w)).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return blocks.reshape(frames_BTHWC.shape)


class PatchStatistics(NamedTuple):
    """Mean and standard deviation (unbiased) of tokens' pixels, apart for each colour.

    Both are float32 (B, M, C), in units of full brightness (pixels in [0, 1]).
    """

    mean_BMC: Tensor
    std_BMC: Tensor


def patch_statistics(patches_BMp: Tensor) -> PatchStatistics:
    """Statistics of blocks of pixels, uint8 or float in [0, 1]."""
    pixels_BMqC = patches_BMp.float().unflatten(2, (-1, CHANNELS))
    var_BMC, mean_BMC = torch.var_mean(pixels_BMqC, dim=2)
    scale = full_scale(patches_BMp)
    return PatchStatistics(mean_BMC / scale, var_BMC.sqrt() / scale)


def spread_statistics(
    known: PatchStatistics, known_index_BV: Tensor, index_BM: Tensor, grid: TokenGrid
) -> PatchStatistics:
    """A guess of the statistics of tokens ``index_BM`` from those of other, known tokens.

    The mean over the known tokens, weighted with the inverse cube of the distance on the grid
    (a step in time counts as much as one in space). Nothing of the tokens ``index_BM`` is used.
    """

    def places(index: Tensor) -> Tensor:
        y, x = index % grid.positions // grid.w, index % grid.w
        return torch.stack([index // grid.positions, y, x], -1).float()

    distance_BMV = torch.cdist(places(index_BM), places(known_index_BV))
    weight_BMV = distance_BMV.clamp(min=0.1) ** -3
    weight_BMV /= weight_BMV.sum(-1, keepdim=True)
    return PatchStatistics(weight_BMV @ known.mean_BMC, weight_BMV @ known.std_BMC)
