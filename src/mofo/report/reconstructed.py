"""What a model makes of the hidden tokens of clips, as frames that can be looked at.

A model with normalised targets predicts the pattern of a hidden patch, not its mean and contrast.
The usual picture takes these two from the answer, and so looks good whatever was learned. Here they
are guessed from visible patches; the leaking frames are made only when they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.models.mae import MaskedAutoencoder, with_statistics
from mofo.models.patches import patch_statistics, put_patches, take_patches
from mofo.training.step import PretrainPass
from mofo.types import SettingsError, TokenGrid


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Clips and what a model makes of them; all frames are uint8 RGB of the clip's size.

    Attributes:
        grid: the clips' tokens.
        frames_BTHWC: the clips.
        box_BT4, valid_BT: their motion areas, as in ``ClipBatch``.
        inside_Bthw, hidden_Bthw: bool, tokens inside the motion area, and hidden ones.
        honest_BTHWC: hidden tokens as predicted, with nothing taken from them; visible ones as
            they are.
        leaking_BTHWC: the same with the true mean and variance of the hidden tokens; None, if it
            was not asked for.
        normalised: whether the model predicts patterns, without mean and contrast.
        error_B: mean squared error of the hidden tokens, in the units of the loss.
        flat_error_B: what it would be without any pattern predicted: 1 for normalised targets, but
            for flat tokens; otherwise that of the mean guessed from the visible tokens.
        names: of the clips.
    """

    grid: TokenGrid
    frames_BTHWC: np.ndarray
    box_BT4: np.ndarray
    valid_BT: np.ndarray
    inside_Bthw: np.ndarray
    hidden_Bthw: np.ndarray
    honest_BTHWC: np.ndarray
    leaking_BTHWC: np.ndarray | None
    normalised: bool
    error_B: np.ndarray
    flat_error_B: np.ndarray
    names: tuple[str, ...]


def check_leak(model: MaskedAutoencoder) -> None:
    """Raises a SettingsError if the model has no leaking picture."""
    if not model.settings.normalise_target:
        raise SettingsError(
            "this model predicts pixels themselves: its picture needs no true mean and variance, "
            "so there is nothing to leak"
        )


@torch.no_grad()
def reconstruct(
    model: MaskedAutoencoder,
    batch: ClipBatch,
    one_pass: PretrainPass,
    *,
    leak: bool = False,
    clips: int = 4,
) -> Reconstruction:
    """What ``write_reconstruction`` draws."""
    normalised = model.settings.normalise_target
    if leak:
        check_leak(model)
    grid = model.settings.grid
    batch = _some(batch, clips).to(next(model.parameters()).device)
    frames_BTHWC = batch.frames_BTHWC
    inside_Bthw, mask = one_pass.area_and_mask(batch)
    was_training = model.training
    model.eval()
    try:
        found = model.predict(frames_BTHWC, mask)
    finally:
        model.train(was_training)

    def put(pixels_BMp: Tensor) -> np.ndarray:
        pixels_BMp = pixels_BMp.nan_to_num(0).clamp(0, 1).mul(255).round().to(torch.uint8)
        return put_patches(frames_BTHWC, grid, mask.target_BM, pixels_BMp).cpu().numpy()

    leaking_BTHWC = None
    if leak:
        answer = patch_statistics(take_patches(frames_BTHWC, grid, mask.target_BM))
        leaking_BTHWC = put(with_statistics(found.prediction_BMp, answer))
    target_BMp = model.target(frames_BTHWC, mask.target_BM)
    flat_BMp = torch.zeros_like(target_BMp)
    if not normalised:
        flat_BMp = with_statistics(flat_BMp, found.statistics)
    return Reconstruction(
        grid=grid,
        frames_BTHWC=frames_BTHWC.cpu().numpy(),
        box_BT4=batch.box_BT4.cpu().numpy(),
        valid_BT=batch.valid_BT.cpu().numpy(),
        inside_Bthw=inside_Bthw.cpu().numpy(),
        hidden_Bthw=mask.hidden_BN.reshape(inside_Bthw.shape).cpu().numpy(),
        honest_BTHWC=put(found.pixels_BMp),
        leaking_BTHWC=leaking_BTHWC,
        normalised=normalised,
        error_B=model.error(found.prediction_BMp, target_BMp).mean(1).cpu().numpy(),
        flat_error_B=model.error(flat_BMp, target_BMp).mean(1).cpu().numpy(),
        names=tuple(Path(path).name for path in batch.path),
    )


def _some(batch: ClipBatch, clips: int) -> ClipBatch:
    """At most so many clips; spread evenly, as neighbours may come from one video."""
    count = max(1, min(clips, len(batch)))
    rows = [(2 * k + 1) * len(batch) // (2 * count) for k in range(count)]
    tensors = {
        field.name: value[rows]
        for field in fields(batch)
        if isinstance(value := getattr(batch, field.name), Tensor)
    }
    return replace(batch, **tensors, path=tuple(batch.path[row] for row in rows), failures=())
