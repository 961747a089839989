"""Files that are whole or not there, and folders that one run at a time writes to."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mofo.types import MofoError

try:
    import fcntl
except ImportError:  # Windows: runs are not kept apart there
    fcntl = None  # type: ignore[assignment]

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# .NAME-MACHINE-PROCESS-RANDOM.tmp, and an ending where the writer chooses the format by it.
_TEMPORARY = re.compile(r"\..*-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp(\.\w+)?")


_tidied: set[Path] = set()  # folders that this process has written to


@contextlib.contextmanager
def replaced(file: Path, *, flush: bool = False, suffix: str = "") -> Iterator[Path]:
    """A temporary path beside ``file``, renamed onto it when the block ends well.

    Args:
        flush: wait until the content is on the disk before the rename, so that it also survives
            a power failure. A killed process loses nothing without it.
        suffix: ending of the temporary, for a writer that chooses the format by it.
    """
    temporary = temporary_beside(file, suffix)
    try:
        yield temporary
        if flush:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        temporary.replace(file)
    except OSError as error:
        # A write that fails (full disk) does not say where, and nobody knows the temporary.
        if error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(file), None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``, which takes its place when the block ends well.

    Its files are on the disk by then. Folders above it are made.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = temporary_beside(folder)
    try:
        half.mkdir()
        yield half
        for path in (*half.iterdir(), half):
            _settle(path)
        if folder.exists():
            _swap(half, folder)
        else:
            half.rename(folder)
        _settle(folder.parent)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _settle(path: Path) -> None:
    """Makes sure that a file or folder is on the disk and not only on its way there."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def read_json(path: Path, error: type[MofoError] = MofoError) -> Any:
    """The content of a JSON file; ``error`` if it cannot be read or is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise error(f"{path}: cannot be read: {first_line(problem)}") from None
    except (ValueError, RecursionError) as problem:
        raise error(f"{path}: is no JSON: {first_line(problem)}") from None


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all; its folder is made."""
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, flush=True) as part:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def first_line(error: Exception) -> str:
    """What went wrong, in one line."""
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:160]


def temporary_beside(file: Path, suffix: str = "") -> Path:
    """A new name beside ``file``; what is left of it when this process dies goes with the next one.

    ``file``: a file or folder that is to take its place.
    ``suffix``: ending of the name, for a writer that chooses the format by it.
    """
    if file.parent not in _tidied:  # what killed processes left goes when the next one comes
        _tidied.add(file.parent)
        remove_temporaries(file.parent)
    unique = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    return file.with_name(f".{file.name[:60]}-{unique}.tmp{suffix}")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder among the system's temporaries, for the block; killed processes' ones go."""
    folder = temporary_beside(Path(tempfile.gettempdir(), "mofo"))
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _swap(new: Path, old: Path) -> None:
    """Exchanges two folders at once (on Linux; elsewhere one after the other)."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename is None or rename(here, os.fsencode(new), here, os.fsencode(old), exchange):
        aside = temporary_beside(old)
        old.rename(aside)
        new.rename(old)
        aside.rename(new)


def remove_temporaries(folder: Path, *, alone: bool = False) -> int:
    """Removes what killed processes left in ``folder``, without what is below it; counts it.

    Args:
        alone: nobody else writes there now, so that every temporary is left over; else only those
            of dead processes of this machine are.
    """
    count = 0
    missing = (FileNotFoundError, NotADirectoryError, PermissionError)
    with contextlib.suppress(*missing), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name) if entry.name.startswith(".") else None
            if match and (alone or _is_dead(match)):
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        Path(entry.path).unlink()
                    count += 1
    return count


def is_temporary(path: Path) -> bool:
    """Whether a name is one that ``temporary_beside`` gives, on whichever machine."""
    return _TEMPORARY.fullmatch(path.name) is not None


def _is_dead(match: re.Match[str]) -> bool:
    """Whether it is known that the process that wrote a temporary is gone."""
    if match[1] != _machine():
        return False
    try:
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


@functools.cache
def _machine() -> str:
    """A name for what process numbers are unique in: the machine, or the container."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        space = ""
    name = f"{socket.gethostname()} {space}"
    return hashlib.blake2b(name.encode(), digest_size=4).hexdigest()


@contextlib.contextmanager
def folder_lock(folder: Path, part: str = "") -> Iterator[None]:
    """Holds a folder for writing, as a whole or one part of it beside other parts.

    The system releases the lock however a process ends. File systems without locks (some network
    mounts) give none; runs must then be kept apart by whoever starts them. ``part``: name of the
    part; empty for the whole folder.
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            whole = stack.enter_context(_opened(folder / ".lock"))
            _lock(whole, folder, exclusive=not part)
            if part:
                own = stack.enter_context(_opened(folder / f".lock-{part}"))
                _lock(own, folder, exclusive=True)
        yield


def _opened(file: Path) -> IO[str]:
    """For a lock; a link planted in its place is not followed."""
    return open(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "a")  # noqa: PTH123


def _lock(file: IO[str], folder: Path, *, exclusive: bool) -> None:
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise MofoError(
                f"{folder}: another mofo is writing to it: wait for it, or stop it first"
            ) from None


def csv_cell(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula; ``csv_text`` brings it back."""
    return f"'{text}" if text and text[0] in _FORMULAS and not _NUMBER.fullmatch(text) else text


def csv_text(cell: str) -> str:
    """The text of a cell that ``csv_cell`` made."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULAS else cell


_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")
