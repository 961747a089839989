"""The encoder: a vision transformer over the visible tokens of a clip.

Dosovitskiy et al., arXiv 2010.11929; the variant of VideoMAE (Tong et al., arXiv 2203.12602):
blocks with LayerNorm first, no class token, no bias of the keys, fixed positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mofo.models.linears import blank_linear, linear, norm_linear, norm_linears
from mofo.models.model_settings import CHANNELS, ModelSettings
from mofo.models.patches import check_frames, full_scale, take_patches
from mofo.models.pooling import Sizes, pooled, pooled_gelu
from mofo.models.positions import PositionTable
from mofo.types import TokenGrid

_MLP = 4  # width of the hidden layer, in widths of the token
MEAN = (0.485, 0.456, 0.406)  # of ImageNet, pixels in [0, 1]
STD = (0.229, 0.224, 0.225)


class Attention(nn.Module):
    """LayerNorm and multi-head self-attention; biases of queries and values, none of the keys."""

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self._heads = heads
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.qkv = blank_linear(width, 3 * width, bias=False)
        # A bias of the keys would change nothing: it adds the same to all scores of a query.
        self.q_bias = nn.Parameter(torch.empty(width))
        self.v_bias = nn.Parameter(torch.empty(width))
        self.proj = blank_linear(width, width)

    def forward(self, x_BVD: Tensor, skip: int = 0, onto: Tensor | None = None) -> Tensor:
        """Tokens (B, V, D) to the branch that is added to them: not to the first ``skip``.

        Args:
            onto: tokens that it is added to at once.
        """
        # Each query's weights sum to 1, so that a bias of the values comes out as it is: it is put
        # to the next layer's, which costs less than adding it to all values.
        bias = torch.addmv(self.proj.bias, self.proj.weight, self.v_bias)
        biases = (self.q_bias, None, None)
        q_BhVd, k_BhVd, v_BhVd = (
            part_BVD.unflatten(2, (self._heads, -1)).transpose(1, 2)
            for part_BVD in norm_linears(x_BVD, self.norm, self.qkv.weight, biases)
        )
        mixed_BhVd = F.scaled_dot_product_attention(q_BhVd[:, :, skip:], k_BhVd, v_BhVd)
        return linear(mixed_BhVd.transpose(1, 2).flatten(2), self.proj, bias=bias, onto=onto)


class Mlp(nn.Module):
    """LayerNorm and two linear layers with a GELU between them."""

    def __init__(self, width: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.fc1 = blank_linear(width, _MLP * width)
        self.fc2 = blank_linear(_MLP * width, width)

    def forward(self, x_BVD: Tensor, onto: Tensor | None = None) -> Tensor:
        """Tokens (B, V, D) to the branch that is added to them; to ``onto`` at once, if given."""
        hidden = norm_linear(x_BVD, self.norm, self.fc1)
        return linear(hidden, self.fc2, gelu=True, onto=onto)

    def pooled(self, x: Tensor, weight: Tensor, sizes: Sizes | None = None) -> Tensor:
        """The branch's weighted mean over each sample, (B, D); see ``pooling``."""
        hidden = norm_linear(x, self.norm, self.fc1)
        return linear(pooled_gelu(hidden, weight, sizes), self.fc2)


class Block(nn.Module):
    """Attention and MLP, each added to the tokens.

    Args:
        norm_eps: epsilon of both LayerNorms.
        drop_path: chance that a branch is left out for a sample in training; the others' is scaled
            up, so that the mean stays. Drawn from torch's generator of the device, like dropout.
    """

    def __init__(
        self, width: int, heads: int, *, norm_eps: float = 1e-6, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self._drop_path = drop_path
        self.attention = Attention(width, heads, norm_eps)
        self.mlp = Mlp(width, norm_eps)

    def forward(self, x_BVD: Tensor, skip: int = 0, weight_BV: Tensor | None = None) -> Tensor:
        """Tokens (B, V, D) to tokens: (B, V - skip, D), without the first ones.

        Args:
            weight_BV: of the tokens left, summing to 1 in each sample: gives their mean, (B, D).
        """
        kept_BVD = x_BVD[:, skip:]
        drops = self.training and self._drop_path > 0
        if drops:
            x_BVD = kept_BVD + self._drop(self.attention(x_BVD, skip))
        else:
            x_BVD = self.attention(x_BVD, skip, onto=kept_BVD)
        if weight_BV is not None:
            branch_BD = self.mlp.pooled(x_BVD, weight_BV)
            return pooled(x_BVD, weight_BV) + (self._drop(branch_BD) if drops else branch_BD)
        return x_BVD + self._drop(self.mlp(x_BVD)) if drops else self.mlp(x_BVD, onto=x_BVD)

    def _drop(self, branch: Tensor) -> Tensor:
        keep = 1 - self._drop_path
        keep_B = branch.new_empty(len(branch)).bernoulli_(keep)
        return branch * (keep_B / keep).view(-1, *[1] * (branch.ndim - 1))


class Blocks(nn.ModuleList):
    """Blocks one after the other; see ``ModelSettings`` for the options."""

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        *,
        norm_eps: float,
        drop_path: float = 0.0,
        activation_checkpointing: bool = False,
    ) -> None:
        rates = [drop_path * number / max(1, depth - 1) for number in range(depth)]
        super().__init__(Block(width, heads, norm_eps=norm_eps, drop_path=rate) for rate in rates)
        self.activation_checkpointing = activation_checkpointing
        self._random = drop_path > 0

    def forward(self, x_BVD: Tensor, skip: int = 0, weight_BV: Tensor | None = None) -> Tensor:
        """Tokens (B, V, D) to tokens (B, V - skip, D).

        Args:
            x_BVD: tokens.
            skip: the first tokens, which nobody asks for: the last block attends to them but does
                no work on them.
            weight_BV: of the tokens left, summing to 1 in each sample: gives their mean, (B, D),
                for less work in the last block than all of them.
        """
        again = self.activation_checkpointing and torch.is_grad_enabled()
        for number, block in enumerate(self, start=1):
            options = (x_BVD, skip, weight_BV) if number == len(self) else (x_BVD,)
            if again:
                x_BVD = checkpoint(
                    block, *options, use_reentrant=False, preserve_rng_state=self._random
                )
            else:
                x_BVD = block(*options)
        return x_BVD


