"""Prompts for SAM 2: where each mover is seen best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mofo.motion.exports import EXPORTS, AreaExport, numbers, paths_of
from mofo.motion.identities import tracks
from mofo.motion.store import AreaStore
from mofo.system.files import replaced
from mofo.types import MotionArea


@EXPORTS.register("sam2")
class Sam2Prompts(AreaExport):
    """Of each mover its largest box: the arguments of ``predictor.add_new_points_or_box``."""

    line = "SAM 2: JSON of box prompts {VIDEO: [{frame_idx, obj_id, box}]}"

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``."""
        content = {
            path: prompts(store[key], clip_union=clip_union) for key, path in paths_of(store)
        }
        with replaced(file) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return len(content)


def prompts(area: MotionArea, *, clip_union: bool = False) -> list[dict[str, Any]]:
    """Box prompts of one video, one a mover."""
    found = []
    for number, several in tracks(area, clip_union=clip_union).items():
        sizes = [np.prod(mover.box_4[2:] - mover.box_4[:2]) for mover in several]
        best = several[int(np.argmax(sizes))]
        found.append({"frame_idx": best.row, "obj_id": number, "box": numbers(best.box_4)})
    return found
