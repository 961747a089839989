"""One video of a data set: where it lies, which stretch of it counts, and what it shows."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH114, PTH116

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

LABEL = "label"
"""Name of the only head, where a video has one kind of label."""


@dataclass(frozen=True, slots=True)
class Video:
    """One video, or a stretch of one.

    Attributes:
        path: absolute path of the file.
        key: its name in stores: relative, with "/" between folders, never with "..".
        labels: ``(head, name of the class)``: one pair where there is one kind of label (head
            "label"), one for each kind otherwise ("verb", "noun"); several of a head where a video
            may have several classes.
        start, end: the stretch in seconds; None is the file's own beginning or end.
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


def why_unusable(path: str) -> str | None:
    """Why a file cannot be used, in one line; None if it can. It is not opened."""
    try:
        mode = os.stat(path).st_mode
        path.encode()  # keys are stored as UTF-8
    except FileNotFoundError:
        if os.path.islink(path):
            return "link to a file that does not exist"
        return "does not exist" + ("; write / instead of \\" if "\\" in path else "")
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
