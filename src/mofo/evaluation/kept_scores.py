"""Scores of videos while a test is under way: a run that was stopped goes on where it was.

    kept/<key>/00000012.safetensors    scores of some videos, the first of them row 12

The key is a digest of all that scores depend on. A file is whole or absent; when the test is over,
the folder goes.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mofo.clips.sources import MotionChoice
from mofo.clips.view_clips import ViewDataset
from mofo.evaluation.feature_cache import store_digest, videos_digest
from mofo.evaluation.scoring import VideoScores
from mofo.models.inference import Engine
from mofo.system.files import replaced
from mofo.system.processes import stopped
from mofo.training.same_run import digest
from mofo.training.saved_models import SavedClassifier
from mofo.types import SettingsError

_ROWS = "rows"


class KeptScores:
    """What earlier runs of the same test have found. ``folder``: None: nothing is kept."""

    def __init__(
        self, folder: Path | None, saved: SavedClassifier, dataset: ViewDataset, precision: str
    ) -> None:
        self._top = folder
        nothing = {head: np.zeros((0, classes)) for head, classes in saved.settings.classes.items()}
        self.scores = VideoScores([], nothing, {})
        if folder is None:
            return
        store = MotionChoice.parse(dataset.settings.motion).store
        about: Mapping[str, Any] = {
            "weights": saved.checkpoint.metadata.digests,
            "tokens": str(saved.settings.tokens),
            "views": str(asdict(dataset.settings)),
            "videos": videos_digest(dataset.videos),
            "store": store_digest(store) if store else None,
            "precision": precision,
        }
        self._folder = folder / digest(about)[:24]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"{folder}: cannot be written to: {error.strerror}") from None
        parts = [self.scores]
        for file in sorted(self._folder.glob("*.safetensors")):
            with contextlib.suppress(OSError, SafetensorError, KeyError):
                score = load_file(file)
                parts.append(VideoScores(score.pop(_ROWS).tolist(), score, {}))
        self.scores = VideoScores.joined(parts)

    def write(self, scores: VideoScores) -> None:
        """Keeps scores of videos that were not done before."""
        if self._top is None or not scores.rows:
            return
        data = save({**scores.score, _ROWS: np.array(scores.rows, np.int64)})
        with replaced(self._folder / f"{scores.rows[0]:08d}.safetensors") as half:
            half.write_bytes(data)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """What is said when a signal ends the block."""
        try:
            yield
        except KeyboardInterrupt as error:
            text = "stopped: nothing is kept; with --out, what is done would be"
            if self._top is not None:
                text = (
                    f"stopped: scores of finished videos are kept in {self._top}; run the same "
                    "command to go on from here"
                )
            raise stopped(error, text) from None

    def forget(self, engine: Engine) -> None:
        """The test is over, in all processes."""
        if self._top is not None:
            engine.wait()
            if engine.is_main:
                shutil.rmtree(self._top, ignore_errors=True)
