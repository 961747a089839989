"""Small models and inputs for the tests of the model."""

import torch
from torch import Tensor

from mofo.masking import Mask
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.types import TokenGrid

GRID = TokenGrid(4, 64, 48)  # 2 x 4 x 3 tokens
HIDDEN = 18


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(**options) -> ModelSettings:
    return ModelSettings.named("nano", **({"grid": GRID} | options))


def model(seed: int = 0, **options) -> MaskedAutoencoder:
    built = MaskedAutoencoder(settings(**options))
    randomise(built, seed)
    return built


def randomise(module: torch.nn.Module, seed: int = 0) -> None:
    """Random values in every parameter: zero biases would hide mistakes."""
    draw = generator(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(generator=draw)
            parameter.mul_(0.1 if parameter.ndim < 2 else parameter.shape[1] ** -0.5)
            if name.endswith("norm.weight"):
                parameter.add_(1)


def clip(batch: int = 2, grid: TokenGrid = GRID, seed: int = 1) -> Tensor:
    size = (batch, grid.frames, grid.height, grid.width, 3)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator(seed))


def tokens(batch: int = 2, count: int = HIDDEN, grid: TokenGrid = GRID, seed: int = 2) -> Tensor:
    """Random tokens, bool (B, N); ``count`` in each sample."""
    rank_BN = torch.rand(batch, grid.tokens, generator=generator(seed)).argsort(1).argsort(1)
    return rank_BN < count


def mask(batch: int = 2, hidden: int = HIDDEN, grid: TokenGrid = GRID, seed: int = 2) -> Mask:
    """Hides random tokens, ``hidden`` in each sample."""
    return Mask.of(tokens(batch, hidden, grid, seed))


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    assert all(grad is not None for grad in found.values())
    return found
