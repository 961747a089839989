"""FiftyOne: labels of videos as its ``FiftyOneVideoLabelsDataset`` (ETA's JSON) has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mofo.motion.exports import EXPORTS, VideoExport
from mofo.motion.identities import movers_of
from mofo.motion.store import AreaStore
from mofo.types import MotionArea


@EXPORTS.register("fiftyone")
class FiftyOneLabels(VideoExport):
    """``manifest.json`` names videos where they lie, and labels/VIDEO.json the movers in them."""

    line = "FiftyOne: manifest.json and labels/VIDEO.json (FiftyOneVideoLabelsDataset)"

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``; ``file`` becomes a folder."""
        self._index: list[dict[str, str]] = []
        self._folder = file
        count = super().write(store, file / "labels", clip_union=clip_union)
        content = {"type": "eta.core.datasets.LabeledVideoDataset", "index": self._index}
        content["description"] = "mofo"
        (file / "manifest.json").write_text(json.dumps(content, indent=1))
        return count

    def write_video(
        self, key: str, path: str, area: MotionArea, stem: Path, *, clip_union: bool
    ) -> None:
        """Writes labels/VIDEO.json and notes both."""
        frames: dict[str, Any] = {}
        for mover in movers_of(area, clip_union=clip_union):
            number = str(mover.row + 1)
            frame = frames.setdefault(
                number, {"frame_number": int(number), "objects": {"objects": []}}
            )
            x1, y1, x2, y2 = mover.box_4.tolist()
            frame["objects"]["objects"].append(
                {
                    "label": "mover",
                    "index": mover.number,
                    "bounding_box": {
                        "top_left": {"x": x1 / area.width, "y": y1 / area.height},
                        "bottom_right": {"x": x2 / area.width, "y": y2 / area.height},
                    },
                }
            )
        labels = stem.with_name(stem.name + ".json")
        labels.write_text(json.dumps({"frames": frames}))
        self._index.append({"data": path, "labels": str(labels.relative_to(self._folder))})
