"""Which tokens are hidden from the encoder, and which it need not compute at all."""

from mofo.masking.kept_tokens import TOKEN_CHOICES, TokenChoice, TokenSettings
from mofo.masking.mask import Mask, MaskShares, mask_shares
from mofo.masking.mask_settings import MASKS, MaskSettings, MaskStrategy, decoded_count
from mofo.masking.strategies import make_mask

__all__ = [
    "MASKS",
    "TOKEN_CHOICES",
    "Mask",
    "MaskSettings",
    "MaskShares",
    "MaskStrategy",
    "TokenChoice",
    "TokenSettings",
    "decoded_count",
    "make_mask",
    "mask_shares",
]
