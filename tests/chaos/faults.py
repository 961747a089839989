"""Kinds of faults: each is a class that says what it does inside the process, or to it."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from helpers.forked import processes_of

FAULTS: dict[str, type[Fault]] = {}
_ENDINGS = (".json", ".npz", ".csv", ".parquet", "-scores.parquet", ".pth", ".png", ".mp4", ".html")
_WRITES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}


class Fault:
    """A fault; the methods do nothing unless a kind says so.

    Args:
        draw: chooses what is left open.
        operations, seconds: of the undisturbed run.

    Attributes:
        name, share: of the kind; how often it is drawn.
        kills: the process cannot say anything.
        needs: word in the names of the verbs that it is for.
        note: what was drawn.
    """

    name: ClassVar[str]
    share: ClassVar[float] = 1
    kills: ClassVar[bool] = False
    needs: ClassVar[str] = ""
    note = ""

    def __init__(self, draw: random.Random, operations: int, seconds: float) -> None:
        self.draw, self.operations, self.seconds = draw, max(operations, 1), seconds

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            FAULTS[cls.name] = cls

    def before(self, folder: Path) -> None:
        """To the place, before the command."""

    def inside(self, folder: Path) -> None:
        """In the process, before the command."""

    def during(self, pid: int, passed: float) -> None:
        """To the process, again and again."""

    def after(self, folder: Path) -> None:
        """The fault goes away."""


def on_operations(folder: Path, act: Callable[[int, Any], None]) -> None:
    """Calls ``act(number, path)`` before each operation that changes files below a folder."""
    count, below = 0, str(folder)

    def note(path: Any) -> None:
        nonlocal count
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else below
        if not text.startswith("/") or text.startswith(below):
            count += 1
            act(count, path)

    def hook(event: str, words: tuple[Any, ...]) -> None:
        if event in _WRITES or (event == "open" and (words[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
            note(words[0])

    sys.addaudithook(hook)
    flush = os.fsync

    def fsync(number: Any) -> None:
        note(number)
        flush(number)

    os.fsync = fsync


class KilledAtOperation(Fault):
    """SIGKILL before the n-th operation on files."""

    name, share, kills = "killed at a file operation", 6, True

    def inside(self, folder: Path) -> None:
        chosen = self.draw.randint(1, self.operations)
        self.note = f"operation {chosen} of {self.operations}"

        def act(number: int, path: Any) -> None:
            if number == chosen:
                os.kill(os.getpid(), signal.SIGKILL)

        on_operations(folder, act)


class KilledAtMoment(Fault):
    """SIGKILL at some moment."""

    name, share, kills = "killed at a random moment", 3, True
    number = signal.SIGKILL
    sent = False

    def during(self, pid: int, passed: float) -> None:
        self.note = self.note or f"{self.draw.random():.2f} of the time"
        if not self.sent and passed >= float(self.note.split()[0]) * self.seconds:
            self.sent = True
            os.kill(pid, self.number)


class Interrupted(KilledAtMoment):
    """Ctrl-C."""

    name, share, kills = "SIGINT", 2, False
    number = signal.SIGINT


class Terminated(KilledAtMoment):
    """What batch systems send."""

    name, share, kills = "SIGTERM", 2, False
    number = signal.SIGTERM


class FailingOperation(Fault):
    """The n-th operation on files fails, and all that follow."""

    name, share = "file operation fails", 4

    def inside(self, folder: Path) -> None:
        chosen = self.draw.randint(1, self.operations)
        code = self.draw.choice([errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT])
        self.note = f"operation {chosen} of {self.operations}: {os.strerror(code)}"

        def act(number: int, path: Any) -> None:
            if number >= chosen:
                raise OSError(code, os.strerror(code), None if isinstance(path, int) else path)

        on_operations(folder, act)


class FullDisk(Fault):
    """A disk with so many bytes; needs the right to mount one."""

    name, share = "full disk", 3

    def before(self, folder: Path) -> None:
        held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        room = held + 4096 * int(2 ** self.draw.uniform(3, 8))
        self.note = f"{room >> 10} kB"
        inner = folder.with_name("held")
        shutil.copytree(folder, inner)
        mount(folder, room)
        shutil.copytree(inner, folder, dirs_exist_ok=True)
        shutil.rmtree(inner)

    def after(self, folder: Path) -> None:
        mount(folder, 1 << 30, remount=True)


class LimitedFiles(Fault):
    """No file above a size: the end of a disk in the middle of any write."""

    name, share = "files end early", 3

    def inside(self, folder: Path) -> None:
        size = int(2 ** self.draw.uniform(5, 15))
        self.note = f"{size} bytes"
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class LittleSharedMemory(Fault):
    """Docker's default is 64 MB; here it is less than a batch."""

    name, share, needs = "tiny shared memory", 2, "workers 2"

    def before(self, folder: Path) -> None:
        mount(Path("/dev/shm"), 4096)


