"""What a store of motion areas says about its videos, in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mofo.motion.store import AreaStore

_MOST_FRAMES = 2_000_000  # of fields and boxes that are read: seconds


@dataclass(frozen=True)
class MotionSummary:
    """Motion in many videos.

    Attributes:
        videos, frames: how many there are; frames that were looked at.
        still: videos in which nothing moves.
        moving: share of the frames in which anything moves.
        box: share of the frame that its box covers, mean over the frames with motion; None where
            that was not looked at (very large stores).
        field: the same of the motion field; None also where there is none.
    """

    videos: int
    frames: int
    still: int
    moving: float
    box: float | None = None
    field: float | None = None

    @classmethod
    def of(cls, store: AreaStore) -> MotionSummary:
        """The numbers of a store.

        Raises:
            StoreError: the files are damaged or do not belong together.
        """
        rows = store.videos()
        names = ("looked_at", "moving", "width", "height")
        frames_V, moving_V, width_V, height_V = (rows[name].to_numpy() for name in names)
        frames = int(frames_V.sum())
        summary = cls(
            videos=len(rows),
            frames=frames,
            still=int((moving_V == 0).sum()),
            moving=float((frames_V * moving_V).sum() / frames) if frames else 0.0,
        )
        if not 0 < frames <= _MOST_FRAMES:
            return summary
        pixels = dict(zip(rows["video"].to_pylist(), (width_V * height_V).tolist(), strict=True))
        valid: dict[str, np.ndarray] = {}
        boxes, fields = _Mean(), _Mean()
        for key, box_F4, valid_F in store.boxes():
            sides_F2 = (box_F4[:, 2:] - box_F4[:, :2])[valid_F].astype(np.float64)
            boxes.add(sides_F2.prod(1) / pixels[key])
            valid[key] = valid_F
        for key, field_Fyx in store.fields():
            fields.add(field_Fyx[valid[key]].mean((1, 2)) / 255)
        return replace(summary, box=boxes.value, field=fields.value)

    def __str__(self) -> str:
        text = f"motion in {self.moving:.0%} of {self.frames:,} frames"
        shares = [(self.field, "by the field"), (self.box, "by the box")]
        there = [f"{share:.1%} {name}" for share, name in shares if share is not None]
        if there:
            text += f"; there, of the frame: {', '.join(there)}"
        return f"{text}; {self.still:,} of {self.videos:,} videos without motion"


@dataclass
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, values_F: np.ndarray) -> None:
        self.total += float(values_F.sum())
        self.count += len(values_F)

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None
