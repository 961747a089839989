"""Outputs on object stores: made here, then uploaded through fsspec."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mofo.types import MofoError, SettingsError
from mofo.video.storage import file_system, reasons

Output = Path
"""A file or folder that a verb writes; on the command line it may be a URL."""


class RemotePath(str):
    """The URL of a file or folder that is to be written."""

    __slots__ = ()


def with_upload(url: RemotePath, work: Callable[[Path], int]) -> int:
    """Calls ``work`` with a path here that stands for a URL; uploads what has changed, at the end
    and after a stop. Returns what it returns.

    What is at the URL is fetched first, so that work goes on where it was. A file may have others
    beside it, whose names begin with its own up to the last dot.

    Raises:
        MofoError: it cannot be fetched, or not uploaded: what was made is then kept, and named.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError(f"{url} is a URL: several processes write to a folder here")
    with _reasons(url):
        system, path = file_system(url.rstrip("/"))
        base, name = path.rpartition("/")[::2]
        found = set(system.find(path))
        if stem := PurePosixPath(name).stem if "." in name else "":
            for pattern in (f"{stem}[.-]*", f".{name}.*"):
                found |= {
                    f for place in system.glob(f"{base}/{pattern}") for f in system.find(place)
                }
    folder = Path(tempfile.mkdtemp(prefix="mofo-"))
    with _reasons(url), contextlib.ExitStack() as unless_fetched:
        unless_fetched.callback(shutil.rmtree, folder)
        for file in found:
            target = folder / file.removeprefix(base).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(file, str(target))
        unless_fetched.pop_all()
    before = _files(folder)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            return work(folder / name)
    finally:
        parent = url.rstrip("/").rpartition("/")[0]
        for line in said.getvalue().replace(str(folder), parent).splitlines():
            if not line.startswith("next:"):  # what comes next reads files that are here
                print(line)
        now = _files(folder)
        with _reasons(url, f"; what was made is in {folder}"):
            changed = [file for file, state in now.items() if before.get(file) != state]
            for file in changed:
                system.makedirs(f"{base}/{file}".rpartition("/")[0], exist_ok=True)
                system.put_file(str(folder / file), f"{base}/{file}")
            for file in before.keys() - now.keys():  # after what replaces them is there
                system.rm_file(f"{base}/{file}")
        print(f"uploaded to {url}: {len(changed)} of {len(now)} files")
        shutil.rmtree(folder)


def _files(folder: Path) -> dict[str, Any]:
    """State of each file, by its place in the folder."""
    return {
        file.relative_to(folder).as_posix(): (file.stat().st_mtime_ns, file.stat().st_size)
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".lock")
    }


@contextlib.contextmanager
def _reasons(url: str, more: str = "") -> Iterator[None]:
    try:
        with reasons(url):
            yield
    except MofoError as error:
        raise MofoError(f"{error}{more}") from None
