"""One video of a data set, and whether its file can be used."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH114, PTH116, PTH118

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Literal
from unicodedata import normalize

from mofo.types import MofoError
from mofo.video.location import is_plain, locate, split_member
from mofo.video.storage import file_system

LABEL = "label"
"""Name of the only head, where a video has one kind of label."""
FORMS: tuple[Literal["NFC"], Literal["NFD"]] = ("NFC", "NFD")
"""Unicode forms in which file systems write names: Linux as they are typed, older Macs NFD."""
_REMEMBERED = 20_000  # files whose state is remembered: rows of one file follow each other


@dataclass(frozen=True, slots=True)
class Video:
    """One video, or a segment of one.

    Attributes:
        key: its name in stores: relative, with "/" between folders, never with "..".
        labels: ``(head, name of the class)``: one pair where there is one kind of label (head
            "label"), one for each kind otherwise ("verb", "noun"); several of a head where a video
            may have several classes.
        start, end: the segment in seconds since the first frame; None is the file's own beginning
            or end.
        split: "train", "validation", "test", if the source tells.
        group: what it was recorded with (a person, a session, a long recording), if known: videos
            of one group are not independent of each other.
        name: what the data set itself calls it (narration id, YouTube id ...), if it does.
    """

    path: str
    key: str
    labels: tuple[tuple[str, str], ...] = ()
    start: float | None = None
    end: float | None = None
    split: str | None = None
    group: str | None = None
    name: str | None = None

    @property
    def label(self) -> str | None:
        """The (first) class of head "label"; None if it has none."""
        return next((name for head, name in self.labels if head == LABEL), None)

    @property
    def details(self) -> tuple[object, ...]:
        """All that a row says about its file: rows of one file with equal details are the same."""
        return self.labels, self.start, self.end, self.split, self.name


def why_unusable(path: str) -> str | None:
    """Why a file cannot be used, in one line; None if it can. It is not opened.

    A URL is taken as it is: each question would be a request. What is missing shows when it is
    read.
    """
    if not is_plain(path):
        try:
            if split_member(path) is not None:
                locate(path)
            else:
                file_system(path)
        except MofoError as error:
            return getattr(error, "reason", None) or str(error).removeprefix(f"{path}: ")
        return None
    try:
        mode = os.stat(path).st_mode
        path.encode()  # keys are stored as UTF-8
    except FileNotFoundError:
        if os.path.islink(path):
            return "link to a file that does not exist"
        if "\\" in path:
            return "does not exist; write / instead of \\"
        if not path.isascii() and any(os.path.lexists(normalize(form, path)) for form in FORMS):
            return "is there with its accents in another Unicode form: rename it, or list it anew"
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ValueError:
        return "its name is not UTF-8; rename it"
    if stat.S_ISDIR(mode):
        return "is a folder, not a video file"
    if not stat.S_ISREG(mode):
        return "is not a regular file"
    if not os.access(path, os.R_OK):
        return "no permission to read it"
    return None


class Usable:
    """Why files cannot be used, see ``why_unusable``; remembers the last files only."""

    def __init__(self) -> None:
        self._reasons: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        """The reason; None if the file can be used."""
        if path not in self._reasons:
            if len(self._reasons) >= _REMEMBERED:
                self._reasons.clear()
            self._reasons[path] = why_unusable(path)
        return self._reasons[path]


class RealFiles:
    """What paths really are; folders are resolved once for all their files."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """The real file behind a path."""
        folder, name = os.path.split(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        file = os.path.join(real, name)
        return os.path.realpath(file) if os.path.islink(file) else file
