"""The motion-actions set: how fast it is made, and whether it can be solved without motion.

    mofo data synth --level easy --clips 6000 --size 64 --out actions-easy
    mofo data synth --level hard --clips 12000 --size 64 --out actions-hard
    python benchmarks/actions.py actions-easy actions-hard --picture docs/images/motion-actions.png

Speed is of one thread, CPU time, 16x112x112, before encoding. Controls are fitted to the training
split and judged on validation and test together, whose textures and backgrounds are others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from areas import provenance, write_json
from generated.pairs import families, opposites
from mofo.datasets.catalog import Video, read_catalog
from mofo.motion.store import AreaStore
from mofo.synth.actions.levels import LEVELS
from mofo.synth.actions.scene import ActionRecipe, make_action_clip
from mofo.system.files import replaced
from mofo.types import hull
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter
from shortcuts import (
    METHODS,
    Control,
    LabelledClips,
    frames_of_pairs,
    single_frame,
    union_boxes,
)

KINDS = ("single", "shuffled", "ordered", "boxes")


def speed(level: str, clips: int, size: int = 112) -> float:
    """Clips a second of CPU time, without encoding, after textures have been cut once."""
    names = LEVELS[level].classes

    def make(first: int) -> float:
        begin = time.process_time()
        for i in range(first, first + clips):
            name = names[i % len(names)]
            make_action_clip(
                ActionRecipe(label=name, level=level, split="test", seed=(1, i), size=size)
            )
        return clips / (time.process_time() - begin)

    make(0)
    return make(clips)


def read(videos: list[Video], names: tuple[str, ...], side: int) -> LabelledClips:
    frames = []
    for video in tqdm(videos, unit="clip", leave=False):
        with VideoReader(video.path, colour="rgb", size=(side, side)) as reader:
            frames.append(np.stack([frame.image for frame in reader]))
    label_V = np.array([names.index(str(video.label)) for video in videos])
    return LabelledClips(
        np.stack(frames), label_V, np.array([video.split == "train" for video in videos])
    )


def controls(folder: Path, kinds: list[str], methods: list[str]) -> tuple[dict, list[Control]]:
    """What is in ``about.json``, and the controls of these kinds by these methods."""
    about = json.loads((folder / "about.json").read_text())
    names = LEVELS[about["level"]].classes
    videos = list(read_catalog([folder / "videos.csv"]).videos)
    clips = read(videos, names, min(32, about["size"]))
    frames = clips.video_VTHWC.shape[1]
    found: list[Control] = []
    for family, members in families(names).items() if "single" in kinds else ():
        some = clips.of([names.index(name) for name in members])
        for what, frame in (("first", 0), ("middle", frames // 2), ("last", frames - 1)):
            classes = f"{family}: {len(members)} classes"
            found += single_frame(some, frame, f"{what} frame", classes, methods=methods)
            show(found[-len(methods) :])
    pairs = [(names.index(a), names.index(b)) for a, b in opposites(names)]
    for kind, chosen in (("shuffled", methods), ("ordered", ["network"])):
        for method in chosen if kind in kinds else ():
            ordered = kind == "ordered"
            found += frames_of_pairs(clips, pairs, names, ordered=ordered, methods=[method])
            show(found[-len(pairs) - 1 :])
    if "boxes" not in kinds:
        return about, found
    store = AreaStore.open(folder / "areas")
    side = about["size"]
    unions = {key: hull(box_T4[valid_T]).box_4 for key, box_T4, valid_T in store.boxes()}
    box_V4 = np.stack([unions[video.key] / side for video in videos])
    found += union_boxes(box_V4, clips.label_V, clips.train_V, pairs, names)
    show(found[-len(pairs) - 2 :])
    return about, found


def one_pair(level: str, pair: list[str], clips: int, seed: int, size: int = 64) -> list[Control]:
    """The network on shuffled frames of two opposites alone: as drawn, and read back from files.

    Two thirds of the clips are for training. Where a leak is feared, this is what finds it, and
    tells whether it is the codec's.
    """
    drawn, coded = [], []
    train_V = np.arange(clips) < clips * 2 // 3
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        for i in tqdm(range(clips), unit="clip", leave=False):
            split = "train" if train_V[i] else ("validation", "test")[i // 2 % 2]
            clip = make_action_clip(
                ActionRecipe(label=pair[i % 2], level=level, split=split, seed=(3, i), size=size)
            )
            small = [
                cv2.resize(frame_HW3, (32, 32), interpolation=cv2.INTER_AREA)
                for frame_HW3 in clip.video_THW3
            ]
            drawn.append(np.stack(small))
            with VideoWriter(file, fps=clip.recipe.fps, crf=clip.crf) as writer:
                for frame_HW3 in clip.video_THW3:
                    writer.write(frame_HW3)
            with VideoReader(file, colour="rgb", size=(32, 32)) as reader:
                coded.append(np.stack([frame.image for frame in reader]))
    found = []
    for what, video in (("as drawn", drawn), ("from files", coded)):
        some = LabelledClips(np.stack(video), np.arange(clips) % 2, train_V)
        judged = frames_of_pairs(
            some, [(0, 1)], pair, ordered=False, methods=["network"], seed=seed
        )[0]
        found.append(replace(judged, what=f"shuffled frames, {what}"))
        show(found[-1:])
    return found


def picture(file: Path, level: str, clips: int, size: int, shown: int) -> None:
    """A contact sheet: ``clips`` strips of each class, ``shown`` frames each, boxes in yellow."""
    names = LEVELS[level].classes
    strips = []
    for name, i in ((name, i) for name in names for i in range(clips)):
        seed = (2, names.index(name), i)
        clip = make_action_clip(
            ActionRecipe(label=name, level=level, split="train", seed=seed, size=size)
        )
        boxes = clip.boxes()
        title_HW3 = np.full((size, 116, 3), 255, np.uint8)
        place = (4, size // 2 + 4)
        cv2.putText(title_HW3, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 0, 1, cv2.LINE_AA)
        cells = [title_HW3]
        for t in np.linspace(0, len(boxes) - 1, shown).round().astype(int):
            frame_HW3 = clip.video_THW3[t].copy()
            for x1, y1, x2, y2 in boxes[t].astype(int).tolist():
                cv2.rectangle(frame_HW3, (x1, y1), (x2 - 1, y2 - 1), (255, 230, 0), 1)
            cells.append(frame_HW3)
        strips.append(np.concatenate(cells, 1))
    half = (len(strips) + 1) // 2
    strips += [np.full_like(strips[0], 255)] * (2 * half - len(strips))
    columns = [np.concatenate(strips[:half]), np.concatenate(strips[half:])]
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced(file) as temporary:
        written = temporary.with_suffix(file.suffix)
        cv2.imwrite(str(written), np.concatenate(columns, 1)[..., ::-1])
        written.replace(temporary)


def show(lines: list[Control]) -> None:
    for one in lines:
        mean, low, high = (100 * part for part in one.accuracy)
        print(
            f"| {one.what} | {one.method} | {one.classes} | {mean:.1f} ({low:.1f} to {high:.1f}) "
            f"| {100 * one.chance:.1f} | {one.clips} |",
            flush=True,
        )


def table(lines: list[Control]) -> list[dict]:
    return [
        {
            "sees": one.what,
            "method": one.method,
            "classes": one.classes,
            "accuracy": list(one.accuracy),
            "chance": one.chance,
            "clips": one.clips,
        }
        for one in lines
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sets", nargs="*", type=Path, help="folders made by `mofo data synth`")
    parser.add_argument("--clips", type=int, default=200, help="for the speed (0: not measured)")
    parser.add_argument("--picture", type=Path, help="contact sheet to draw (.png)")
    parser.add_argument("--level", choices=tuple(LEVELS), default="hard", help="of picture, pair")
    parser.add_argument("--strips", type=int, default=1, help="of the picture, for each class")
    parser.add_argument("--out", type=Path, default=Path("bench/actions.json"))
    parser.add_argument("--controls", nargs="+", choices=KINDS, default=KINDS, help="only these")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="only these")
    parser.add_argument("--pair", nargs=2, metavar="CLASS", help="two opposites of --level alone")
    parser.add_argument("--pair-clips", type=int, default=12000, help="for --pair")
    parser.add_argument("--seed", type=int, default=0, help="of the network of --pair")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    content = {**provenance(), "clips_per_s": {}, "controls": []}
    for level in LEVELS if chosen.clips else ():
        content["clips_per_s"][level] = speed(level, chosen.clips)
        print(f"{level}: {content['clips_per_s'][level]:.0f} clips/s of 16x112x112, one thread")
    if chosen.picture:
        picture(chosen.picture, chosen.level, chosen.strips, size=72, shown=6)
        print(f"Drawn: {chosen.picture}")
    for folder in chosen.sets:
        print(f"\n{folder.name}\n| sees | method | classes | accuracy, % | chance, % | clips |")
        print("|---|---|---|---|---|---|")
        about, found = controls(folder, chosen.controls, chosen.methods)
        content["controls"].append({"set": about, "table": table(found)})
    if chosen.pair:
        found = one_pair(chosen.level, chosen.pair, chosen.pair_clips, chosen.seed)
        content["controls"].append({"pair": chosen.pair, "table": table(found)})
    write_json(chosen.out, content)
    print(f"Written: {chosen.out}")


if __name__ == "__main__":
    main()
