"""Stage: what the model says about unseen generated clips, and about real video."""

from __future__ import annotations

import json
from pathlib import Path

from mofo.clips.sources import MotionChoice
from mofo.datasets.catalog import Video
from mofo.demo.labelled_stage import ClipSet
from mofo.demo.stage import Found, Stage
from mofo.demo.training_stage import MOFO, finetuned
from mofo.demo.video_sources import Sources
from mofo.evaluation.predict import Prediction, VideoClassifier, load
from mofo.report.figures.annotated import write_annotated
from mofo.report.figures.attention import show_attention
from mofo.system.files import replaced
from mofo.types import MofoError

_VIEWS = (1, 1)
_WINDOW = 2.0  # seconds
_TOP = 3


def prediction_stage(out: Path, sources: Sources) -> Stage:
    """A test clip of each class, and all real videos: annotated mp4s, attention, JSON."""
    made, folder = ClipSet(out), out / "predictions"
    attention = out / "pictures" / "attention.png"
    table = folder / "predictions.json"

    def work() -> Found:
        model = load(finetuned(out, MOFO))
        folder.mkdir(parents=True, exist_ok=True)
        clips = one_of_each(made.test_videos())
        unseen = [_clip(model, made, video, folder) for video in clips]
        real = _real(model, out / "areas", sources, folder)
        # Attention is asked for from inside the area: without one there is none to be drawn.
        shown = max(zip(clips, unseen, strict=True), key=lambda p: (p[1]["moves"], p[1]["right"]))[
            0
        ]
        show_attention(finetuned(out, MOFO), shown.path, attention, areas=str(made.areas))
        found = {"unseen": unseen, "real": real}
        with replaced(table) as part:
            part.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return found

    def told(found: Found) -> list[str]:
        lines = ["unseen clips, the first of each class:"]
        lines += [
            f"  {row['label']:17} -> {row['said']:17} {100 * row['probability']:3.0f} %  "
            f"{'right' if row['right'] else 'wrong'}"
            for row in found["unseen"]
        ]
        if found["real"]:
            lines += [
                "real video. The model only knows the classes of the generated set, and answers",
                "with one of them, whatever it sees: read this as a picture of how it works, not",
                "as recognition.",
            ]
        for row in found["real"]:
            said = row.get("failed") or ", ".join(row["windows"])
            lines.append(f"  {row['name']}: {said}")
        return [
            *lines,
            f"annotated videos:        {folder}",
            f"what it looks at:        {attention}",
        ]

    return Stage(
        name="predictions",
        title="prediction",
        about=(
            "The model names what it sees, with probabilities; long videos in windows of "
            f"{_WINDOW:g} s.",
        ),
        made_with={"window": _WINDOW, "videos": [one.identity() for one in sources.videos]},
        work=work,
        told=told,
        files=(table, attention),
    )


def one_of_each(videos: list[Video]) -> list[Video]:
    """The first video of each class: chosen before anything is known about the answer."""
    first: dict[str | None, Video] = {}
    for video in videos:
        first.setdefault(video.label, video)
    return list(first.values())


def _clip(model: VideoClassifier, made: ClipSet, video: Video, folder: Path) -> Found:
    choice = model.choose_motion(str(made.areas))
    one = model.predict(video.path, views=_VIEWS, top=_TOP, areas=choice)
    area = model.area(video.path, choice)
    said = one.heads["label"][0]
    right = said.name == video.label
    target = folder / f"{video.label}-taken-for-{said.name}.mp4"
    for old in folder.glob(f"{video.label}-taken-for-*.mp4"):
        old.unlink()
    write_annotated(video.path, [one], target, area=area)
    return {
        "path": video.path,
        "label": video.label,
        "said": said.name,
        "probability": said.probability,
        "right": right,
        "moves": area is not None and bool(area.valid_T.any()),
    }


def _real(model: VideoClassifier, store: Path, sources: Sources, folder: Path) -> list[Found]:
    rows: list[Found] = []
    if not sources.videos:
        return rows
    choice = model.choose_motion(str(store))
    taken: set[str] = set()
    for one in sources.videos:
        name = Path(one.path).stem
        while name in taken:
            name += "_"
        taken.add(name)
        row: Found = {"name": one.name, "path": one.path}
        try:
            row["windows"] = _annotated(model, choice, one.path, folder / f"{name}.mp4")
        except MofoError as error:
            row["failed"] = str(error)
        rows.append(row)
    return rows


def _annotated(model: VideoClassifier, choice: MotionChoice, path: str, target: Path) -> list[str]:
    windows = list(
        model.windows(path, window=_WINDOW, hop=_WINDOW, top=_TOP, views=_VIEWS, areas=choice)
    )
    seen = [one for one in windows if isinstance(one, Prediction)]
    write_annotated(path, seen, target, area=model.area(path, choice))
    return [f"{one.when} {one.label}" for one in seen]
