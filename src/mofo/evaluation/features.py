"""Features of videos from a frozen encoder, pooled or token by token; they are kept on disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import MotionSettings, inside_tokens
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.video import Video
from mofo.evaluation.feature_cache import FeatureCache, Part, store_digest, videos_digest
from mofo.evaluation.feature_settings import FeatureSettings, Work
from mofo.evaluation.measures import EvaluationError
from mofo.evaluation.pools import POOLS, Pool
from mofo.models.encoder import keeps_slots
from mofo.models.inference import Engine, Step, in_batches, run_model
from mofo.system.environment import versions
from mofo.training.frozen import FrozenEncoder
from mofo.types import SettingsError, TokenGrid

_FORMAT = 1  # goes up when the same settings give other features
_PACKAGES = ("mofo", "torch", "numpy", "av", "opencv-python-headless")


@dataclass(frozen=True, eq=False)
class Features:
    """Features of those videos that can be read; they stay on the disk until they are used.

    Attributes:
        videos: V of them, in the order of the catalog.
        failures: ``(path, reason)`` of the others.
        shape: of one video's feature: (D,), or (N, D) of tokens.
    """

    videos: tuple[Video, ...]
    row_V: np.ndarray
    failures: tuple[tuple[str, str], ...]
    cache: FeatureCache
    about: dict[str, Any]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.videos)

    def take(self, places: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (R, ...) and insides (R, N) of some of the videos, by their place here."""
        return self.cache.take(self.row_V[np.asarray(places, np.int64)].tolist())

    def blocks(self) -> Iterator[tuple[tuple[Video, ...], np.ndarray, np.ndarray]]:
        """All videos in order, some at a time, with features and insides."""
        part_V = self.row_V // self.cache.size
        for part in np.unique(part_V).tolist():
            place_R = np.flatnonzero(part_V == part)
            content = self.cache.read(part)
            row_R = self.row_V[place_R] - part * self.cache.size
            videos = tuple(self.videos[place] for place in place_R)
            yield videos, content.feature[row_R], content.inside_RN[row_R]

    def all(self) -> np.ndarray:
        """All features, (V, ...); there must be one."""
        return np.concatenate([feature for _, feature, _ in self.blocks()])


def extract(
    encoder: FrozenEncoder | None,
    videos: Sequence[Video],
    settings: FeatureSettings,
    *,
    cache: str | Path,
    work: Work | None = None,
    grid: TokenGrid | None = None,
    title: str = "features",
) -> Features:
    """Features of videos, computed where the cache does not have them.

    Under several processes (accelerate, torchrun) each does a share, and all come back with
    everything; the cache must lie where all of them see it.

    Args:
        encoder: the model; None with pool "boxes".
        cache: folder; nothing in it is ever taken for something else.
        grid: frames and size of a clip; None: the encoder's.
    """
    if (encoder is not None) != POOLS[settings.pool].needs_encoder:
        raise SettingsError(f"pool {settings.pool} with{'out' if encoder is None else ''} encoder")
    work, settings = work or Work(), settings.resolved(encoder)
    grid = grid or (encoder.settings.grid if encoder is not None else TokenGrid(16, 224, 224))
    engine = Engine.shared(work.precision)
    views = ViewSettings(
        grid=grid,
        sampling=str(settings.sampling),
        stride=int(settings.stride or 1),
        seconds=settings.seconds or 0.0,
        fit=settings.fit or "crop",
        temporal=settings.clips,
        spatial=0 if settings.motion_crop else 1,
        motion_crop=settings.motion_crop,
        motion=settings.motion,
    )
    dataset = ViewDataset(videos, views)
    about = _about(encoder, videos, settings, grid, engine)
    extractor = _Extractor(encoder, settings, grid, engine)
    kept = FeatureCache(cache, about, rows=len(videos), row_bytes=extractor.row_bytes)
    missing = kept.missing()
    engine.wait()  # all look before any begins to write
    order = [
        (part, keys)
        for part in engine.share(missing)
        for keys in in_batches(kept.span(part), settings.clips, work.batch)
    ]
    steps = run_model(
        extractor,
        dataset,
        [keys for _, keys in order],
        engine,
        workers=work.workers,
        title=title,
        progress=work.progress and bool(order),
    )
    pairs = zip((part for part, _ in order), steps, strict=True)
    for part, group in itertools.groupby(pairs, key=itemgetter(0)):
        kept.write(part, extractor.part(kept.span(part), (step for _, step in group)))
    engine.wait()
    return _read_back(kept, videos, about, extractor.pool.shape)


