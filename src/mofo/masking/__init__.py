"""Masks: which tokens are hidden from the encoder, and which of them the decoder predicts."""

from mofo.masking.mask import Mask, MaskShares, mask_shares
from mofo.masking.mask_settings import MASKS, MaskSettings, MaskStrategy, decoded_count
from mofo.masking.strategies import make_mask

__all__ = [
    "MASKS",
    "Mask",
    "MaskSettings",
    "MaskShares",
    "MaskStrategy",
    "decoded_count",
    "make_mask",
    "mask_shares",
]