class FewDescriptors(Fault):
    """``ulimit -n``."""

    name = "few descriptors"

    def inside(self, folder: Path) -> None:
        count = self.draw.randint(5, 24)
        self.note = f"{count}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


class WorkerKilled(Fault):
    """SIGKILL to one of its processes."""

    name, share, needs = "worker killed", 6, "workers 2"
    sent = False

    def during(self, pid: int, passed: float) -> None:
        self.note = self.note or f"{self.draw.random():.2f} of the time"
        if not self.sent and passed >= float(self.note.split()[0]) * self.seconds:
            workers = [other for other in processes_of(pid) if other != pid]
            if workers:
                self.sent = True
                os.kill(self.draw.choice(workers), signal.SIGKILL)


class TwoAtOnce(Fault):
    """The same command twice in the same folder; ``scenario`` starts the other."""

    name, share = "two at once", 2


class Streams(Fault):
    """Output that cannot be written, or only as ASCII."""

    name, share = "hostile streams", 2

    def inside(self, folder: Path) -> None:
        kind = self.draw.choice(["closed stdout", "closed stderr", "all closed", "full", "ascii"])
        self.note = kind
        if kind == "ascii":
            sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), "ascii")
            sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), "ascii")
        elif kind == "full":
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, 1)
        else:
            for number in {"closed stdout": [1], "closed stderr": [2]}.get(kind, [0, 1, 2]):
                os.close(number)
            sys.stdout = None if kind != "closed stderr" else sys.stdout
            sys.stderr = None if kind != "closed stdout" else sys.stderr


class Place(Fault):
    """Where it works: the folder is gone, or the results are to lie below a file."""

    name = "hostile place"

    def inside(self, folder: Path) -> None:
        self.note = self.draw.choice(["folder gone", "out below a file", "link in a circle"])
        if self.note == "folder gone":
            (folder / "gone").mkdir()
            os.chdir(folder / "gone")
            (folder / "gone").rmdir()
            return
        for name in ("out", *(f"out{ending}" for ending in _ENDINGS)):
            place = folder / name
            if place.exists():
                place.rename(folder / f"held-{name}")
            if self.note == "out below a file":
                place.write_text("precious")
            else:
                place.symlink_to(name)

    def after(self, folder: Path) -> None:
        if self.note == "folder gone":
            return
        for place in folder.glob("out*"):
            place.unlink()
        for place in folder.glob("held-*"):
            place.rename(folder / place.name.removeprefix("held-"))


class Damaged(Fault):
    """A file of the results that are there already is damaged."""

    name, share = "damaged results", 4

    def before(self, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
        if not files:
            self.note = "none"
            return
        file = self.draw.choice(files)
        data = bytearray(file.read_bytes())
        kind = self.draw.choice(["bit flipped", "cut", "empty", "zeros", "gone", "random"])
        place = self.draw.randrange(len(data))
        if kind == "bit flipped":
            data[place] ^= 1 << self.draw.randrange(8)
        elif kind == "zeros":
            data[place:] = bytes(len(data) - place)
        elif kind == "random":
            data[place : place + 64] = self.draw.randbytes(len(data[place : place + 64]))
        file.write_bytes(data[: place if kind == "cut" else 0 if kind == "empty" else len(data)])
        if kind == "gone":
            file.unlink()
        self.note = f"{file.relative_to(folder)}: {kind}"


def mount(place: Path, size: int, *, remount: bool = False) -> None:
    """A disk of its own for this process and its children. Raises PermissionError."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, recursive_private, remounted = 0x20000, 0x44000, 32
    steps: list[tuple[Any, ...]] = [
        (libc.mount, b"tmpfs", bytes(place), b"tmpfs", remounted * remount, f"size={size}".encode())
    ]
    if not remount:
        steps[:0] = [
            (libc.unshare, new_namespace),
            (libc.mount, b"none", b"/", None, recursive_private, None),
        ]
    for call, *words in steps:
        if call(*words):
            raise PermissionError(ctypes.get_errno(), "cannot mount a disk of its own")
