"""Reading videos: frames, exact times and the codec's motion vectors, a frame at a time.

Decoding is single-threaded on purpose: many videos are worked on side by side, one per process, and
FFmpeg's own threads make small clips slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from mofo.types import SettingsError, VideoError
from mofo.video.container import Container, reason_of
from mofo.video.inputs import Frames, VideoPath
from mofo.video.picture import chroma_picture, opaque

# FFmpeg's AVMotionVector. Its source is negative for a past reference frame. The block moved from
# (src_x, src_y) to (dst_x, dst_y), block centres in whole pixels; exact: motion_x / motion_scale.
MOTION_VECTOR = np.dtype(
    [
        ("source", "<i4"),
        ("w", "u1"),
        ("h", "u1"),
        ("src_x", "<i2"),
        ("src_y", "<i2"),
        ("dst_x", "<i2"),
        ("dst_y", "<i2"),
        ("flags", "<u8"),
        ("motion_x", "<i4"),
        ("motion_y", "<i4"),
        ("motion_scale", "<u2"),
    ],
    align=True,
)

# Formats whose first plane is 8-bit luma at full resolution.
_LUMA_FIRST = frozenset(
    [f"{prefix}{kind}p" for prefix in ("yuv", "yuvj", "yuva") for kind in (420, 422, 440, 444)]
    + ["gray", "yuv410p", "yuv411p", "yuvj411p", "nv12", "nv21", "nv16", "nv24"]
)
_KINDS = ("?", "I", "P", "B")  # by AVPictureType; S, SI, SP, BI are rare enough to be "?"


@dataclass(frozen=True)
class VideoInfo:
    """What the container and the first frame say about a video.

    Attributes:
        width, height: pixels of the upright frame at full resolution (pixel aspect ignored).
        fps: average frames per second, None if unknown.
        frames: number of frames the container gives, None if it does not (webm, mkv, ts).
        duration: seconds, None if unknown.
        rotation: 0, 90, 180 or 270 degrees, by which coded frames are turned clockwise.
        codec: FFmpeg's name of the codec, such as "h264".
        mirrored: whether frames are then mirrored left to right (rare).
    """

    path: str
    width: int
    height: int
    fps: float | None
    frames: int | None
    duration: float | None
    rotation: int
    codec: str
    mirrored: bool = False


@dataclass(slots=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: position in display order, from 0; only frames that could be decoded are counted.
        time: presentation time in seconds as in the file (it need not start at 0), strictly rising.
        image: uint8, upright: ``(H, W)`` grey, ``(H, W, 3)`` RGB, or None. Grey is the video's luma
            as coded, that is 16-235 for most files and 0-255 for full-range ones. Transparent
            pixels are black.
        kind: "I", "P", "B" or "?".
        vectors: array of ``MOTION_VECTOR``, in the coordinates of the coded frame (full size, not
            turned upright); None if not asked for or if the frame has none (all I-frames do not,
            nor do B-frames of MPEG-4).
        order: rises in the order in which frames were coded; None without motion vectors.
        referred: whether others may be predicted from this frame; None if that is not known
            (only H.264 says so) or without motion vectors.
        chroma: Cb and Cr, see ``picture.chroma_picture``; None if not asked for.
    """

    index: int
    time: float
    image: np.ndarray | None
    key: bool
    kind: str
    vectors: np.ndarray | None = None
    order: int | None = None
    referred: bool | None = None
    chroma: np.ndarray | None = None