class _Extractor:
    """Clips to features and to the tokens inside the motion area."""

    def __init__(
        self,
        encoder: FrozenEncoder | None,
        settings: FeatureSettings,
        grid: TokenGrid,
        engine: Engine,
    ) -> None:
        self._encoder = encoder.to(engine.device) if encoder is not None else None
        self._layer, self._clips, self._grid = settings.layer, settings.clips, grid
        self._tokens, self._per_slot, width = settings.tokens(encoder), False, 0
        if encoder is not None:
            width, self._per_slot = encoder.settings.width, keeps_slots(encoder.settings)
        count = grid.tokens
        if self._tokens.leaves_out:
            count = self._tokens.count(grid, self._tokens.keep, self._per_slot)
        self.pool: Pool = POOLS[settings.pool](grid, width, count)
        self._kept_tokens = count if self.pool.per_token else 0
        # Normalised tokens are a few units large: half precision keeps three digits of each.
        self._dtype = np.dtype(np.float16 if self.pool.per_token else np.float32)
        self.row_bytes = int(np.prod(self.pool.shape)) * self._dtype.itemsize + self._kept_tokens

    def __call__(self, clips: ClipBatch) -> tuple[np.ndarray, np.ndarray]:
        """Features, and bool (B, N) where tokens stay apart, else (B, 0)."""
        motion = self._encoder.motion if self._encoder is not None else MotionSettings()
        span = self._encoder.area_span if self._encoder is not None else "clip"
        inside_BN = inside_tokens(motion.tokens(clips, self._grid, span), span=span).flatten(1)
        tokens_BND: Tensor = torch.zeros(len(clips), self._grid.tokens, 0)
        if self._encoder is not None:
            keep_BV = self._tokens.of_clips(clips, self._grid, per_slot=self._per_slot)
            tokens_BND = self._encoder(clips.frames_BTHWC, self._layer, keep_BV).float()
            inside_BN = inside_BN if keep_BV is None else inside_BN.gather(1, keep_BV)
        feature = self.pool(tokens_BND, inside_BN, clips)
        return feature.cpu().numpy(), inside_BN[:, : self._kept_tokens].cpu().numpy()

    def part(self, span: range, steps: Iterable[Step[tuple[np.ndarray, np.ndarray]]]) -> Part:
        """What the cache keeps of the rows ``span``; several clips of a video are averaged."""
        dtype = np.dtype(np.float64) if self._clips > 1 else self._dtype
        feature = np.zeros((len(span), *self.pool.shape), dtype)
        inside_RN = np.zeros((len(span), self._kept_tokens), bool)
        failures: dict[int, str] = {}
        for step in steps:
            for row, reason in step.views.failures:
                failures.setdefault(row - span.start, reason)
            if step.views.clips is None or step.output is None:
                continue
            rows = step.views.clips.index_B.tolist()
            for row, feature_b, inside_N in zip(rows, *step.output, strict=True):
                feature[row - span.start] += feature_b.astype(dtype)
                inside_RN[row - span.start] = inside_N
        for place in failures:  # some of its clips may have been fine
            feature[place], inside_RN[place] = 0, False
        if self._clips > 1:
            feature /= self._clips
        return Part(feature.astype(self._dtype), inside_RN, failures)


def _read_back(
    cache: FeatureCache, videos: Sequence[Video], about: dict[str, Any], shape: tuple[int, ...]
) -> Features:
    failed = {
        part * cache.size + row: reason
        for part in range(cache.parts)
        for row, reason in cache.failures(part).items()
    }
    row_V = np.array([row for row in range(len(videos)) if row not in failed], np.int64)
    reasons = {videos[row].path: reason for row, reason in failed.items()}
    if not len(row_V):
        path, reason = next(iter(reasons.items()))
        raise EvaluationError(f"{path}: {reason}; none of {len(reasons)} videos can be read")
    readable = tuple(videos[row] for row in row_V)
    return Features(readable, row_V, tuple(reasons.items()), cache, about, shape)


def _about(
    encoder: FrozenEncoder | None,
    videos: Sequence[Video],
    settings: FeatureSettings,
    grid: TokenGrid,
    engine: Engine,
) -> dict[str, Any]:
    motion, used = settings.motion, versions()
    uses_motion = encoder is not None and motion.source != "none"
    return {
        "format": _FORMAT,
        "weights": encoder.digest if encoder is not None else None,
        "model": encoder.settings.to_dict() if encoder is not None else None,
        "layer": settings.layer,
        "pool": settings.pool,
        "tokens": asdict(settings.tokens(encoder)) if encoder is not None else None,
        "motion_crop": settings.motion_crop,
        "clips": settings.clips,
        "frames": [grid.frames, grid.height, grid.width, grid.tubelet, grid.patch],
        "sampling": settings.sampling,
        "stride": settings.stride if settings.sampling == "dense" else None,
        "seconds": settings.seconds,
        "fit": settings.fit,
        "areas": motion.source,
        "store": store_digest(motion.store) if motion.store is not None else None,
        "area_span": encoder.area_span if encoder is not None and uses_motion else None,
        "motion": asdict(encoder.motion) if encoder is not None and uses_motion else None,
        "videos": videos_digest(videos),
        "precision": engine.precision,
        "versions": {name: used[name] for name in _PACKAGES},
    }
