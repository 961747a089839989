"""Attentive probe: one cross-attention block and a linear layer, learned on frozen tokens.

A linear probe sees the mean over the tokens only. Here a learned query (``attentive``) chooses what
to look at; with another fusion the motion area decides, as it does in the classifier: the same
modules, on the tokens of an encoder that does not learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mofo.evaluation.features import Features
from mofo.evaluation.measures import EvaluationError
from mofo.evaluation.probes import PROBES, Probe, ProbeResult, check_classes, held_out
from mofo.models.fusion import FUSIONS, fusion_heads, make_fusion
from mofo.models.heads import Heads
from mofo.models.layers import init_weights
from mofo.system.progress import Bar
from mofo.training.optim import layer_groups
from mofo.types import SettingsError

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
_WARMUP = 0.1  # share of the steps
_NORM_EPS = 1e-6
_CLIP = 1.0  # largest norm of the gradient
_SCALED = 512  # videos from which mean and spread are taken, at most
_ORDER = 0xA77  # keeps the order's generator apart from others of the same seed

Take = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class LabelledTokens:
    """Tokens of videos with their labels; the tokens stay where they are until asked for.

    Attributes:
        take: places of R videos to tokens (R, N, D), any real numbers, and bool (R, N), the tokens
            inside the motion area.
        label_V: int64 classes, from 0.
        group_V: what must not be torn apart when something is held out; None: each by itself.
    """

    take: Take
    label_V: np.ndarray
    group_V: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.label_V)

    def part(self, place_R: np.ndarray) -> LabelledTokens:
        """Some of the videos."""
        group_R = None if self.group_V is None else self.group_V[place_R]
        return LabelledTokens(
            lambda places: self.take(place_R[places]), self.label_V[place_R], group_R
        )


@dataclass(frozen=True, kw_only=True)
class AttentiveSettings:
    """How an attentive probe learns: AdamW, cosine to 0 after a linear warm-up.

    Attributes:
        fusion: "attentive", "cross_attention", "mean" or "weighted_mean", see ``models.fusion``.
        heads: of its attention; None: 3, or 4 where the width is no multiple of 3.
        epochs: passes over the training part.
        batch: videos a step.
        rates: peak learning rates of which one is chosen on held-out videos.
        weight_decay: on matrices.

    Raises:
        SettingsError: an unknown fusion, or a number that is impossible.
    """

    fusion: str = "attentive"
    heads: int | None = None
    epochs: int = 20
    batch: int = 32
    rates: tuple[float, ...] = RATES
    weight_decay: float = 0.05

    def __post_init__(self) -> None:
        FUSIONS.check(self.fusion)
        if self.epochs < 1 or self.batch < 1 or not self.rates or min(self.rates) <= 0:
            raise SettingsError(
                f"attentive probe: {self.epochs} epochs, batch {self.batch}, rates {self.rates}: "
                "all must be above 0"
            )


@PROBES.register("attentive")
class AttentiveProbe(Probe):
    """One block with attention, or another fusion, and a linear layer on tokens.

    Channels are standardised by the training part. All learning rates learn side by side on four
    fifths of its groups, so that tokens are read once; the best by balanced accuracy on the rest
    (of equally good ones that of the lowest loss) then learns on all of it.
    """

    about = "a learned query, or another fusion, on tokens"
    pool = "tokens"

    def __init__(self, *, attentive: AttentiveSettings | None = None, **others: Any) -> None:
        super().__init__(**others)
        self.settings = attentive or AttentiveSettings()

    def feature_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """With motion areas where the fusion uses them, and without where it does not."""
        options = super().feature_options(options)
        fusion = self.settings.fusion
        if not FUSIONS[fusion].uses_motion:
            return options | {"areas": "none"}
        if options.get("areas") == "none":
            raise SettingsError(f"fusion {fusion} needs motion areas: codec, dis or a store")
        return options | {"areas": options.get("areas") or "codec"}

    def run(
        self, train: Features, test: Features, label_V: np.ndarray, label_W: np.ndarray,
        group_V: np.ndarray,
    ) -> ProbeResult:  # fmt: skip
        """See ``Probe``; tokens are read as they are needed."""
        return self.fit_tokens(
            LabelledTokens(train.take, label_V, group_V), LabelledTokens(test.take, label_W)
        )

    def fit_tokens(self, train: LabelledTokens, test: LabelledTokens) -> ProbeResult:
        """Learns on the training part and scores the test part."""
        settings = self.settings
        if not len(train) or not len(test):
            raise EvaluationError("a probe got no features")
        check_classes(train.label_V)
        classes = 1 + int(max(train.label_V.max(), test.label_V.max()))
        first_1ND, _ = train.take(np.zeros(1, np.int64))
        width = first_1ND.shape[2]
        fusion_heads(width, settings.heads)  # a wrong number is found before any work
        learner = _Learner(settings, classes, width, self.seed, torch.device(self.device))
        rate = settings.rates[0]
        passes = settings.epochs * (1 if len(settings.rates) == 1 else 2)
        with Bar(total=passes, unit="epoch", desc="probe", show=self.progress) as bar:
            if len(settings.rates) > 1:
                rng = np.random.default_rng(self.seed)
                fit_V, held_V = held_out(train.label_V, train.group_V, rng)
                fit, held = train.part(fit_V), train.part(held_V)
                models = learner.learn(fit, settings.rates, bar)
                results = [learner.evaluate(model, held) for model in models]
                order = [(-result.balanced_accuracy, _loss(result)) for result in results]
                rate = settings.rates[min(range(len(order)), key=lambda place: order[place])]
            model = learner.learn(train, (rate,), bar)[0]
        return replace(learner.evaluate(model, test), chosen=f"learning rate {rate:g}")


class _Classifier(nn.Module):
    """Standardised channels, fusion, LayerNorm and linear layer."""

    mean_D: Tensor
    scale_D: Tensor

    def __init__(
        self, settings: AttentiveSettings, classes: int, scale: tuple[Tensor, Tensor], seed: int
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        width = len(scale[0])
        self.fusion = make_fusion(settings.fusion, width, settings.heads, _NORM_EPS)
        self.head = Heads(width, {"label": classes}, _NORM_EPS)
        for part in (self.fusion, self.head):
            init_weights(part, generator)
        self.fusion.init_extra(generator)
        self.head.shrink()
        self.register_buffer("mean_D", scale[0])
        self.register_buffer("scale_D", scale[1])

    def forward(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """Logits (B, C)."""
        scaled_BND = (tokens_BND - self.mean_D) * self.scale_D
        logits: Tensor = self.head(self.fusion(scaled_BND, inside_BN))["label"]
        return logits


class _Learner:
    """Trains classifiers and runs them."""

    def __init__(
        self,
        settings: AttentiveSettings,
        classes: int,
        width: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._settings, self._classes, self._width = settings, classes, width
        self._seed, self._device = seed, device

    def learn(self, train: LabelledTokens, rates: Sequence[float], bar: Bar) -> list[_Classifier]:
        """One probe for each rate, all from the same weights and in the same order."""
        settings, scale, decay = self._settings, self._scale(train), self._settings.weight_decay
        probes = [
            _Classifier(settings, self._classes, scale, self._seed).to(self._device) for _ in rates
        ]
        optimisers = [
            torch.optim.AdamW(
                layer_groups(probe, layers=(), decay=1.0, weight_decay=decay), lr=rate
            )
            for probe, rate in zip(probes, rates, strict=True)
        ]
        steps = settings.epochs * -(-len(train) // settings.batch)
        schedules = [
            torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, steps))
            for optimiser in optimisers
        ]
        label_V = torch.from_numpy(train.label_V.astype(np.int64))
        for epoch in range(settings.epochs):
            rng = np.random.default_rng([self._seed, _ORDER, epoch])
            for places in _batches(rng.permutation(len(train)), settings.batch):
                given = self._tokens(train, places)
                label_B = label_V[torch.from_numpy(places)].to(self._device)
                for probe, optimiser, schedule in zip(probes, optimisers, schedules, strict=True):
                    loss = nn.functional.cross_entropy(probe(*given), label_B)
                    optimiser.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(probe.parameters(), _CLIP)
                    optimiser.step()
                    schedule.step()
            bar.update()
        return [probe.eval() for probe in probes]

    @torch.no_grad()
    def evaluate(self, probe: _Classifier, test: LabelledTokens) -> ProbeResult:
        """Scores of videos."""
        scores = []
        for places in _batches(np.arange(len(test)), self._settings.batch):
            logits_BC = probe(*self._tokens(test, places))
            scores.append(logits_BC.double().softmax(1).cpu().numpy())
        return ProbeResult(np.concatenate(scores), test.label_V)

    def _scale(self, train: LabelledTokens) -> tuple[Tensor, Tensor]:
        """Mean, and one over the spread, of each channel over all tokens; 0 for what is still."""
        from sklearn.preprocessing import StandardScaler

        chosen = np.arange(len(train))
        if len(train) > _SCALED:
            rng = np.random.default_rng([self._seed, _ORDER])
            chosen = np.sort(rng.permutation(len(train))[:_SCALED])
        scaler = StandardScaler()
        for places in _batches(chosen, self._settings.batch):
            tokens_BND = self._tokens(train, places)[0].double().cpu()
            scaler.partial_fit(tokens_BND.flatten(0, 1).numpy())
        mean_D, spread_D = scaler.mean_, np.sqrt(scaler.var_)
        # Rounding is left where nothing changes.
        still_D = spread_D <= 1e-6 * np.maximum(np.abs(mean_D), 1e-12)
        scale_D = np.where(still_D, 0, 1 / np.where(still_D, 1, spread_D))
        return torch.from_numpy(mean_D).float(), torch.from_numpy(scale_D).float()

    def _tokens(self, part: LabelledTokens, places: np.ndarray) -> tuple[Tensor, Tensor]:
        """What a probe is asked with."""
        tokens_BND, inside_BN = part.take(places)
        if not np.isfinite(tokens_BND).all():
            raise EvaluationError("the features of a video are not finite numbers")
        inside = torch.from_numpy(inside_BN)
        tokens = torch.from_numpy(tokens_BND.astype(np.float32))
        return tokens.to(self._device), inside.to(self._device)


def _batches(place_V: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(place_V), size):
        yield place_V[start : start + size]


def _share(step: int, steps: int) -> float:
    """Of the peak rate, in a step counted from 0."""
    warm = max(1, round(_WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def _loss(result: ProbeResult) -> float:
    """Mean cross-entropy."""
    own_V = result.score_VC[np.arange(len(result.label_V)), result.label_V]
    return float(-np.log(np.maximum(own_V, 1e-12)).mean())
