"""Stage: motion areas of real videos."""

from __future__ import annotations

from pathlib import Path

from mofo.demo.stage import Found, Stage
from mofo.demo.video_sources import INSTALL, Sources
from mofo.motion.detect import detect_many
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.report.figures.masks import show_masks
from mofo.report.figures.overlays import OVERLAYS
from mofo.report.figures.stages import write_stages
from mofo.types import MofoError


def area_stage(out: Path, sources: Sources, progress: bool) -> Stage:
    """Where things move in the real clips and the given videos; overlays and two pictures."""
    store, pictures = out / "areas", out / "pictures"
    paths = [one.path for one in sources.videos]

    def work() -> Found:
        if not paths:
            return {"rows": [], "failures": []}
        # Alone in a process of its own, a broken file takes nothing along.
        report = detect_many(paths, store, draw=OVERLAYS, progress=progress)
        pictures.mkdir(parents=True, exist_ok=True)
        notes = []
        try:
            write_stages(sources.shown, DetectSettings(), pictures / "motion.png")
            show_masks(sources.shown, pictures / "masks.png", strategies=("tube", "motion"))
        except MofoError as error:  # a picture is not worth a demonstration
            notes.append(str(error))
        return {
            "rows": _rows(store, sources),
            "failures": [list(each) for each in report.failures],
            "warnings": [list(each) for each in report.warnings],
            "notes": notes,
        }

    def told(found: Found) -> list[str]:
        lines = [f"left out: {name}: {reason}" for name, reason in sources.left_out]
        lines += [f"failed: {name}: {reason}" for name, reason in found["failures"]]
        lines += [f"warning: {name}: {text}" for name, text in found.get("warnings", ())]
        lines += [f"not drawn: {text}" for text in found.get("notes", ())]
        if not paths:
            return [*lines, f"no real video is here: {INSTALL}; or give some with --videos"]
        lines += [
            f"{row['name']}: {row['about']}: {row['frames']} frames, motion in "
            f"{100 * row['moving']:.0f} % of them, {row['shots']} shot"
            f"{'s' if row['shots'] != 1 else ''}, area {100 * row['share']:.0f} % of the frame"
            for row in found["rows"]
        ]
        return [
            *lines,
            f"overlays:                {store / 'overlays'}",
            f"frame, flow, map, area:  {pictures / 'motion.png'}",
            f"what masks hide:         {pictures / 'masks.png'}",
        ]

    return Stage(
        name="areas",
        title="motion areas of real videos",
        about=(
            "Where do things move, whatever the camera does? Optical flow, minus the camera's own",
            "motion, gives a box for each frame; no labels and no training are needed.",
        ),
        made_with={"videos": [one.identity() for one in sources.videos]},
        work=work,
        told=told,
        files=(store / "areas", pictures / "motion.png") if paths else (),
    )


def _rows(folder: Path, sources: Sources) -> list[Found]:
    rows = []
    with AreaStore.open(folder) as store:
        for one in sources.videos:
            try:
                area = store[store.find(one.path)]
            except MofoError:
                continue  # told as a failure
            sides_T2 = area.box_T4[:, 2:] - area.box_T4[:, :2]
            share_T = sides_T2.prod(1)[area.valid_T] / (area.width * area.height)
            rows.append(
                {
                    "name": one.name,
                    "about": one.about,
                    "frames": len(area),
                    "moving": float(area.valid_T.mean()),
                    "shots": len(area.cuts) + 1,
                    "share": float(share_T.mean()) if len(share_T) else 0.0,
                }
            )
    return rows
