"""``mofo data pack``: the videos of any source as tar shards that the webdataset library reads."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.formats.webdataset import sample_key
from mofo.datasets.video import LABEL, Video
from mofo.system.files import folder_lock, replaced
from mofo.system.progress import Bar
from mofo.types import MofoError, SettingsError, VideoError
from mofo.video.location import locate
from mofo.video.shard import open_shard


@dataclass(frozen=True)
class Packed:
    """One video of a shard: the name of its member, its bytes, and the rows that are about it."""

    member: str
    size: int
    rows: tuple[Video, ...]


Beside = Callable[[str, Sequence[Packed]], Mapping[str, bytes]]
"""More members for a shard, given its name and its videos."""


@dataclass
class PackReport:
    """What a run did.

    ``shards``: names of all shards; of them ``kept`` were whole already.
    ``failures``: ``(path, reason)`` of videos that are not in them.
    """

    out: Path
    shards: list[str] = field(default_factory=list)
    kept: int = 0
    videos: int = 0
    bytes: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def pack(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    size: float = 1000.0,
    beside: Beside | None = None,
    progress: bool = True,
) -> PackReport:
    """Writes the videos of a source into tar shards, those of a split together.

    A sample has the video, ``.json`` with what its rows say, and ``.cls`` with the number of its
    class, if it has one. A shard is there once it is whole; those that are whole are not written
    again.

    Args:
        sources: see ``read_catalog``.
        out: folder.
        size: megabytes after which a shard ends.
        beside: more members for each shard.
        progress: show progress on stderr.

    Raises:
        MofoError: no video can be used, or the folder has other shards.
        VideoError: a video fails while it is read; run again to go on.
    """
    if size <= 0:
        raise SettingsError(f"size is {size:g} MB: it has to be more than 0")
    several = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    folder = Path(out).absolute()
    catalog = read_catalog([os.fspath(source) for source in several])
    report = PackReport(folder, failures=list(catalog.problems))
    plan = _plan(catalog, size * 1e6, report.failures)
    if not plan:
        raise MofoError(f"no video can be packed: {': '.join(report.failures[0])}")
    report.shards = sorted(plan)
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted({path.name for path in folder.glob("*.tar")} - {*plan})
    if others:
        raise MofoError(f"{folder}: has {others[0]}, of another set: choose another folder")
    numbers = _class_numbers(catalog)
    total = sum(video.size for videos in plan.values() for video in videos)
    with folder_lock(folder), Bar(total=total, unit="B", desc="pack", show=progress) as bar:
        for name, videos in plan.items():
            report.videos += len(videos)
            report.bytes += sum(video.size for video in videos)
            small = {} if beside is None else dict(beside(name, videos))
            members = list(_members(videos, numbers, small))
            if _is_whole(folder / name, members):
                report.kept += 1
                bar.update(sum(video.size for video in videos))
            else:
                _write(folder / name, members, bar.update)
    return report


Member = tuple[str, int, bytes | str]
"""Name, size, and the bytes themselves or the path of the video."""


def _plan(
    catalog: Catalog, limit: float, failures: list[tuple[str, str]]
) -> dict[str, list[Packed]]:
    """By the name of the shard, what goes into it, in the order of the catalog."""
    rows: dict[str, list[Video]] = {}
    for video in catalog:
        rows.setdefault(video.path, []).append(video)
    plan: dict[str, list[Packed]] = {}
    numbers: dict[str, int] = defaultdict(int)
    filled: dict[str, float] = defaultdict(float)
    names: set[str] = set()
    for path, several in rows.items():
        try:
            size = locate(path).size
        except VideoError as error:
            failures.append((path, error.reason))
            continue
        split = several[0].split or "videos"
        if filled[split] and filled[split] + size > limit:
            numbers[split] += 1
            filled[split] = 0
        filled[split] += size
        member = _member_name(several[0].key, names)
        shard = f"{split}-{numbers[split]:06d}.tar"
        plan.setdefault(shard, []).append(Packed(member, size, tuple(several)))
    return plan


def _member_name(key: str, names: set[str]) -> str:
    """The key as a member's name: up to the first dot of the file's name it is the sample's."""
    folder, slash, base = key.replace(".tar/", "/").rpartition("/")
    stem, ending = os.path.splitext(base)  # noqa: PTH122
    stem = stem.replace(".", "_") or "video"
    sample, number = f"{folder}{slash}{stem}", 1
    while sample in names:
        number += 1
        sample = f"{folder}{slash}{stem}_{number}"
    names.add(sample)
    return sample + ending.lower()


def _class_numbers(catalog: Catalog) -> dict[str, int]:
    """Numbers of the classes of head "label", in the order that the source says, or of names."""
    names = catalog.classes.get(LABEL) or sorted(
        {video.label for video in catalog if video.label},
        key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name),
    )
    return {name: number for number, name in enumerate(names)}


def _members(
    videos: Sequence[Packed], numbers: Mapping[str, int], beside: Mapping[str, bytes]
) -> Iterator[Member]:
    for video in videos:
        first, sample = video.rows[0], sample_key(video.member)[0]
        yield video.member, video.size, first.path
        rows = [_about(row, numbers) for row in video.rows]
        about: dict[str, Any] = {"segments": rows} if len(rows) > 1 else rows[0]
        text = json.dumps({"key": first.key, **about}, ensure_ascii=False).encode()
        yield f"{sample}.json", len(text), text
        if "cls" in about:
            number = str(about["cls"]).encode()
            yield f"{sample}.cls", len(number), number
    for name, content in beside.items():
        yield name, len(content), content


def _about(video: Video, numbers: Mapping[str, int]) -> dict[str, Any]:
    """A row as a table has it; what it does not say is left out."""
    about: dict[str, Any] = {}
    for head, name in video.labels:
        about.setdefault(head, []).append(name)
    about = {head: names[0] if len(names) == 1 else names for head, names in about.items()}
    more = {name: getattr(video, name) for name in ("start", "end", "split", "group", "name")}
    number = numbers.get(video.label or "") if len(video.labels) == 1 else None
    return about | {k: value for k, value in {**more, "cls": number}.items() if value is not None}


def _is_whole(shard: Path, members: Sequence[Member]) -> bool:
    if not shard.is_file():
        return False
    try:
        found = open_shard(str(shard))
    except (MofoError, OSError):
        return False
    names, sizes = found.members["name"].to_pylist(), found.members["size"].to_pylist()
    wanted = {name: size for name, size, _ in members}
    return not found.problems and dict(zip(names, sizes, strict=True)) == wanted


def _write(shard: Path, members: Sequence[Member], progress: Callable[[int], object]) -> None:
    with replaced(shard, flush=True) as part, tarfile.open(part, "w") as tar:
        for name, size, content in members:
            about = tarfile.TarInfo(name)
            about.size = size
            is_text = isinstance(content, bytes)
            source = io.BytesIO(content) if isinstance(content, bytes) else locate(content).open()
            with source as file:
                try:
                    tar.addfile(about, file)
                except OSError as error:
                    if "unexpected end of data" in str(error):
                        raise VideoError(content, "got shorter while it was read") from None
                    raise
            if not is_text:
                progress(size)
            tar.members = []  # type: ignore[attr-defined]  # it would keep them all
