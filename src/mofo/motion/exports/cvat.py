"""CVAT for video 1.1: an XML a video, a track a mover."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from mofo.motion.exports import EXPORTS, VideoExport, numbers
from mofo.motion.identities import Mover, tracks
from mofo.types import MotionArea


@EXPORTS.register("cvat")
class CvatTracks(VideoExport):
    """Every frame is a key frame; a track is "outside" after each stretch in which it moves."""

    line = "CVAT for video 1.1: VIDEO.xml, a track a mover"

    def write_video(
        self, key: str, path: str, area: MotionArea, stem: Path, *, clip_union: bool
    ) -> None:
        """Writes VIDEO.xml."""
        root = ET.Element("annotations")
        ET.SubElement(root, "version").text = "1.1"
        task = ET.SubElement(ET.SubElement(root, "meta"), "task")
        for name, text in (("name", key), ("size", str(len(area))), ("mode", "interpolation")):
            ET.SubElement(task, name).text = text
        label = ET.SubElement(ET.SubElement(task, "labels"), "label")
        ET.SubElement(label, "name").text = "mover"
        size = ET.SubElement(task, "original_size")
        ET.SubElement(size, "width").text = str(area.width)
        ET.SubElement(size, "height").text = str(area.height)
        for number, several in tracks(area, clip_union=clip_union).items():
            track = ET.SubElement(root, "track", id=str(number - 1), label="mover", source="auto")
            for mover, after in zip(several, [*several[1:], None], strict=True):
                _box(track, mover, mover.row, "0")
                gone = mover.row + 1
                if gone < len(area) and (after is None or after.row > gone):
                    _box(track, mover, gone, "1")
        ET.indent(root)
        ET.ElementTree(root).write(f"{stem}.xml", encoding="utf-8", xml_declaration=True)


def _box(track: ET.Element, mover: Mover, row: int, outside: str) -> None:
    sides = zip(("xtl", "ytl", "xbr", "ybr"), numbers(mover.box_4), strict=True)
    ET.SubElement(
        track,
        "box",
        {name: str(side) for name, side in sides},
        frame=str(row),
        outside=outside,
        occluded="0",
        keyframe="1",
        z_order="0",
    )
