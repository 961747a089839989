"""Features of videos from a frozen encoder, pooled or token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from mofo.clips.batch import ClipBatch
from mofo.clips.loader import batches
from mofo.clips.sources import MotionChoice
from mofo.clips.token_area import token_area
from mofo.clips.view_clips import ViewBatch, ViewDataset, ViewSettings, collate_views
from mofo.datasets.catalog import Video
from mofo.evaluation.area_coordinates import area_coordinates
from mofo.evaluation.feature_cache import FeatureCache, Part, store_digest, videos_digest
from mofo.evaluation.feature_settings import BOXES, FeatureSettings, Work
from mofo.evaluation.frozen import FrozenEncoder
from mofo.evaluation.measures import EvaluationError
from mofo.models.saved_settings import plain_model
from mofo.system.environment import versions
from mofo.system.processes import usable_cpus
from mofo.types import SettingsError, TokenGrid

_FORMAT = 1  # goes up when the same settings give other features
_PACKAGES = ("mofo", "torch", "numpy", "av", "opencv-python-headless")


@dataclass(frozen=True, eq=False)
class Features:
    """Features of those videos that can be read; they stay on the disk until they are asked for.

    Attributes:
        videos: V of them, in the order of the catalog.
        row_V: their rows in the cache.
        failures: ``(path, reason)`` of the others.
        cache: where the features are.
        about: everything that they depend on.
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
        videos: rows of a catalog.
        settings: what to compute.
        cache: folder; nothing in it is ever taken for something else.
        work: how.
        grid: frames and size of a clip; None: the encoder's.
        title: first word of the progress bar.

    Raises:
        SettingsError: settings that are impossible, or no videos.
        StoreError: the store lacks videos.
    """
    if (encoder is None) != (settings.pool == BOXES):
        raise SettingsError(f"pool {settings.pool} with{'out' if encoder is None else ''} encoder")
    work = work or Work()
    settings = settings.resolved(encoder)
    grid = grid or (encoder.settings.grid if encoder is not None else TokenGrid(16, 224, 224))
    accelerator = work.engine()
    dataset = _dataset(videos, settings, grid)
    about = _about(encoder, videos, settings, dataset, accelerator)
    job = _Job(encoder, settings, grid, dataset, accelerator)
    kept = FeatureCache(cache, about, rows=len(videos), row_bytes=job.row_bytes)
    job.fill(kept, work, title)
    failed = {
        part * kept.size + row: reason
        for part in range(kept.parts)
        for row, reason in kept.failures(part).items()
    }
    row_V = np.array([row for row in range(len(videos)) if row not in failed], np.int64)
    reasons = {videos[row].path: reason for row, reason in failed.items()}
    return Features(
        tuple(videos[row] for row in row_V), row_V, tuple(reasons.items()), kept, about, job.shape
    )


def pooled(tokens_BND: Tensor, inside_BN: Tensor, pool: str) -> Tensor:
    """Tokens to features, float32 (B, D), or (B, 2 D) of "both"; "tokens" stay as they are.

    A sample with nothing inside (outside) has the mean of all tokens there.
    """
    if pool == "tokens":
        return tokens_BND
    if pool == "mean":
        return tokens_BND.float().mean(1)
    some = [inside_BN] if pool == "inside" else [inside_BN, ~inside_BN]
    return torch.cat([_mean_of(tokens_BND.float(), some_BN) for some_BN in some], dim=1)


class _Job:
    """Computes the missing parts of a cache."""

    def __init__(
        self,
        encoder: FrozenEncoder | None,
        settings: FeatureSettings,
        grid: TokenGrid,
        dataset: ViewDataset,
        accelerator: Accelerator,
    ) -> None:
        self._encoder = encoder.to(accelerator.device) if encoder is not None else None
        self._settings, self._grid, self._dataset = settings, grid, dataset
        self._accelerator = accelerator
        whole = settings.pool == "tokens"
        self._inside = grid.tokens if whole else 0
        # Normalised tokens are a few units large: half precision keeps three digits of each.
        self._dtype = np.dtype(np.float16 if whole else np.float32)
        width = encoder.settings.width if encoder is not None else 9 * grid.frames + 5
        self.shape: tuple[int, ...] = (width * (2 if settings.pool == "both" else 1),)
        if whole:
            self.shape = (grid.tokens, width)
        self.row_bytes = int(np.prod(self.shape)) * self._dtype.itemsize + self._inside

    def fill(self, cache: FeatureCache, work: Work, title: str) -> None:
        missing = cache.missing()
        here = self._accelerator
        here.wait_for_everyone()  # all look before any begins to write
        own = missing[here.process_index :: here.num_processes]
        several = self._settings.clips
        order = [
            (part, keys[first : first + work.batch])
            for part in own
            for keys in [[(row, k) for row in cache.span(part) for k in range(several)]]
            for first in range(0, len(keys), work.batch)
        ]
        if order:
            self._go(cache, work, order, title)
        here.wait_for_everyone()

    def _go(
        self,
        cache: FeatureCache,
        work: Work,
        order: list[tuple[int, list[tuple[int, int]]]],
        title: str,
    ) -> None:
        here, keys = self._accelerator, [keys for _, keys in order]
        workers = min(work.workers, usable_cpus(), len(order))
        pin = here.device.type == "cuda"
        read = batches(self._dataset, keys, collate_views, workers=workers, pin=pin)
        total = sum(len(some) for some in keys)
        silent = not (work.progress and here.is_main_process)
        try:
            with tqdm(
                total=total, unit="clip", desc=title, disable=silent, dynamic_ncols=True
            ) as bar:
                part, building = -1, _Building(self, range(0))
                for (at, asked), batch in zip(order, read, strict=True):
                    if at != part:
                        if part >= 0:
                            cache.write(part, building.content())
                        part, building = at, _Building(self, cache.span(at))
                    building.fail(batch)
                    if batch.clips is not None:
                        building.add(batch.clips, *self._features(batch.clips))
                    bar.update(len(asked))
                cache.write(part, building.content())
        finally:
            read.close()  # ends the workers

    @torch.no_grad()
    def _features(self, batch: ClipBatch) -> tuple[np.ndarray, np.ndarray]:
        if self._encoder is None:
            size = (self._grid.width, self._grid.height)
            boxes = zip(batch.box_BT4.numpy(), batch.valid_BT.numpy(), strict=True)
            rows = [area_coordinates(box_T4, valid_T, *size) for box_T4, valid_T in boxes]
            return np.stack(rows), np.zeros((len(batch), 0), bool)
        batch = batch.to(self._accelerator.device)
        with self._accelerator.autocast():
            tokens_BND = self._encoder(batch.frames_BTHWC, self._settings.layer)
        inside_BN = token_area(
            batch.box_BT4, batch.valid_BT, self._grid, per=self._encoder.per
        ).flatten(1)
        feature = pooled(tokens_BND.float(), inside_BN, self._settings.pool)
        return feature.cpu().numpy(), inside_BN[:, : self._inside].cpu().numpy()

    def blank(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Room for features and insides of some rows."""
        dtype = np.dtype(np.float64) if self._settings.clips > 1 else self._dtype
        return np.zeros((rows, *self.shape), dtype), np.zeros((rows, self._inside), bool)

    def finished(self, feature: np.ndarray) -> np.ndarray:
        """Sums over clips to what is kept."""
        return (feature / self._settings.clips if self._settings.clips > 1 else feature).astype(
            self._dtype
        )


