"""Tar shards, and small videos for them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import fsspec
import numpy as np


def moving(path: Path, seed: int = 0, frames: int = 8) -> Path:
    """A textured block that moves over a still ground."""
    rng = np.random.default_rng(seed)
    ground_HW3 = rng.integers(60, 120, (64, 96, 3), dtype=np.uint8)
    block_HW3 = rng.integers(120, 235, (24, 24, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {".avi": "mpeg4", ".webm": "libvpx"}.get(path.suffix, "libx264")
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"g": "4"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in range(frames):
            image_HW3 = ground_HW3.copy()
            left = 4 + (2 + seed % 3) * frame
            image_HW3[20:44, left : left + 24] = block_HW3
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image_HW3, format="rgb24")))
        container.mux(stream.encode())
    return path


def folder_of(root: Path, names: Sequence[str]) -> Path:
    """Videos, no two the same."""
    for seed, name in enumerate(names):
        moving(root / name, seed)
    return root


def tar(path: Path, members: Mapping[str, bytes | str | Path]) -> Path:
    """A tar file of these members, or of the files that are named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as out:
        for name, content in members.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            data = data.encode() if isinstance(data, str) else data
            about = tarfile.TarInfo(name)
            about.size = len(data)
            out.addfile(about, io.BytesIO(data))
    return path


def shards_of(folder: Path, root: Path, count: int) -> Path:
    """The videos of a folder in so many shards, by turns."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for number in range(count):
        few = {str(file.relative_to(folder)): file for file in files[number::count]}
        tar(root / f"part-{number}.tar", few)
    return root


def in_memory(folder: Path, name: str) -> str:
    """Puts a folder into fsspec's memory, as into an object store; its URL."""
    system = fsspec.filesystem("memory")
    for file in folder.rglob("*"):
        if file.is_file():
            system.pipe_file(f"/{name}/{file.relative_to(folder)}", file.read_bytes())
    return f"memory://{name}"
