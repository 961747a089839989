"""One pass: a batch of clips to a loss, through mask and model."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import token_area
from mofo.masking import Mask, decoded_count, make_mask, mask_shares
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
        # Wrong settings are to be found before any video is read.
        strategy = self._mask.build(self._grid)
        decoded_count(strategy.num_hidden, self._loss.decode)
        self._per = strategy.area_span
        self.num_hidden = strategy.num_hidden

    def area_and_mask(self, batch: ClipBatch, decode: float = 1.0) -> tuple[Tensor, Mask]:
        """Tokens inside the motion area (B, t, h, w), and the mask."""
        inside_Bthw = token_area(batch.box_BT4, batch.valid_BT, self._grid, per=self._per)
        mask = make_mask(self._mask, self._grid, inside_Bthw, batch.noise_BN, decode)
        return inside_Bthw, mask

    def __call__(self, model: nn.Module, batch: ClipBatch) -> PassResult:
        """The loss of a batch on the model's device.

        Facts: "area", the share of the tokens inside the motion area, mean over the batch;
        "visible_inside_ratio", the share of the visible tokens that are inside it.
        """
        inside_Bthw, mask = self.area_and_mask(batch, self._loss.decode)
        weight_BN = None
        if self._loss.outside != 1:
            weight_BN = area_weight(inside_Bthw.flatten(1), self._loss.outside)
        output = model(batch.frames_BTHWC, mask, weight_BN=weight_BN)
        shares = mask_shares(mask.hidden_BN, inside_Bthw)
        facts = {"area": shares.area, "visible_inside_ratio": shares.visible_inside}
        return PassResult(output.loss, facts)
