"""The vision transformer: encoder over the visible tokens of a clip, and the blocks it is made of.

Dosovitskiy et al., arXiv 2010.11929; the variant of VideoMAE (Tong et al., arXiv 2203.12602):
blocks with LayerNorm first, no class token, no bias of the keys, fixed positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mofo.models.encoder import ENCODERS, Encoder
from mofo.models.layers import Attention, Mlp, empty_linear, init_weights, is_transformed
from mofo.models.model_settings import CHANNELS, ModelSettings
from mofo.models.patches import check_frames, full_scale, take_patches
from mofo.models.positions import PositionTable
from mofo.types import TokenGrid

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, pixels in [0, 1]
STD = (0.229, 0.224, 0.225)


class Block(nn.Module):
    """``x = x + attention(norm(x)); x = x + mlp(norm(x))``; each branch holds its norm.

    Args:
        drop_path: chance that a branch is left out for a sample in training; the others are scaled
            up, so that the mean stays. Drawn from torch's generator of the device, like dropout.
    """

    def __init__(
        self, width: int, heads: int, *, norm_eps: float = 1e-6, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.attention = Attention(width, heads, norm_eps)
        self.mlp = Mlp(width, norm_eps)

    def forward(self, x_BVD: Tensor, num_context: int = 0) -> Tensor:
        """Tokens (B, V, D) to tokens (B, V - num_context, D), without the first ones."""
        x_BVD = x_BVD[:, num_context:] + self._drop(self.attention(x_BVD, num_context))
        return x_BVD + self._drop(self.mlp(x_BVD))

    def _drop(self, branch_BVD: Tensor) -> Tensor:
        if not (self.training and self.drop_path):
            return branch_BVD
        keep = 1 - self.drop_path
        keep_B = branch_BVD.new_empty(branch_BVD.shape[0]).bernoulli_(keep)
        return branch_BVD * (keep_B / keep)[:, None, None]


class Blocks(nn.ModuleList):
    """Blocks one after the other.

    ``drop_path``: of the last block; it grows linearly from 0 at the first.
    ``activation_checkpointing``: keep only the input of each block for the backward pass.
    """

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

    def forward(self, x_BVD: Tensor, num_context: int = 0) -> Tensor:
        """Tokens (B, V, D) to tokens (B, V - num_context, D).

        Args:
            num_context: the first tokens, which are not needed behind the blocks: the last block
                attends to them but computes nothing for them.
        """
        for number, block in enumerate(self, start=1):
            x_BVD = self.run(block, x_BVD, num_context if number == len(self) else 0)
        return x_BVD

    def run(self, block: nn.Module, x_BVD: Tensor, num_context: int = 0) -> Tensor:
        """The output of one of the blocks."""
        if self.activation_checkpointing and torch.is_grad_enabled() and not is_transformed():
            result: Tensor = checkpoint(block, x_BVD, num_context, use_reentrant=False)
            return result
        return block(x_BVD, num_context)


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
        self.proj = empty_linear(grid.tubelet * grid.patch**2 * CHANNELS, width)
        mean_C, std_C = torch.tensor(MEAN), torch.tensor(STD)
        self.register_buffer("scale_C", 1 / std_C, persistent=False)
        self.register_buffer("shift_C", -mean_C / std_C, persistent=False)

    def forward(self, frames_BTHWC: Tensor, index_BV: Tensor | None = None) -> Tensor:
        """Frames, uint8 or float in [0, 1], to (B, V, D)."""
        check_frames(frames_BTHWC, self._grid)
        patches_BVp = take_patches(frames_BTHWC, self._grid, index_BV)
        pixels = patches_BVp.to(self.scale_C.dtype).unflatten(2, (-1, CHANNELS))
        scale_C = self.scale_C / full_scale(frames_BTHWC)
        return self.proj((pixels * scale_C + self.shift_C).flatten(2))


@ENCODERS.register("vit")
class VisionTransformer(Encoder):
    """Vision transformer over all tokens of a clip, or over the visible ones only."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        final_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(settings)
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

    def forward(self, frames_BTHWC: Tensor, keep_BV: Tensor | None = None) -> Tensor:
        """See ``Encoder``."""
        tokens_BVD = self.embed(frames_BTHWC, keep_BV) + self.positions(keep_BV)
        return self.norm(self.blocks(tokens_BVD))

    def layers(
        self, frames_BTHWC: Tensor, numbers: Sequence[int], keep_BV: Tensor | None = None
    ) -> list[Tensor]:
        """See ``Encoder``; layer n is the output of block n."""
        tokens_BND = self.embed(frames_BTHWC, keep_BV) + self.positions(keep_BV)
        outputs = {0: tokens_BND}
        for number, block in enumerate(list(self.blocks)[: max(numbers)], start=1):
            tokens_BND = self.blocks.run(block, tokens_BND)
            if number in numbers:
                outputs[number] = tokens_BND
        if len(self.blocks) in outputs:
            outputs[len(self.blocks)] = self.norm(outputs[len(self.blocks)])
        return [outputs[number] for number in numbers]

    def layer_groups(self) -> list[nn.Module]:
        """See ``Encoder``."""
        return [self.embed, *self.blocks]
