"""Masks: which tokens are hidden from the encoder, and which of them the decoder predicts."""

from mofo.masking.mask_settings import STRATEGIES, MaskSettings, decoded_count, hidden_count
from mofo.masking.running_cell import running_cell_mask
from mofo.masking.shares import MaskShares, mask_shares
from mofo.masking.strategies import make_mask

__all__ = [
    "STRATEGIES",
    "MaskSettings",
    "MaskShares",
    "decoded_count",
    "hidden_count",
    "make_mask",
    "mask_shares",
    "running_cell_mask",
]
