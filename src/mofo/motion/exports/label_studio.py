"""Label Studio: one JSON of tasks, with movers as predictions to be corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mofo.motion.exports import EXPORTS, AreaExport, paths_of
from mofo.motion.identities import Mover, tracks
from mofo.motion.store import AreaStore
from mofo.system.files import replaced
from mofo.types import MotionArea


@EXPORTS.register("label-studio")
class LabelStudioTasks(AreaExport):
    """For a project with ``<Video name="video">``, ``<VideoRectangle name="box">`` and the label.

    Boxes are percents of the frame, frames count from 1. Where a mover rests or is out of sight,
    its last box is not enabled.
    """

    line = "Label Studio: JSON of tasks, movers as VideoRectangle predictions"

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``."""
        with replaced(file) as temporary, temporary.open("w", encoding="utf-8") as out:
            between = "[\n"
            for key, path in paths_of(store):
                area = store[key]
                result = [
                    _track(area, number, several)
                    for number, several in tracks(area, clip_union=clip_union).items()
                ]
                predictions = [{"model_version": "mofo", "result": result}]
                task = {"data": {"video": path}, "predictions": predictions}
                out.write(between + json.dumps(task))
                between = ",\n"
            out.write("[]\n" if between == "[\n" else "\n]\n")
        return len(store)


def _track(area: MotionArea, number: int, several: list[Mover]) -> dict[str, Any]:
    steps = zip(several, [*several[1:], None], strict=True)
    return {
        "id": f"mover-{number}",
        "type": "videorectangle",
        "from_name": "box",
        "to_name": "video",
        "value": {
            "framesCount": len(area),
            "duration": float(area.time_T[-1] - area.time_T[0]),
            "labels": ["mover"],
            "sequence": [
                _step(area, mover, after is not None and after.row == mover.row + 1)
                for mover, after in steps
            ],
        },
    }


def _step(area: MotionArea, mover: Mover, goes_on: bool) -> dict[str, Any]:
    x1, y1, x2, y2 = mover.box_4.tolist()
    return {
        "frame": mover.row + 1,
        "time": float(area.time_T[mover.row]),
        "enabled": goes_on,
        "rotation": 0,
        "x": 100 * x1 / area.width,
        "y": 100 * y1 / area.height,
        "width": 100 * (x2 - x1) / area.width,
        "height": 100 * (y2 - y1) / area.height,
    }