class PatchEmbedding(nn.Module):
    """Pixels of chosen tokens to vectors: a linear layer on each token's normalised pixels.

    The same as a convolution over the clip with kernel and stride of a token's size, but computed
    for the chosen tokens alone. Mean and deviation of ImageNet are taken out first.
    """

    scale_C: Tensor
    shift_C: Tensor

    def __init__(self, grid: TokenGrid, width: int) -> None:
        super().__init__()
        self._grid = grid
        linear = blank_linear(grid.tubelet * grid.patch**2 * CHANNELS, width)
        self.weight, self.bias = linear.weight, linear.bias  # (D, p), (D,)
        mean_C, std_C = torch.tensor(MEAN), torch.tensor(STD)
        self.register_buffer("scale_C", 1 / std_C, persistent=False)
        self.register_buffer("shift_C", -mean_C / std_C, persistent=False)

    def forward(self, frames_BTHWC: Tensor, index_BV: Tensor | None = None) -> Tensor:
        """Frames, uint8 or float in [0, 1], to (B, V, D).

        Raises:
            SettingsError: frames of another size.
        """
        check_frames(frames_BTHWC, self._grid)
        patches_BVp = take_patches(frames_BTHWC, self._grid, index_BV)
        pixels = patches_BVp.to(self.scale_C.dtype).unflatten(2, (-1, CHANNELS))
        scale_C = self.scale_C / full_scale(frames_BTHWC)
        return F.linear((pixels * scale_C + self.shift_C).flatten(2), self.weight, self.bias)


class Encoder(nn.Module):
    """Vision transformer over all tokens of a clip, or over the visible ones only.

    Args:
        settings: sizes; the decoder's are not used.
        final_norm: a LayerNorm at the end, as in pre-training. VideoMAE's classifier has its own
            behind the mean over the tokens, and none here.
        generator: draws the weights; none: one with seed 0.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        final_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.grid = settings.grid
        self.embed = PatchEmbedding(settings.grid, settings.width)
        self.positions = PositionTable(settings.grid, settings.width)
        self.blocks = Blocks(
            settings.width,
            settings.depth,
            settings.heads,
            norm_eps=settings.norm_eps,
            drop_path=settings.drop_path,
            activation_checkpointing=settings.activation_checkpointing,
        )
        norm = nn.LayerNorm(settings.width, eps=settings.norm_eps)
        self.norm = norm if final_norm else nn.Identity()
        init_weights(self, generator)

    def forward(
        self,
        frames_BTHWC: Tensor,
        visible_index_BV: Tensor | None = None,
        weight_BV: Tensor | None = None,
    ) -> Tensor:
        """Frames to tokens (B, V, D); without an index, of all N tokens.

        Args:
            frames_BTHWC: uint8, or float in [0, 1]; RGB.
            visible_index_BV: int64, numbers of the visible tokens, see ``TokenGrid``.
            weight_BV: float32, of each token, summing to 1 in each sample: gives the tokens' mean,
                (B, D); without a final norm for less work than all of them.

        Raises:
            SettingsError: frames of another size than the settings'.
        """
        tokens_BVD = self.embed(frames_BTHWC, visible_index_BV) + self.positions(visible_index_BV)
        if weight_BV is not None and isinstance(self.norm, nn.Identity):
            return self.blocks(tokens_BVD, weight_BV=weight_BV)
        tokens_BVD = self.norm(self.blocks(tokens_BVD))
        return tokens_BVD if weight_BV is None else pooled(tokens_BVD, weight_BV)


@torch.no_grad()
def init_weights(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Weights for the start: matrices xavier-uniform, biases zero, gains of LayerNorms one.

    Args:
        module: on the CPU, or on the generator's device.
        generator: none: one with seed 0. torch's global one is never used.
    """
    generator = generator or torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter, generator=generator)
        else:
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
