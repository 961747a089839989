"""MOTChallenge: a folder a video with ``gt/gt.txt`` and ``seqinfo.ini``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mofo.motion.exports import EXPORTS, VideoExport, numbers
from mofo.motion.identities import movers_of
from mofo.types import MotionArea


@EXPORTS.register("mot")
class MotChallenge(VideoExport):
    """Lines of frame, number, left, top, width, height, 1, 1, 1; frames and pixels from 1."""

    line = "MOTChallenge: VIDEO/gt/gt.txt, for trackers and their scores"

    def write_video(
        self, key: str, path: str, area: MotionArea, stem: Path, *, clip_union: bool
    ) -> None:
        """Writes the folder of one video."""
        (stem / "gt").mkdir(parents=True, exist_ok=True)
        lines = []
        for mover in movers_of(area, clip_union=clip_union):
            x1, y1, x2, y2 = numbers(mover.box_4)
            sides = ",".join(f"{side:.4f}" for side in (x1 + 1, y1 + 1, x2 - x1, y2 - y1))
            lines.append(f"{area.frame_T[mover.row] + 1},{mover.number},{sides},1,1,1\n")
        (stem / "gt/gt.txt").write_text("".join(lines))
        steps = np.diff(area.time_T)
        rate = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else 25.0
        (stem / "seqinfo.ini").write_text(
            f"[Sequence]\nname={stem.name}\nimDir=img1\nframeRate={rate:.3f}\n"
            f"seqLength={len(area)}\nimWidth={area.width}\nimHeight={area.height}\nimExt=.jpg\n"
        )