class _Building:
    """A part in the making."""

    def __init__(self, job: _Job, span: range) -> None:
        self._job, self._span = job, span
        self._feature, self._inside_RN = job.blank(len(span))
        self._failures: dict[int, str] = {}

    def fail(self, batch: ViewBatch) -> None:
        for row, reason in batch.failures:
            self._failures.setdefault(row - self._span.start, reason)

    def add(self, clips: ClipBatch, feature: np.ndarray, inside_BN: np.ndarray) -> None:
        for b, row in enumerate(clips.index_B.tolist()):
            place = row - self._span.start
            self._feature[place] += feature[b].astype(self._feature.dtype)
            self._inside_RN[place] = inside_BN[b]

    def content(self) -> Part:
        feature = self._job.finished(self._feature)
        for place in self._failures:  # some of its clips may have been fine
            feature[place], self._inside_RN[place] = 0, False
        return Part(feature, self._inside_RN, self._failures)


def _dataset(videos: Sequence[Video], settings: FeatureSettings, grid: TokenGrid) -> ViewDataset:
    views = ViewSettings(
        grid=grid,
        sampling=str(settings.sampling),
        stride=int(settings.stride or 1),
        temporal=settings.clips,
        spatial=1,
        motion=str(settings.areas),
    )
    return ViewDataset(videos, views)


def _about(
    encoder: FrozenEncoder | None,
    videos: Sequence[Video],
    settings: FeatureSettings,
    dataset: ViewDataset,
    accelerator: Accelerator,
) -> dict[str, Any]:
    grid, motion = dataset.settings.grid, MotionChoice.parse(dataset.settings.motion)
    found = versions()
    return {
        "format": _FORMAT,
        "weights": encoder.digest if encoder is not None else None,
        "model": plain_model(encoder.settings) if encoder is not None else None,
        "layer": settings.layer,
        "pool": settings.pool,
        "clips": settings.clips,
        "frames": [grid.frames, grid.height, grid.width, grid.tubelet, grid.patch],
        "sampling": settings.sampling,
        "stride": settings.stride if settings.sampling == "dense" else None,
        "areas": motion.source,
        "store": store_digest(motion.store) if motion.store is not None else None,
        "per": encoder.per if encoder is not None and motion.source != "none" else None,
        "videos": videos_digest(videos),
        "precision": accelerator.mixed_precision,
        "versions": {name: found[name] for name in _PACKAGES},
    }


def _mean_of(tokens_BND: Tensor, some_BN: Tensor) -> Tensor:
    """Mean over some of the tokens, (B, D); over all where there are none."""
    some_BN = some_BN | ~some_BN.any(1, keepdim=True)
    share_BN = some_BN / some_BN.sum(1, keepdim=True)
    return torch.einsum("bn,bnd->bd", share_BN, tokens_BND)


def readable(features: Features) -> Features:
    """The same features.

    Raises:
        EvaluationError: not one of the videos could be read.
    """
    if not len(features):
        path, reason = features.failures[0]
        raise EvaluationError(
            f"{path}: {reason}; none of {len(features.failures)} videos can be read"
        )
    return features
