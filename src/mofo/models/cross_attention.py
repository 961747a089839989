"""A transformer block in which some vectors ask and others answer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.models.linears import blank_linear, norm_linear, norm_linears
from mofo.models.vit import Mlp


class CrossAttention(nn.Module):
    """A block with LayerNorm first in which some vectors ask and others answer.

    Queries and tokens have a LayerNorm each. As in the encoder, keys have no bias.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self._heads = heads
        self.query_norm = nn.LayerNorm(width, eps=norm_eps)
        self.token_norm = nn.LayerNorm(width, eps=norm_eps)
        self.query = blank_linear(width, width)
        self.key_value = blank_linear(width, 2 * width, bias=False)
        self.v_bias = nn.Parameter(torch.empty(width))
        self.project = blank_linear(width, width)
        self.mlp = Mlp(width, norm_eps)

    def forward(
        self, asking_BQD: Tensor, tokens_BND: Tensor, keys_BN: Tensor | None = None
    ) -> Tensor:
        """What asks, plus the answers, through the MLP: (B, Q, D).

        Args:
            asking_BQD: B may be 1: the same for all samples.
            tokens_BND: what answers.
            keys_BN: bool, the tokens that may be attended to; at least one in each sample. None:
                all.
        """
        k_BhNd, v_BhNd = self._keys_values(tokens_BND)
        q_BhQd = self._split(self._queries(asking_BQD)).expand(tokens_BND.shape[0], -1, -1, -1)
        return self._after(asking_BQD, _attend(q_BhQd, k_BhNd, v_BhNd, keys_BN))

    def packed(
        self, asking_XD: Tensor, place_X: Tensor, most: int, tokens_BND: Tensor, keys_BN: Tensor
    ) -> Tensor:
        """The same where samples have different numbers of queries: (X, D).

        Args:
            asking_XD: queries of all samples.
            place_X: place of each: ``sample * most + number in the sample``; no two may share one,
                but for the last place of all, ``B * most``, which belongs to no sample.
            most: queries that a sample can have.
            tokens_BND, keys_BN: as in ``forward``.
        """
        batch = len(tokens_BND)
        k_BhNd, v_BhNd = self._keys_values(tokens_BND)
        # Only the attention itself needs a row for each sample; all else works on what there is.
        q_BQD = spread(self._queries(asking_XD), place_X, batch, most)
        mixed_BQD = _attend(self._split(q_BQD), k_BhNd, v_BhNd, keys_BN)
        mixed_YD = F.pad(mixed_BQD.flatten(0, 1), (0, 0, 0, 1))
        return self._after(asking_XD, mixed_YD.index_select(0, place_X))

    @torch.no_grad()
    def attention(
        self, asking_BQD: Tensor, tokens_BND: Tensor, keys_BN: Tensor | None = None
    ) -> Tensor:
        """The weights, (B, heads, Q, N): each row sums to 1. For pictures: it keeps them all."""
        k_BhNd, _ = self._keys_values(tokens_BND)
        q_BhQd = self._split(self._queries(asking_BQD))
        score_BhQN = (q_BhQd @ k_BhNd.transpose(2, 3)).float() * q_BhQd.shape[3] ** -0.5
        if keys_BN is not None:
            score_BhQN = score_BhQN.masked_fill(~keys_BN[:, None, None, :], float("-inf"))
        return score_BhQN.softmax(3)

    def _queries(self, asking: Tensor) -> Tensor:
        return norm_linear(asking, self.query_norm, self.query)

    def _keys_values(self, tokens_BND: Tensor) -> tuple[Tensor, Tensor]:
        weight, biases = self.key_value.weight, (None, self.v_bias)
        k_BND, v_BND = norm_linears(tokens_BND, self.token_norm, weight, biases)
        return self._split(k_BND), self._split(v_BND)

    def _split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(2, (self._heads, -1)).transpose(1, 2)

    def _after(self, asking: Tensor, mixed: Tensor) -> Tensor:
        told = asking + self.project(mixed)
        return told + self.mlp(told)


def _attend(q_BhQd: Tensor, k_BhNd: Tensor, v_BhNd: Tensor, keys_BN: Tensor | None) -> Tensor:
    """Attention to the keys that may be attended to, heads side by side: (B, Q, D)."""
    keys_B11N = None if keys_BN is None else keys_BN[:, None, None, :]
    mixed_BhQd = F.scaled_dot_product_attention(q_BhQd, k_BhNd, v_BhNd, attn_mask=keys_B11N)
    return mixed_BhQd.transpose(1, 2).flatten(2)


def spread(rows_XD: Tensor, place_X: Tensor, batch: int, most: int) -> Tensor:
    """Rows to their places (B, most, D), zeros elsewhere; see ``CrossAttention.packed``."""
    blank_YD = rows_XD.new_zeros(batch * most + 1, rows_XD.shape[1])
    return blank_YD.index_copy(0, place_X, rows_XD)[:-1].unflatten(0, (batch, most))
