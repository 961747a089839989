"""What a mask really hides, for logs and pictures."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class MaskShares(NamedTuple):
    """Achieved shares over a batch, each a scalar float32 tensor on the mask's device.

    Attributes:
        area: share of all tokens that is inside the motion area, over all samples.
        hidden_inside: share of the tokens inside that is hidden; nan where no sample has an area.
        hidden_outside: share of the tokens outside that is hidden, over samples with an area.
        rho: share of the visible tokens that is inside, over samples with an area.
    """

    area: Tensor
    hidden_inside: Tensor
    hidden_outside: Tensor
    rho: Tensor


def mask_shares(mask_BN: Tensor, inside_Bthw: Tensor) -> MaskShares:
    """The shares that a mask (True = hidden) achieves; does not wait for the device.

    Samples without motion are plain tubes whatever was asked, so only ``area`` counts them.
    """
    inside_BN = inside_Bthw.flatten(1)
    moving_B1 = inside_BN.any(1, keepdim=True)
    outside_BN = ~inside_BN & moving_B1
    visible_BN = ~mask_BN & moving_B1
    return MaskShares(
        area=inside_BN.float().mean(),
        hidden_inside=_share(mask_BN, inside_BN),
        hidden_outside=_share(mask_BN, outside_BN),
        rho=_share(inside_BN, visible_BN),
    )


def _share(part_BN: Tensor, whole_BN: Tensor) -> Tensor:
    return (part_BN & whole_BN).sum() / whole_BN.sum()
