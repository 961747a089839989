"""Features on disk: computed once, found again only where everything is the same.

    cache/<key>/about.json            everything that the features depend on; the key is its digest
    cache/<key>/part_00003.safetensors    rows 3 * size to 4 * size

A part is whole or absent. Runs that are broken off leave the parts they finished; several processes
may write at the same time, since equal parts are equal files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mofo.datasets.catalog import Video
from mofo.evaluation.measures import EvaluationError
from mofo.motion.store import AreaStore
from mofo.system.files import replaced
from mofo.types import SettingsError
from mofo.video.location import file_state

_ABOUT = "about.json"
_PART_BYTES = 64 << 20
_MOST_ROWS = 256
_MOST_OPEN = 128  # files


class Part(NamedTuple):
    """Features of some videos.

    Attributes:
        feature: (R, ...), a row a video.
        inside_RN: bool, tokens inside the motion area; no columns where features are pooled.
        failures: by row of the part, why its video cannot be read; its feature is 0.
    """

    feature: np.ndarray
    inside_RN: np.ndarray
    failures: dict[int, str]


class FeatureCache:
    """The parts of one list of videos and one way of looking at them.

    ``folder``: of the cache; may hold the features of other runs, too.
    ``about``: everything that the features depend on, as JSON.
    """

    def __init__(
        self, folder: str | Path, about: Mapping[str, Any], *, rows: int, row_bytes: int
    ) -> None:
        self.size = max(1, min(_MOST_ROWS, _PART_BYTES // row_bytes))
        text = json.dumps({**about, "rows a part": self.size}, indent=1, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:24]
        self.folder, self.rows = Path(folder) / self.key, rows
        self.parts = -(-rows // self.size)
        self._open: dict[int, Any] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / _ABOUT).exists():
                with replaced(self.folder / _ABOUT) as half:
                    half.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"{folder}: cannot be a folder of features: {error.strerror}"
            ) from None

    def span(self, part: int) -> range:
        """The rows of a part."""
        return range(part * self.size, min((part + 1) * self.size, self.rows))

    def missing(self) -> list[int]:
        """The parts that are not there yet, or not whole."""
        return [part for part in range(self.parts) if not self._is_whole(part)]

    def write(self, part: int, content: Part) -> None:
        """Writes a part, whole or not at all."""
        notes = json.dumps({str(row): reason for row, reason in content.failures.items()})
        data = save(
            {"feature": content.feature, "inside": content.inside_RN}, metadata={"failures": notes}
        )
        with replaced(self._file(part)) as half:
            half.write_bytes(data)

    def read(self, part: int) -> Part:
        """A part that is there."""
        file = self._handle(part)
        return Part(file.get_tensor("feature"), file.get_tensor("inside"), self.failures(part))

    def failures(self, part: int) -> dict[int, str]:
        """By row of the part, why its video cannot be read."""
        notes = json.loads((self._handle(part).metadata() or {}).get("failures", "{}"))
        return {int(row): str(reason) for row, reason in notes.items()}

    def take(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Features and insides of some rows, in any order; only these are read."""
        found = []
        for row in rows:
            part, place = divmod(int(row), self.size)
            file = self._handle(part)
            span = slice(place, place + 1)
            found.append((file.get_slice("feature")[span], file.get_slice("inside")[span]))
        features, insides = zip(*found, strict=True)
        return np.concatenate(features), np.concatenate(insides)

    def _file(self, part: int) -> Path:
        return self.folder / f"part_{part:05d}.safetensors"

    def _is_whole(self, part: int) -> bool:
        try:
            shape = self._handle(part).get_slice("feature").get_shape()
        except EvaluationError:
            return False
        return bool(shape[0] == len(self.span(part)))

    def _handle(self, part: int) -> Any:
        if part not in self._open:
            try:
                if len(self._open) >= _MOST_OPEN:
                    del self._open[next(iter(self._open))]  # the one opened first
                self._open[part] = safe_open(self._file(part), "np")
            except (OSError, SafetensorError) as error:
                raise EvaluationError(
                    f"{self._file(part)}: cannot be read ({error}): run the same command again"
                ) from None
        return self._open[part]


def videos_digest(videos: Sequence[Video]) -> str:
    """What pixels a list of videos stands for: files with size and time of change, stretches.

    Labels, splits and groups are no part of it: features do not depend on them.
    """
    found = hashlib.sha256()
    for video in videos:
        row = [video.path, video.start, video.end, *file_state(video.path)]
        found.update(json.dumps(row).encode() + b"\n")
    return found.hexdigest()


def store_digest(folder: str | Path) -> str:
    """The content of a store of motion areas."""
    with AreaStore.open(folder) as store:
        return store.fingerprint()
