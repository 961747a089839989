"""Say what videos show: the likeliest classes with probabilities, from a fine-tuned model.

Motion areas are found on the fly. Long videos: --window slides over them, a few seconds at a time.
CHECKPOINT is a checkpoint's folder, or that of a run: then its best one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mofo.clips.sources import MotionChoice
    from mofo.datasets.catalog import Video
    from mofo.evaluation.predict import Prediction, Recogniser
    from mofo.types import VideoError

EPILOG = """\
Without --window a video is judged as a whole: by --views stretches of time x crops. With it, each
window is. Files that cannot be read are named, and the others done; the exit code is then 1.

examples:
  mofo predict runs/fine clip.mp4
  mofo predict runs/fine match.mp4 --window 4 --hop 2 --json seen.json
"""
_BAR = 20  # letters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo predict`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="its folder, or that of a run: then the best")
    add("videos", nargs="+", metavar="VIDEO", help="video files, folders, patterns, CSV lists")
    add("--top", type=int, default=5, metavar="N", help="classes of each (5)")
    add(
        "--areas", default="detected", metavar="WHAT",
        help="motion areas: codec, dis, none, or a store's folder (default: as in training)",
    )  # fmt: skip
    add("--views", metavar="TxS", help="stretches of time x crops (2x3; of a window: 1x1)")
    add("--window", type=float, metavar="S", help="slide over each video in windows of S seconds")
    add("--hop", type=float, metavar="S", help="from one window to the next (half a window)")
    add("--precision", default="auto", metavar="P", help="fp32, bf16 or auto: bf16 on a GPU (auto)")
    add("--json", metavar="FILE", help="write all as JSON; -: to stdout, and nothing else there")
    add("--annotate", metavar="DIR", help="write each video with area, classes, probabilities")


def run(args: argparse.Namespace) -> int:
    """Predict; 0 when every video is done, 1 when any failed."""
    from mofo.clips.view_clips import parse_views
    from mofo.evaluation.predict import WINDOW_VIEWS, load
    from mofo.evaluation.views import SPATIAL, TEMPORAL
    from mofo.types import SettingsError

    if args.hop is not None and args.window is None:
        raise SettingsError("--hop is from one window to the next: give --window, too")
    usual = (TEMPORAL, SPATIAL) if args.window is None else WINDOW_VIEWS
    args.views = parse_views(args.views) if args.views else usual
    recogniser = load(args.checkpoint, precision=args.precision)
    choice = recogniser.choose_motion(args.areas)
    say: Callable[[str], Any] = print if args.json != "-" else lambda text: None
    say(f"motion areas: {choice}")
    found, failures = _all(args, recogniser, choice, say)
    if args.json:
        _write_json(args, recogniser, str(choice), found, failures)
    if failures:
        print(f"failed ({len(failures)}):", file=sys.stderr)
        for name, reason in failures:
            print(f"  {name}: {reason}", file=sys.stderr)
    if args.json and args.json != "-":
        print(f"  {args.json}")
    say(f"next: mofo show attention {quote(str(args.checkpoint))} VIDEO --out attention.png")
    return 1 if failures else 0


Found = list[tuple[str, list["Prediction"]]]


def _all(
    args: argparse.Namespace,
    recogniser: Recogniser,
    choice: MotionChoice,
    say: Callable[[str], Any],
) -> tuple[Found, list[tuple[str, str]]]:
    """Predictions of each video; what failed, with reasons."""
    from mofo.types import VideoError

    videos, failures = _listed(args.videos)
    rows: dict[str, list[Video]] = {}  # a file may be listed with several stretches
    for row in videos:
        rows.setdefault(row.path, []).append(row)
    found: Found = []
    taken: set[str] = set()
    for several in rows.values():
        video = several[0]
        say(f"\n{video.path}")
        predictions: list[Prediction] = []
        try:
            for one in _of(args, recogniser, choice, several):
                if isinstance(one, VideoError):
                    failures.append((one.path, one.reason))
                    continue
                predictions.append(one)
                say(_text(one))
            if args.annotate and predictions:
                say(f"  {_annotated(args, recogniser, choice, video, predictions, taken)}")
        except VideoError as error:
            failures.append((error.path, error.reason))
        if predictions:
            found.append((video.path, predictions))
    return found, failures


def _listed(sources: list[str]) -> tuple[tuple[Video, ...], list[tuple[str, str]]]:
    """The videos of all sources that are there."""
    from mofo.datasets.catalog import read_catalog
    from mofo.types import MofoError

    there, failures = [], []
    for source in sources:
        try:
            read_catalog([source])
            there.append(source)
        except MofoError as error:
            if len(sources) == 1:
                raise
            name, _, reason = str(error).partition(": ")
            failures.append((name, reason))
    if not there:
        return (), failures
    catalog = read_catalog(there)
    return tuple(catalog.videos), [*failures, *catalog.problems]


def _of(
    args: argparse.Namespace, recogniser: Recogniser, choice: MotionChoice, rows: list[Video]
) -> Iterator[Prediction | VideoError]:
    """Predictions of one file: of its windows, its listed stretches, or the whole."""
    how = {"top": args.top, "views": args.views, "areas": choice}
    path = rows[0].path
    if args.window is not None:
        yield from recogniser.windows(path, window=args.window, hop=args.hop, **how)
        return
    from mofo.types import VideoError

    for start, end in dict.fromkeys((row.start, row.end) for row in rows):
        try:
            yield recogniser.predict(path, start=start, end=end, **how)
        except VideoError as error:
            yield error


def _text(one: Prediction) -> str:
    """A window or stretch is a line; a whole video has one for each class."""
    several = len(one.heads) > 1
    if one.start is not None or one.end is not None:
        guesses = [
            f"{guess.name} {100 * guess.probability:.1f} %"
            for found in one.heads.values()
            for guess in found[: 1 if several else 3]
        ]
        return f"  {one.when:>18}  {', '.join(guesses)}"
    lines = []
    for head, found in one.heads.items():
        lines += [f"  {head}:"] if several else []
        width = max(len(guess.name) for guess in found)
        lines += [
            f"  {guess.name:{width}}  {100 * guess.probability:5.1f} %  "
            f"{'█' * round(_BAR * guess.probability)}".rstrip()
            for guess in found
        ]
    return "\n".join(lines)


def _annotated(
    args: argparse.Namespace,
    recogniser: Recogniser,
    choice: MotionChoice,
    video: Video,
    predictions: list[Prediction],
    taken: set[str],
) -> Path:
    from mofo.report.annotated import write_annotated

    name = video.key.removesuffix(".mp4")
    while name in taken:
        name += "_"
    taken.add(name)
    target = Path(args.annotate) / f"{name}.mp4"
    if target.absolute() == Path(video.path):
        target = target.with_name(f"{target.stem}_annotated.mp4")  # never over the video itself
    write_annotated(video.path, predictions, target, area=recogniser.area(video.path, choice))
    return target


def _write_json(
    args: argparse.Namespace,
    recogniser: Recogniser,
    areas: str,
    found: Found,
    failures: list[tuple[str, str]],
) -> None:
    from mofo.report.sheet import make_folder
    from mofo.system.files import replaced

    content = {
        "checkpoint": str(recogniser.saved.checkpoint.path),
        "areas": areas,
        "videos": [
            {
                "path": path,
                "predictions": [
                    {
                        "start": one.start,
                        "end": one.end,
                        "heads": {
                            head: [
                                {"class": guess.name, "probability": guess.probability}
                                for guess in guesses
                            ]
                            for head, guesses in one.heads.items()
                        },
                    }
                    for one in predictions
                ],
            }
            for path, predictions in found
        ],
        "failures": [{"path": path, "reason": reason} for path, reason in failures],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if args.json == "-":
        sys.stdout.write(text)
        return
    make_folder(args.json)
    with replaced(Path(args.json)) as part:
        part.write_text(text, encoding="utf-8")
