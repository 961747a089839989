"""A transformer block in which some vectors ask and others answer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.models.linears import blank_linear, linear, norm_linear, norm_linears
from mofo.models.pooling import Sizes, pooled
from mofo.models.vit import Mlp

Answers = tuple[Tensor, Tensor]  # keys and values, (B, N, D) each


class CrossAttention(nn.Module):
    """A block with LayerNorm first in which some vectors ask and others answer.

    Queries and tokens have a LayerNorm each. As in the encoder, keys have no bias.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self._heads = heads
        self.query_norm = nn.LayerNorm(width, eps=norm_eps)
        self.context_norm = nn.LayerNorm(width, eps=norm_eps)
        self.query = blank_linear(width, width)
        self.key_value = blank_linear(width, 2 * width, bias=False)
        self.v_bias = nn.Parameter(torch.empty(width))
        self.proj = blank_linear(width, width)
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
        q_BQD = self._queries(asking_BQD).expand(tokens_BND.shape[0], -1, -1)
        return self._after(asking_BQD, self._attend(q_BQD, *self._answers(tokens_BND), keys_BN))

    def packed(
        self, asking_XD: Tensor, place_X: Tensor, most: int, tokens_BND: Tensor, keys_BN: Tensor
    ) -> Tensor:
        """The same where samples have different numbers of queries: (X, D).

        Only the attention has room for ``most`` queries of each sample; nothing is counted, so that
        no device makes anyone wait.

        Args:
            asking_XD: queries of all samples.
            place_X: place of each, rising: ``sample * most + number in the sample``; no two may
                share one, but for the last place of all, ``B * most``, which belongs to no sample.
            most: queries that a sample can have.
            tokens_BND, keys_BN: as in ``forward``.
        """
        q_BQD = spread(self._queries(asking_XD), place_X, len(keys_BN), most)
        mixed_BQD = self._attend(q_BQD, *self._answers(tokens_BND), keys_BN)
        mixed_XD = F.pad(mixed_BQD.flatten(0, 1), (0, 0, 0, 1)).index_select(0, place_X)
        return self._after(asking_XD, mixed_XD)

    def means(
        self, asking_XD: Tensor, asked: Sizes, answering_YD: Tensor, answers: Sizes
    ) -> Tensor:
        """Means of ``forward`` over each sample's queries, (B, D), for samples of any sizes.

        The quickest where many small calls cost no more than a large one: a sample at a time
        attends to its own keys.

        Args:
            asking_XD, answering_YD: queries, and what answers, one sample after the other.
            asked, answers: how many of each sample, 0 or more queries and 1 or more answers. What
                a sample without queries gets has no meaning.
        """
        q_XD, (k_YD, v_YD) = self._queries(asking_XD), self._answers(answering_YD)
        samples = zip(
            q_XD.split(asked), k_YD.split(answers), v_YD.split(answers), strict=True
        )  # fmt: skip
        mixed = [
            self._attend(q_QD[None], k_ND[None], v_ND[None])[0] for q_QD, k_ND, v_ND in samples
        ]
        told_XD = linear(torch.cat(mixed), self.proj, onto=asking_XD)
        share = torch.tensor([1 / max(1, count) for count in asked])
        weight_X = share.repeat_interleave(torch.tensor(asked))
        return pooled(told_XD, weight_X, asked) + self.mlp.pooled(told_XD, weight_X, asked)

    @torch.no_grad()
    def attention(
        self, asking_BQD: Tensor, tokens_BND: Tensor, keys_BN: Tensor | None = None
    ) -> Tensor:
        """The weights, (B, heads, Q, N): each row sums to 1. For pictures: it keeps them all."""
        k_BhNd = self._split(self._answers(tokens_BND)[0])
        q_BhQd = self._split(self._queries(asking_BQD))
        score_BhQN = (q_BhQd @ k_BhNd.transpose(2, 3)).float() * q_BhQd.shape[3] ** -0.5
        if keys_BN is not None:
            score_BhQN = score_BhQN.masked_fill(~keys_BN[:, None, None, :], float("-inf"))
        return score_BhQN.softmax(3)

    def _queries(self, asking: Tensor) -> Tensor:
        return norm_linear(asking, self.query_norm, self.query)

    def _answers(self, tokens_BND: Tensor) -> Answers:
        weight, biases = self.key_value.weight, (None, self.v_bias)
        k_BND, v_BND = norm_linears(tokens_BND, self.context_norm, weight, biases)
        return k_BND, v_BND

    def _split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(2, (self._heads, -1)).transpose(1, 2)

    def _attend(
        self, q_BQD: Tensor, k_BND: Tensor, v_BND: Tensor, keys_BN: Tensor | None = None
    ) -> Tensor:
        """Attention to the keys that may be attended to, heads side by side: (B, Q, D)."""
        keys_B11N = None if keys_BN is None else keys_BN[:, None, None, :]
        q_BhQd, k_BhNd, v_BhNd = map(self._split, (q_BQD, k_BND, v_BND))
        mixed_BhQd = F.scaled_dot_product_attention(q_BhQd, k_BhNd, v_BhNd, attn_mask=keys_B11N)
        return mixed_BhQd.transpose(1, 2).flatten(2)

    def _after(self, asking: Tensor, mixed: Tensor) -> Tensor:
        told = linear(mixed, self.proj, onto=asking.expand_as(mixed))
        return self.mlp(told, onto=told)


def spread(rows_XD: Tensor, place_X: Tensor, batch: int, most: int) -> Tensor:
    """Rows to their places (B, most, D), zeros elsewhere; see ``CrossAttention.packed``."""
    blank_YD = rows_XD.new_zeros(batch * most + 1, rows_XD.shape[1])
    return blank_YD.index_copy(0, place_X, rows_XD)[:-1].unflatten(0, (batch, most))
