"""Files on disk and in object stores: one way to ask for their size and to open them."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mofo.types import MofoError, VideoError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BLOCK = 1 << 22  # bytes that are fetched at once from an object store
_BLOCKS = 8  # that are kept of each open file
_REMEMBERED = 100_000  # URLs whose size is remembered


def is_url(path: str) -> bool:
    """Whether it is an address that fsspec opens, and no path of a file system."""
    return _URL.match(path) is not None


def joined(base: str, path: str) -> str:
    """A path that a list gives, relative to ``base``; URLs stay as they are."""
    if is_url(path):
        return path
    if is_url(base):
        return f"{base.rstrip('/')}/{path}"
    return os.path.normpath(os.path.join(base, path))  # noqa: PTH118 - for each row of a list


def has_magic(path: str) -> bool:
    """Whether it is a pattern. In the address of a web page, "?" is none."""
    return glob.has_magic(path.replace("?", "") if is_url(path) else path)


def file_size(file: str) -> tuple[int, int]:
    """Size in bytes and stamp of a whole file, on disk or at a URL.

    What lies at a URL is taken not to change while a process runs: each question is a request.

    Raises:
        OSError, VideoError: it cannot be read, or is no file.
    """
    if is_url(file):
        return _url_size(file)
    status = os.stat(file)  # noqa: PTH116 - for each clip
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(file, "is a folder, not a video file")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise VideoError(file, "is not a regular file")
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(_REMEMBERED)
def _url_size(url: str) -> tuple[int, int]:
    system, path = file_system(url)
    about = system.info(path)
    if about.get("type") == "directory":
        raise VideoError(url, "is a folder, not a video file")
    if about.get("size") is None:
        raise VideoError(url, "the server does not say how large it is")
    stamp = hashlib.blake2b(repr(system.ukey(path)).encode(), digest_size=7).digest()
    return int(about["size"]), int.from_bytes(stamp, "big")


def open_bytes(file: str) -> BinaryIO:
    """A whole file, on disk or at a URL, for reading; blocks of a URL are kept for a while."""
    if not is_url(file):
        return Path(file).open("rb")
    system, path = file_system(file)
    opened: BinaryIO = system.open(
        path, "rb", block_size=_BLOCK, cache_type="blockcache", cache_options={"maxblocks": _BLOCKS}
    )
    return opened


def file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL is of, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise MofoError(f"{url}: needs a package that is not installed: {error}") from None
    except ValueError as error:
        raise MofoError(f"{url}: {_line(error)}; fsspec knows what can be read") from None
    return system, path


@contextlib.contextmanager
def reasons(path: str) -> Iterator[None]:
    """Whatever happens becomes a ``VideoError``: libraries of object stores have their own."""
    try:
        yield
    except VideoError as error:
        raise VideoError(path, error.reason) from None
    except MofoError as error:
        raise VideoError(path, str(error).removeprefix(f"{path}: ")) from None
    except Exception as error:
        reasons = {errno.ENOENT: "does not exist", errno.EACCES: "no permission to read it"}
        code = getattr(error, "errno", None)
        if isinstance(error, FileNotFoundError):
            code = errno.ENOENT
        reason = reasons.get(code or 0) or f"cannot be read ({_line(error)})"
        raise VideoError(path, reason) from None


def _line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
