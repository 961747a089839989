"""Which formats there are, and which of them a source has."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mofo.datasets.folders import Found, Problems
from mofo.datasets.formats import (
    class_folders,
    diving48,
    epic_kitchens,
    hmdb51,
    jester,
    kinetics,
    lists,
    parquet,
    ssv2,
    ucf101,
)
from mofo.datasets.formats.source import Source
from mofo.types import MofoError, SettingsError


@dataclass(frozen=True)
class Format:
    """One layout of data sets.

    Attributes:
        name: as in ``ssv2:PATH``.
        about: what it is, in a line.
        recognises: whether a source has it; looks at names and first lines only.
        read: the videos of a source that has it.
        last: taken only if no other format is recognised.
    """

    name: str
    about: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source], Found]
    last: bool = False


def _format(name: str, about: str, module: ModuleType, *, last: bool = False) -> Format:
    return Format(name, about, module.recognises, module.read, last)


FORMATS = {
    one.name: one
    for one in (
        _format("parquet", "catalog made by `mofo data convert`", parquet),
        _format("ssv2", "Something-Something V2", ssv2),
        _format("epic", "EPIC-KITCHENS-100", epic_kitchens),
        _format("kinetics", "Kinetics-400, 600 or 700", kinetics),
        _format("ucf101", "UCF101", ucf101),
        _format("hmdb51", "HMDB51", hmdb51),
        _format("diving48", "Diving48", diving48),
        _format("jester", "Jester, Something-Something V1: lists of id;label", jester),
        _format("list", "plain list of paths and classes, as VideoMAE's", lists, last=True),
        _format("folder", "a folder for each class", class_folders, last=True),
    )
}
"""By name."""


def named_format(name: str) -> Format:
    """The format of that name.

    Raises:
        SettingsError: there is none.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(FORMATS)}"
        raise SettingsError(f"format {name!r} is unknown: {hint}")
    return FORMATS[name]


def split_name(source: str) -> tuple[str | None, str]:
    """``"ssv2:PATH"`` as format and path; no format if the whole is the name of a file."""
    name, colon, path = source.partition(":")
    if colon and path and name in FORMATS and not os.path.lexists(source):
        return name, path
    return None, source


def recognised(source: Source) -> Format | None:
    """The format that a source has; None if it is just a file or a folder of videos.

    Raises:
        MofoError: it may be two of them.
    """
    fit = [one for one in FORMATS.values() if not one.last and one.recognises(source)]
    fit = fit or [one for one in FORMATS.values() if one.last and one.recognises(source)]
    if len(fit) > 1:
        names = " or ".join(one.name for one in fit)
        raise MofoError(
            f"{source.path}: may be {names}: say which, as in {fit[0].name}:{source.path}"
        )
    return fit[0] if fit else None


def read_source(
    path: str | Path,
    name: str | None,
    problems: Problems,
    *,
    videos: str | Path | None = None,
    split_number: int = 1,
) -> Found | None:
    """The videos of a published data set.

    Args:
        path: file or folder.
        name: of the format; None: whichever is recognised.
        problems: gets ``(name, reason)`` of what cannot be used.
        videos: folder that the videos are below, if the source does not tell.
        split_number: which of several official splits.

    Returns:
        None if no format is named and none is recognised.

    Raises:
        MofoError: the source does not exist, cannot be read, or none of its videos is there.
        SettingsError: no such format.
    """
    if not os.path.lexists(path):
        raise MofoError(f"{path}: does not exist; expected a file or a folder")
    before = len(problems)
    source = Source(path, videos=videos, split_number=split_number, problems=problems)
    one = recognised(source) if name is None else named_format(name)
    if one is None:
        return None
    found = one.read(source)
    failed = problems[before:]
    if not found.videos and failed:
        where, reason = failed[0]
        raise MofoError(
            f"{path}: read as {one.about}, but none of its {len(failed):,} videos can be used, the "
            f"first for this reason: {where}: {reason}; --videos DIR of `mofo data convert` says "
            "where videos are"
        )
    return found