class VideoReader:
    """Frames of a video file, in display order.

    Use it as a context manager and iterate over it; each iteration starts at the first frame.

    Args:
        path: the file, or frames in memory.
        colour: "gray", "rgb", or None for no images at all.
        short_side: scale images down (never up) to this many pixels on the shorter side.
        size: ``(width, height)`` of the upright images, instead of ``short_side``.
        motion_vectors: deliver the codec's motion vectors (H.264, MPEG-4 and older have them; VP9,
            HEVC and AV1 do not).
        chroma: deliver the colour of frames at this ``(width, height)``, too.
        every: deliver images and colours for every so many frames and for key frames only.

    Attributes:
        info: see ``VideoInfo``.
        size: ``(width, height)`` of the images.
        warnings: one line for each kind of damage; filled while iterating.

    Raises:
        VideoError: when not a single frame can be had from the file; the message says why.
        SettingsError: impossible options.
    """

    def __init__(
        self,
        path: VideoPath,
        *,
        colour: str | None = "gray",
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
        motion_vectors: bool = False,
        chroma: tuple[int, int] | None = None,
        every: int = 1,
    ) -> None:
        if colour not in ("gray", "rgb", None):
            raise SettingsError(f'colour is {colour!r}, expected "gray", "rgb" or None')
        if short_side is not None and size is not None:
            raise SettingsError("give short_side or size, not both")
        if min(size or (1,)) < 1 or (short_side is not None and short_side < 1):
            raise SettingsError(f"short_side={short_side}, size={size}: must be 1 or more")
        self._frames = path if isinstance(path, Frames) else None
        self.path = path.name if isinstance(path, Frames) else os.fspath(path)
        self.warnings: list[str] = []
        self._colour = colour
        self._vectors, self._chroma, self._every = motion_vectors, chroma, every
        self._source: Any = self._open()  # a ``Container``, or what stands in for it
        source = self._source
        first = source.first
        self._coded = (first.width, first.height)
        rotation, mirrored = orientation(first)
        self._orient = (rotation, mirrored)
        turned = rotation in (90, 270)
        width, height = self._coded[::-1] if turned else self._coded
        self.info = VideoInfo(
            self.path,
            width,
            height,
            source.fps,
            source.frames,
            source.duration,
            rotation,
            source.codec,
            mirrored,
        )
        if size is None:
            scale = min(1.0, short_side / min(width, height)) if short_side else 1.0
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self.size = size
        self._target = size[::-1] if turned else size  # of the frame before it is turned
        grows = self._target[0] > self._coded[0] or self._target[1] > self._coded[1]
        self._filter = Interpolation.BILINEAR if grows else Interpolation.AREA
        # Kept for all frames, where PyAV would set one up for each; and one for each step, since it
        # is set up anew whenever sizes or formats change.
        self._scaler, self._converter = VideoReformatter(), VideoReformatter()

    def _open(self) -> Any:
        if self._frames is not None:
            return self._frames.open()
        options = {}
        if self._vectors:
            options["flags2"] = "+export_mvs"
            if self._colour is None or self._every > 1:
                # Vectors come from the bitstream. Deblocking only mends pixels that nobody looks
                # at, or not closely.
                options["skip_loop_filter"] = "all"
        return Container(self.path, options, coding_order=self._vectors)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. A later iteration opens it again."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def truncation(self, frames: int, end: float) -> str | None:
        """Why the file is known to lack pictures at its end, in a few words; None if it is not.

        Args:
            frames: how many can be had from it.
            end: time in seconds at which the last one ends.
        """
        self._source = source = self._source or self._open()
        return source.truncation(frames, end)

    def __iter__(self) -> Iterator[Frame]:
        self.warnings.clear()
        source = self._source
        if source is None or source.used:
            self.close()
            source = self._source = self._open()
        source.used = True
        step = 1.0 / source.fps if source.fps else 0.04
        colour, coded, wants_vectors = self._colour, self._coded, self._vectors
        index, time, resized, back = -1, -step, 0, 0
        for frame in source.decode():
            index += 1
            stamp = frame.time
            if stamp is None or (index and stamp <= time):
                back += stamp is not None
                stamp = time + step
            time = stamp
            if (frame.width, frame.height) != coded:
                resized += 1
                if resized == 1:
                    self.warnings.append(
                        f"frame {index} is {frame.width}x{frame.height}, the first one was "
                        f"{coded[0]}x{coded[1]}: such frames are resized"
                    )
            mark: Any = frame.opaque or (None, None)  # by ``CodingOrder``
            shown = index % self._every == 0 or bool(frame.key_frame)
            yield Frame(
                index,
                time,
                self._image(frame) if colour is not None and shown else None,
                bool(frame.key_frame),
                frame_kind(frame),
                motion_vectors(frame, source.codec) if wants_vectors else None,
                mark[0],
                mark[1],
                self._colours(frame, self._chroma) if self._chroma and shown else None,
            )
        held = float((frame.duration or 0) * (frame.time_base or 0))  # of the last one
        self.warnings += source.complaints(index, time + max(step, held), back)

    def _image(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame's pixels, scaled and upright, in an array of their own."""
        width, height = self._target
        frame = opaque(frame)
        same_size = (frame.width, frame.height) == self._target
        if self._colour == "rgb":
            if not (same_size or frame.format.is_rgb or frame.format.name == "pal8"):
                # Scaling planes and then converting is up to a third faster than both in one step.
                frame = self._scale(frame, width, height, "yuv444p")
            frame = self._scale(frame, width, height, "rgb24", self._converter)
        elif not same_size or frame.format.name not in _LUMA_FIRST:
            # Equal ranges on both sides keep swscale from stretching 16-235 to 0-255, so that grey
            # is the same whether or not a frame was scaled.
            gray: dict[str, Any] = {
                "src_color_range": ColorRange.JPEG,
                "dst_color_range": ColorRange.JPEG,
            }
            frame = self._scale(frame, width, height, "gray", **gray)
        plane = frame.planes[0]
        channels = 3 if self._colour == "rgb" else 1
        image: Any
        if plane.line_size < 0:  # bottom-up: rare, and the buffer does not start at the top row
            image = frame.to_ndarray(threads=1)
        else:
            lines: Any = plane
            image = np.frombuffer(lines, np.uint8).reshape(-1, plane.line_size)
            image = image[:height, : width * channels]
            if channels == 3:
                image = np.lib.stride_tricks.as_strided(
                    image, (height, width, 3), (plane.line_size, 3, 1)
                )
        rotation, mirrored = self._orient
        # Always a copy: the plane's memory goes back to FFmpeg with the frame.
        if rotation:
            turn = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180}
            image = cv2.rotate(image, turn.get(rotation, cv2.ROTATE_90_COUNTERCLOCKWISE))
        if mirrored:
            return np.array(image[:, ::-1])
        return image if rotation else np.array(image)

    def _colours(self, frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
        rotation, mirrored = self._orient
        try:
            return chroma_picture(frame, size, rotation=rotation, mirrored=mirrored)
        except av.FFmpegError as error:
            raise VideoError(self.path, f"no colours can be read ({reason_of(error)})") from None

    def _scale(
        self,
        frame: av.VideoFrame,
        width: int,
        height: int,
        fmt: str,
        scaler: VideoReformatter | None = None,
        **ranges: Any,
    ) -> av.VideoFrame:
        try:
            return (scaler or self._scaler).reformat(
                frame,
                width=width,
                height=height,
                format=fmt,
                interpolation=self._filter,
                threads=1,
                **ranges,
            )
        except av.FFmpegError as error:
            raise VideoError(
                self.path, f"cannot convert {frame.format.name} to {fmt} ({reason_of(error)})"
            ) from None


def _side_data(frame: av.VideoFrame, kind: str) -> Any:
    """A frame's side data as a buffer, or None."""
    # Not frame.side_data: the frame keeps that object and that object keeps the frame, so that all
    # decoded pixels would stay in memory until the next garbage collection.
    make: Any = SideDataContainer
    container = make(frame)
    try:
        return container[kind]
    except KeyError:
        return None


def frame_kind(frame: av.VideoFrame) -> str:
    """ "I", "P", "B" or "?"."""
    return _KINDS[frame.pict_type] if frame.pict_type < 4 else "?"


def motion_vectors(frame: av.VideoFrame, codec: str) -> np.ndarray | None:
    """The codec's vectors, see ``Frame.vectors``; the decoder must have been asked for them."""
    if codec == "mpeg4" and frame_kind(frame) == "B":
        return None  # FFmpeg exports zeros for them
    data = _side_data(frame, "MOTION_VECTORS")
    if data is None:
        return None
    # Copied as bytes: a copy of records with padding goes field by field, ten times slower.
    return np.frombuffer(data, np.uint8).copy().view(MOTION_VECTOR)


def orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Clockwise degrees, then whether to mirror left to right, that make a frame upright."""
    data = _side_data(frame, "DISPLAYMATRIX")
    if data is None:
        return 0, False
    # x' = a x + c y and y' = b x + d y, in 16.16 fixed point. VideoFrame.rotation is not enough: it
    # reads a mirrored frame as one turned by 180 degrees.
    a, b, _, c, d = (int(v) for v in np.frombuffer(data, np.int32)[:5])
    mirrored = a * d - b * c < 0
    degrees = np.degrees(np.arctan2(b, -a if mirrored else a))
    return int(round(degrees / 90) * 90) % 360, mirrored
