"""YOLO: a text file a frame, a line a mover."""

from __future__ import annotations

from pathlib import Path

from mofo.motion.exports import EXPORTS, VideoExport
from mofo.motion.identities import movers_of
from mofo.motion.store import AreaStore
from mofo.types import MotionArea


@EXPORTS.register("yolo")
class YoloLabels(VideoExport):
    """``0 CENTRE_X CENTRE_Y WIDTH HEIGHT``, shares of the frame; empty where nothing moves."""

    line = "YOLO: data.yaml and labels/VIDEO/000000.txt, one a frame"

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``; ``file`` becomes the folder of data.yaml."""
        count = super().write(store, file / "labels", clip_union=clip_union)
        (file / "data.yaml").write_text("train: images\nval: images\nnames:\n  0: mover\n")
        return count

    def write_video(
        self, key: str, path: str, area: MotionArea, stem: Path, *, clip_union: bool
    ) -> None:
        """Writes VIDEO/000000.txt ..."""
        stem.mkdir(exist_ok=True)
        lines: list[list[str]] = [[] for _ in range(len(area))]
        for mover in movers_of(area, clip_union=clip_union):
            x1, y1, x2, y2 = mover.box_4.tolist()
            shares = (
                (x1 + x2) / 2 / area.width,
                (y1 + y2) / 2 / area.height,
                (x2 - x1) / area.width,
                (y2 - y1) / area.height,
            )
            lines[mover.row].append(" ".join(["0", *(f"{share:.7f}" for share in shares)]))
        for frame, several in zip(area.frame_T.tolist(), lines, strict=True):
            text = "".join(f"{line}\n" for line in several)
            (stem / f"{frame:06d}.txt").write_text(text)
