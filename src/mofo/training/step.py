"""One pass: a batch of clips to a loss, through mask and model."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import token_area
from mofo.masking import (
    decoded_count,
    hidden_count,
    make_mask,
    mask_shares,
    running_cell_mask,
)
from mofo.models.mae import area_weight
from mofo.training.pretrain_settings import PretrainSettings


class PassResult(NamedTuple):
    """What a pass gives.

    Attributes:
        loss: scalar with a gradient.
        facts: scalars for the log, without one, by name.
    """

    loss: Tensor
    facts: dict[str, Tensor]


class PretrainPass:
    """Masks a batch and asks the model for the loss.

    Everything happens on the batch's device, and nothing waits for it.
    """

    def __init__(self, settings: PretrainSettings) -> None:
        self._mask, self._loss, self._grid = settings.mask, settings.loss, settings.grid()
        # What hides the motion goes along with it; tubes need one area for the clip.
        self._per = "tubelet" if self._mask.strategy == "hide_motion" else "clip"
        # Wrong settings are to be found before any video is read.
        self.hidden = hidden_count(self._mask, self._grid)
        self._decoded = None
        if settings.loss.decode < 1:
            self._decoded = decoded_count(self._mask, self._grid, settings.loss.decode)

    def area_and_mask(self, batch: ClipBatch) -> tuple[Tensor, Tensor]:
        """Tokens inside the motion area (B, t, h, w), and hidden ones (B, N)."""
        inside_Bthw = token_area(batch.box_BT4, batch.valid_BT, self._grid, per=self._per)
        return inside_Bthw, make_mask(self._mask, self._grid, inside_Bthw, batch.noise_BN)

    def __call__(self, model: nn.Module, batch: ClipBatch) -> PassResult:
        """The loss of a batch on the model's device.

        Facts: "area", the share of the tokens inside the motion area, mean over the batch; "rho",
        the share of the visible tokens that are inside it.
        """
        inside_Bthw, mask_BN = self.area_and_mask(batch)
        decode_BN = None
        if self._decoded is not None:
            decode_BN = running_cell_mask(
                self._mask, self._grid, mask_BN, batch.noise_BN, self._loss.decode
            )
        weight_BN = None
        if self._loss.outside != 1:
            weight_BN = area_weight(inside_Bthw.flatten(1), self._loss.outside)
        output = model(
            batch.frames_BTHWC,
            mask_BN,
            hidden=self.hidden,
            decode_BN=decode_BN,
            decoded=self._decoded,
            weight_BN=weight_BN,
        )
        shares = mask_shares(mask_BN, inside_Bthw)
        facts = {"area": shares.area.mean(), "rho": shares.rho.mean()}
        return PassResult(output.loss, facts)
