"""Draws the rooms of the package from its imports: python docs/_site/rooms.py."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import matplotlib as mpl

import mofo

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "mofo"  # the same file for the same picture
SRC = Path(mofo.__file__).parent
OUT = Path(__file__).parents[1] / "images" / "rooms.svg"
CHAIN = (
    "system",
    "video",
    "datasets",
    "motion",
    "curation",
    "clips",
    "masking",
    "models",
    "training",
    "evaluation",
    "weights",
    "report",
    "commands",
)
ORANGE, GREY, RED = "#e66f00", "#777777", "#d00000"


def imports() -> Counter[tuple[str, str]]:
    """How often modules of one room import from another: (room, imported room)."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in SRC.rglob("*.py"):
        room = path.relative_to(SRC).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mofo."):
                counts[room, (node.module or "").split(".")[1]] += 1
    return counts


def sizes() -> dict[str, tuple[int, int]]:
    """Files and lines of each room."""
    files = {room: list((SRC / room).rglob("*.py")) for room in CHAIN}
    return {
        room: (
            sum(path.name != "__init__.py" for path in paths),
            sum(len(path.read_text().splitlines()) for path in paths),
        )
        for room, paths in files.items()
    }


def main() -> None:
    """A box for each room, an arc for each import. All go to the left; others would be red."""
    from matplotlib import pyplot as plt
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    counts = imports()
    figure, axes = plt.subplots(figsize=(15, 4.6))
    for place, (room, (files, lines)) in enumerate(sizes().items()):
        axes.add_patch(
            FancyBboxPatch(
                (place - 0.4, -0.3),
                0.8,
                0.6,
                boxstyle="round,pad=0.04",
                facecolor="#fff4e9",
                edgecolor=ORANGE,
            )
        )
        axes.text(place, 0.1, room, ha="center", va="center", fontsize=9.5, weight="bold")
        axes.text(
            place,
            -0.14,
            f"{files} files\n{lines:,} lines",
            ha="center",
            va="center",
            fontsize=7.5,
            color="#333333",
        )
    for (room, other), count in counts.items():
        if room == other or room not in CHAIN or other not in CHAIN:
            continue
        start, end = CHAIN.index(room), CHAIN.index(other)
        # Neighbours are joined below the boxes, rooms further apart above them.
        is_next = start - end == 1
        axes.add_patch(
            FancyArrowPatch(
                (start, -0.36 if is_next else 0.36),
                (end, -0.36 if is_next else 0.36),
                connectionstyle=f"arc3,rad={-0.5 if is_next else 0.38}",
                arrowstyle="-|>",
                mutation_scale=9,
                linewidth=0.4 + 0.25 * min(count, 12),
                color=RED if start < end else ORANGE if is_next else GREY,
                alpha=0.9 if is_next or start < end else 0.45,
            )
        )
    axes.set_xlim(-0.6, len(CHAIN) - 0.4)
    axes.set_ylim(-0.75, 2.6)
    axes.set_axis_off()
    figure.savefig(OUT, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
