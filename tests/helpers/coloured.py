"""Labelled videos that are told apart by their colour, in which a square moves."""

from pathlib import Path

import numpy as np

from mofo.video.writer import VideoWriter

COLOURS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (200, 40, 50)}


def write_coloured(
    path: Path, colour: str, seed: int, *, frames: int = 12, size: tuple[int, int] = (64, 48)
) -> None:
    """A square of another brightness crosses a background of the colour."""
    width, height = size
    rng = np.random.default_rng(seed)
    texture = rng.integers(-25, 26, (height, width, 1))
    ground = np.clip(np.array(COLOURS[colour]) + texture, 0, 255).astype(np.uint8)
    square = np.clip(rng.integers(90, 200) + rng.integers(-60, 61, (16, 16, 3)), 0, 255)
    top, side = int(rng.integers(0, height - 16)), int(rng.integers(0, 2))
    with VideoWriter(path, fps=12) as writer:
        for t in range(frames):
            frame = ground.copy()
            left = round((width - 16) * (t / max(1, frames - 1)))
            left = width - 16 - left if side else left
            frame[top : top + 16, left : left + 16] = square
            writer.write(frame)


def write_set(folder: Path, train: int = 4, validation: int = 2, **options: object) -> Path:
    """So many videos of each colour, and ``list.csv`` beside them, with splits."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,label,split"]
    for k in range(train + validation):
        for number, colour in enumerate(COLOURS):
            name = f"{colour}{k}.mp4"
            write_coloured(folder / name, colour, 10 * k + number, **options)
            rows.append(f"{name},{colour},{'train' if k < train else 'validation'}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder / "list.csv"


def rows_of(table: Path) -> list[list[str]]:
    """Rows of a list, without its header, with whole paths."""
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    return [[str(table.parent / row[0]), *row[1:]] for row in rows]


def write_rows(path: Path, rows: list[list[str]], header: str = "path,label,split") -> Path:
    """A list of rows."""
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path
