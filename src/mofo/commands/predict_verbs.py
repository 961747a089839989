"""``mofo predict``: what videos show, as text, JSON and annotated videos."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from mofo.commands.verb import print_rows, verb

if TYPE_CHECKING:
    from mofo.datasets.catalog import Video
    from mofo.evaluation.predict import Prediction
    from mofo.types import VideoError

_BAR = 20  # letters
Files = dict[str, list["Prediction"]]
Failures = list[tuple[str, str]]


@verb("predict", calls="mofo.evaluation.predict:load", skip=("device", "checkpoint"))
def predict(
    call: Callable[..., Any],
    videos: list[str],
    *,
    encoder: str,
    top: int = 5,
    areas: str = "detected",
    views: tuple[int, int] | None = None,
    motion_crop: bool = False,
    window: float | None = None,
    hop: float | None = None,
    json: Path | None = None,
    annotate: Path | None = None,
) -> int:
    """Say what videos show, with probabilities; long ones by windows.

    Motion areas are found on the fly. Without --window a video is classified as a whole, by --views
    segments of time x crops. With it, each window is, a few seconds at a time.

    Args:
        encoder: fine-tuned model: a checkpoint, or a run: then its best one.
        videos: video files, folders, patterns, CSV lists.
        top: classes of each.
        areas: motion areas: codec, dis, none, or a store's folder (default: as in training).
        views: segments of time x crops (2x3; of a window: 1x1).
        motion_crop: one more crop of each segment, around what moves; with --views 2x0 the only
            one.
        keep_by: which tokens, where not all are computed: {masking.TOKEN_CHOICES}.
        window: slide over each video in windows of so many seconds.
        hop: seconds from one window to the next (half a window).
        json: write all as JSON; -: to stdout, and nothing else there.
        annotate: folder for each video with area, classes, probabilities.

    Files that cannot be read are named, and the others done; the exit code is then 1.

    examples:
      mofo predict --encoder runs/fine clip.mp4
      mofo predict --encoder runs/fine match.mp4 --window 4 --hop 2 --json seen.json
    """
    from mofo.evaluation.predict import WINDOW_VIEWS
    from mofo.evaluation.scoring import SPATIAL, TEMPORAL
    from mofo.types import SettingsError, VideoError

    if hop is not None and window is None:
        raise SettingsError("--hop is from one window to the next: give --window, too")
    model = call(checkpoint=encoder)
    choice = model.choose_motion(areas, motion_crop)
    options = {"top": top, "areas": choice, "motion_crop": motion_crop}
    options["views"] = views or ((TEMPORAL, SPATIAL) if window is None else WINDOW_VIEWS)
    quiet = json is not None and str(json) == "-"
    show: Callable[[str], Any] = (lambda text: None) if quiet else print
    show(f"motion areas: {choice}")
    results: Files = {}
    annotated: set[str] = set()
    segments, failures = _segments(videos)
    for path, rows in segments.items():
        show(f"\n{path}")
        predictions: list[Prediction] = []
        try:
            for prediction in _of_file(model, rows, window, hop, options):
                if isinstance(prediction, VideoError):
                    failures.append((prediction.path, prediction.reason))
                else:
                    predictions.append(prediction)
                    show(_text(prediction))
            if annotate and predictions:
                from mofo.report.figures.annotated import write_annotated

                target = _target(annotate, rows[0], annotated)
                write_annotated(path, predictions, target, area=model.area(path, choice))
                show(f"  {target}")
        except VideoError as error:
            failures.append((error.path, error.reason))
        if predictions:
            results[path] = predictions
    if json:
        _write_json(json, str(model.saved.checkpoint.path), str(choice), results, failures)
    print_rows("failed", failures)
    if json and not quiet:
        print(f"  {json}")
    show(f"next: mofo show attention --encoder {quote(encoder)} VIDEO --out attention.png")
    return 1 if failures else 0


def _segments(sources: list[str]) -> tuple[dict[str, list[Video]], Failures]:
    """Rows of each file of all sources that are there; a file may have several segments."""
    from mofo.datasets.catalog import read_catalog
    from mofo.types import MofoError

    present, failures = [], []
    for source in sources:
        try:
            read_catalog([source])
            present.append(source)
        except MofoError as error:
            if len(sources) == 1:
                raise
            name, _, reason = str(error).partition(": ")
            failures.append((name, reason))
    files: dict[str, list[Video]] = {}
    if present:
        catalog = read_catalog(present)
        failures += catalog.problems
        for row in catalog.videos:
            files.setdefault(row.path, []).append(row)
    return files, failures


def _of_file(
    model: Any, rows: list[Video], window: float | None, hop: float | None, options: dict[str, Any]
) -> Iterator[Prediction | VideoError]:
    """Predictions of one file: of its windows, its listed segments, or the whole."""
    from mofo.types import VideoError

    path = rows[0].path
    if window is not None:
        yield from model.windows(path, window=window, hop=hop, **options)
        return
    for start, end in dict.fromkeys((row.start, row.end) for row in rows):
        try:
            yield model.predict(path, start=start, end=end, **options)
        except VideoError as error:
            yield error


def _text(prediction: Prediction) -> str:
    """A window or segment is a line; a whole video has one for each class."""
    several = len(prediction.heads) > 1
    if prediction.start is not None or prediction.end is not None:
        classes = [
            f"{score.name} {100 * score.probability:.1f} %"
            for scores in prediction.heads.values()
            for score in scores[: 1 if several else 3]
        ]
        return f"  {prediction.when:>18}  {', '.join(classes)}"
    lines = []
    for head, scores in prediction.heads.items():
        lines += [f"  {head}:"] if several else []
        width = max(len(score.name) for score in scores)
        lines += [
            f"  {score.name:{width}}  {100 * score.probability:5.1f} %  "
            f"{'█' * round(_BAR * score.probability)}".rstrip()
            for score in scores
        ]
    return "\n".join(lines)


def _target(folder: Path, video: Video, used: set[str]) -> Path:
    """Where the annotated video goes: never over the video itself, nor over another's."""
    name = video.key.removesuffix(".mp4")
    while name in used:
        name += "_"
    used.add(name)
    target = folder / f"{name}.mp4"
    if target.absolute() == Path(video.path):
        target = target.with_name(f"{target.stem}_annotated.mp4")
    return target


def _write_json(
    file: Path, checkpoint: str, areas: str, results: Files, failures: Failures
) -> None:
    from mofo.report.figures.layout import make_folder
    from mofo.system.files import replaced

    content = {
        "checkpoint": checkpoint,
        "areas": areas,
        "videos": [
            {"path": path, "predictions": [_plain(prediction) for prediction in predictions]}
            for path, predictions in results.items()
        ],
        "failures": [{"path": path, "reason": reason} for path, reason in failures],
    }
    text = json_format.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if str(file) == "-":
        sys.stdout.write(text)
        return
    make_folder(file)
    with replaced(file) as part:
        part.write_text(text, encoding="utf-8")


def _plain(prediction: Prediction) -> dict[str, Any]:
    heads = {
        head: [{"class": score.name, "probability": score.probability} for score in scores]
        for head, scores in prediction.heads.items()
    }
    return {"start": prediction.start, "end": prediction.end, "heads": heads}
