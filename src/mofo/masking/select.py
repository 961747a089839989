"""The smallest values of each row, without sorting the row."""

from __future__ import annotations

from torch import Tensor


def smallest(key_BN: Tensor, count: int) -> Tensor:
    """(B, N) bool: exactly the ``count`` smallest values of each row; of equals, the first ones.

    The same answer as by a stable sort, at a quarter of its cost for 1568 values.

    Args:
        key_BN: float; infinity is allowed, not-a-number is not.
        count: between 1 and N.
    """
    # torch.topk promises no order among equal values, so only the value it ends at is used.
    last_B1 = key_BN.topk(key_BN.shape[1] - count + 1, sorted=False).values.amin(1, keepdim=True)
    below_BN = key_BN < last_B1
    equal_BN = key_BN == last_B1
    wanted_B1 = count - below_BN.sum(1, keepdim=True)
    return below_BN | (equal_BN & (equal_BN.cumsum(1) <= wanted_B1))
