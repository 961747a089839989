"""One run at a time: a lock on a store that the system releases however a process ends."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mofo.types import StoreError

try:
    import fcntl
except ImportError:  # Windows: runs are not kept apart there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def store_lock(folder: Path, shard: tuple[int, int] | None) -> Iterator[None]:
    """Hold the store for writing: the whole of it, or one shard beside other shards.

    File systems without locks (some network mounts) give none; runs must then be kept apart by
    whoever starts them.

    Raises:
        StoreError: another process is writing.
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            whole = stack.enter_context((folder / ".lock").open("a"))
            _take(whole, folder, exclusive=shard is None)
            if shard is not None:
                name = f".lock-{shard[0]:05d}-of-{shard[1]:05d}"
                own = stack.enter_context((folder / name).open("a"))
                _take(own, folder, exclusive=True)
        yield


def _take(file: IO[str], folder: Path, *, exclusive: bool) -> None:
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise StoreError(
                f"{folder}: another mofo is writing to this store: wait for it, or stop it first"
            ) from None
