"""What is fed with changed files: seeds, how they are changed, and what may come of them.

``check`` returns a word; an error that is no ``MofoError`` is a fault, and so is ``WrongError``.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from fuzz.mutate import bytes_changed, text_changed

TARGETS: dict[str, type[Target]] = {}


class WrongError(Exception):
    """A result that is wrong, and nobody says so."""


class Target:
    """One kind of file.

    Args:
        folder: for its seeds; ``seeds`` are made there once.

    Attributes:
        name: of the kind.
        share: how many of the inputs are its.
    """

    name: ClassVar[str]
    share: ClassVar[float] = 1
    change: Callable[..., bytes] = staticmethod(text_changed)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __init_subclass__(cls) -> None:
        TARGETS[cls.name] = cls

    def make(self) -> None:
        """Makes the seeds."""

    def seeds(self) -> list[Path]:
        """Files that are changed, one at a time."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def check(self, file: Path, draw: random.Random) -> str:
        """Reads what was changed."""
        raise NotImplementedError

    def one(self, draw: random.Random) -> str:
        """Changes a seed in its place, reads it, and puts it back."""
        seeds = self.seeds()
        file, other = draw.choice(seeds), draw.choice(seeds)
        whole = file.read_bytes()
        file.write_bytes(type(self).change(whole, draw, other.read_bytes()))
        try:
            return self.check(file, draw)
        finally:
            file.write_bytes(whole)


class Lists(Target):
    """Tables, plain lists, JSON of published data sets."""

    name, share = "lists and data sets", 8

    def make(self) -> None:
        from helpers.trees import TREES, maker

        make = maker(self.folder.parent / "clips")
        for name, tree in TREES.items():
            tree(self.folder / name, make)
        table = self.folder / "table"
        for number in range(3):
            make(table / f"{number}.mp4")
        rows = ['0.mp4,"open, shut",0,0.2,train,g', "1.mp4,x,,,validation,", "2.mp4,y,0.1,,test,h"]
        (table / "list.csv").write_text("\n".join(["path,label,start,end,split,group", *rows, ""]))
        (table / "list.tsv.csv").write_text("path;label\n0.mp4;x\n1.mp4;y\n")

    def seeds(self) -> list[Path]:
        endings = (".csv", ".txt", ".json", ".list", ".jsonl")
        return [path for path in super().seeds() if path.suffix in endings]

    def check(self, file: Path, draw: random.Random) -> str:
        from mofo.datasets.catalog import read_catalog

        root = self.folder / file.relative_to(self.folder).parts[0]
        catalog = read_catalog([root if draw.random() < 0.7 else file])
        for video in catalog:
            str(video)
        return "read, with problems" if catalog.problems else "read"


class Recipes(Target):
    """YAML."""

    name, share = "recipes", 5

    def make(self) -> None:
        from mofo.training.recipe import recipe_names

        for name in recipe_names():
            path = Path(__file__).parents[2] / "src/mofo/recipes" / f"{name}.yaml"
            shutil.copy(path, self.folder)

    def check(self, file: Path, draw: random.Random) -> str:
        from mofo.training.finetune_settings import FinetuneSettings
        from mofo.training.pretrain_settings import PretrainSettings

        needed = {"data": {"source": "v"}, "run": {"out": "o"}}
        kind = FinetuneSettings if "finetune" in file.name else PretrainSettings
        kind.from_yaml(file, **needed)
        return "read"


class Results(Target):
    """JSON that mofo writes, read by its other verbs."""

    name, share = "boxes and results", 2

    def make(self) -> None:
        box = {
            "labels": [
                {"box2d": {"x1": 1.5, "y1": 2, "x2": 30, "y2": 20}, "gt_annotation": "union"}
            ]
        }
        (self.folder / "boxes.json").write_text(
            json.dumps({"a": [box, {"labels": []}], "b": [box]})
        )
        (self.folder / "quarantine.csv").write_text("path,start,end,reason\na.mp4,0,1,'=dark\n")

    def check(self, file: Path, draw: random.Random) -> str:
        from mofo.datasets.quarantine import Quarantine
        from mofo.motion.boxes_json import read_boxes

        if file.suffix == ".csv":
            Quarantine([file])
        else:
            read_boxes(file)
        return "read"


class Checkpoints(Target):
    """Metadata, and tensors."""

    name, share = "checkpoints", 6
    change = staticmethod(bytes_changed)

    def make(self) -> None:
        from helpers.classifiers import write_classifier

        write_classifier(self.folder)

    def check(self, file: Path, draw: random.Random) -> str:
        from mofo.training.checkpoint import open_checkpoint
        from mofo.training.saved_models import open_classifier

        if file.name == "best.json":
            open_classifier(self.folder)
            return "read"
        opened = open_checkpoint(file.parent)
        opened.check()
        if file.suffix == ".safetensors" and file.read_bytes() != self._whole[file]:
            raise WrongError(f"{file.name}: damaged weights were read")
        if file.suffix == ".json" and json.loads(file.read_text()) != json.loads(self._whole[file]):
            raise WrongError(f"{file.name}: other metadata were read")
        return "the same"

    def one(self, draw: random.Random) -> str:
        self._whole = {path: path.read_bytes() for path in self.seeds()}
        return super().one(draw)


class ForeignWeights(Target):
    """Files of torch and safetensors, folders of Hugging Face."""

    name, share = "weights of others", 2
    change = staticmethod(bytes_changed)

    def make(self) -> None:
        import argparse

        import torch
        from safetensors.torch import save_file

        state = {"encoder.norm.weight": torch.ones(8), "x": torch.zeros(2, 2)}
        torch.save({"model": state, "args": argparse.Namespace(lr=1)}, self.folder / "a.pth")
        torch.save(state, self.folder / "old.pth", _use_new_zipfile_serialization=False)
        save_file(state, self.folder / "model.safetensors")
        (self.folder / "config.json").write_text(
            json.dumps({"model_type": "videomae", "hidden_size": 8})
        )

    def check(self, file: Path, draw: random.Random) -> str:
        from mofo.weights.tensor_files import open_weights

        open_weights(self.folder if file.name == "config.json" else file)
        return "read"


class Stores(Target):
    """Parquet files of motion areas."""

    name, share = "stores", 5
    change = staticmethod(bytes_changed)

    def make(self) -> None:
        import numpy as np

        from helpers.clipsets import area_of, store_of

        box_T4 = np.tile(np.array([4, 4, 20, 20], np.float32), (6, 1))
        store_of(self.folder / "areas", {n: area_of(box_T4, 64, 48) for n in ("a.mp4", "b.mp4")})

    def check(self, file: Path, draw: random.Random) -> str:
        from mofo.motion.store import AreaStore

        store = AreaStore.open(self.folder / "areas")
        boxes = [store[key].box_T4.tolist() for key in sorted(store)]
        if boxes != [[[4, 4, 20, 20]] * 6] * 2:
            raise WrongError(f"{file.name}: a damaged store gives other areas")
        return "the same"


class DamagedVideos(Target):
    """Containers with changed bytes: read to the end, then by seeking."""

    name, share = "damaged videos", 8
    change = staticmethod(bytes_changed)
    HOW: ClassVar[dict[str, dict[str, str]]] = {
        "a.mp4": {"bf": "2", "g": "6"},
        "b.mkv": {"bf": "2", "g": "6"},
        "c.avi": {"codec": "mpeg4", "g": "6"},
        "d.avi": {"codec": "mjpeg", "strict": "unofficial"},
        "e.webm": {"codec": "libvpx-vp9", "deadline": "realtime", "cpu_used": "8"},
        "f.ts": {"g": "6"},
        "g.mpg": {"codec": "mpeg2video", "g": "6"},
        "h.flv": {"g": "6", "bf": "0"},
        "i.mov": {"codec": "mpeg4", "bf": "2", "g": "6"},
    }

    def make(self) -> None:
        from helpers.numbered import write_numbered

        for name, options in self.HOW.items():
            write_numbered(self.folder / name, 16, size=(80, 48), **options)

    def check(self, file: Path, draw: random.Random) -> str:
        from mofo.video.reader import VideoReader

        with VideoReader(file, colour="gray") as reader:
            frames = {frame.index: frame.image for frame in reader if frame.image is not None}
            warned = bool(reader.warnings)
        same = _sought_as_read(file, frames, draw)
        return ("damage told, " if warned else "") + (
            "frames the same" if same else "frames differ"
        )


class WholeVideos(DamagedVideos):
    """Whole files, encoded in many ways: what is sought is what is read."""

    name, share = "whole videos", 0.8

    def make(self) -> None:
        pass

    def seeds(self) -> list[Path]:
        return []

    def one(self, draw: random.Random) -> str:
        import av

        from helpers.numbered import number_of, write_numbered
        from mofo.video.reader import VideoReader

        ending, codec = draw.choice([
            ("mp4", "libx264"), ("mkv", "libx264"), ("mov", "libx264"), ("flv", "libx264"),
            ("ts", "libx264"), ("avi", "mpeg4"), ("mp4", "mpeg4"), ("avi", "mjpeg"),
            ("mkv", "mpeg4"),
            ("mpg", "mpeg2video"), ("webm", "libvpx"), ("webm", "libvpx-vp9"), ("mkv", "ffv1"),
        ])  # fmt: skip
        options: dict[str, str] = {"g": str(draw.choice([1, 3, 8, 12, 40]))}
        if codec == "libx264":
            options |= {"bf": str(draw.choice([0, 1, 2, 5])), "preset": "ultrafast", "qp": "18"}
            options["x264_params"] = f"open-gop={draw.randrange(2)}:slices={draw.choice([1, 3])}"
        elif codec in ("mpeg4", "mpeg2video"):
            options |= {"bf": str(draw.choice([0, 0, 2])), "q": "3"}
        elif codec.startswith("libvpx"):
            options |= {"deadline": "realtime", "cpu_used": "8"}
        elif codec == "mjpeg":
            options["strict"] = "unofficial"
        frames = draw.randint(1, 50)
        ticks = None
        if ending in ("mp4", "mkv", "mov", "webm") and draw.random() < 0.4:
            ticks, now = [], draw.choice([0, 0, 3000])
            for _ in range(frames):
                ticks.append(now)
                now += draw.choice([20, 40, 40, 41, 120, 2000])
        muxer = {"movflags": draw.choice(["faststart", "frag_keyframe+empty_moov", ""])}
        file = self.folder / f"w.{ending}"
        try:
            write_numbered(
                file, frames, codec=codec, ticks=ticks, size=(80, 48), **options,
                muxer=muxer if ending in ("mp4", "mov") else None,
            )  # fmt: skip
        except av.FFmpegError:
            return "no encoder takes that"
        told = f"{ending} {codec} {frames} {ticks is not None} {options} {muxer}"
        with VideoReader(file, colour="gray") as reader:
            read = {frame.index: frame.image for frame in reader if frame.image is not None}
            warnings = reader.warnings
        if [number_of(image) for image in read.values()] != list(range(frames)):
            raise WrongError(f"frames {[number_of(image) for image in read.values()]}: {told}")
        if warnings:
            raise WrongError(f"a whole file is called damaged: {warnings}: {told}")
        if not _sought_as_read(file, read, draw):
            raise WrongError(f"frames sought are others: {told}")
        return "frames the same"


def _sought_as_read(file: Path, read: dict, draw: random.Random) -> bool:
    """Whether some frames that are sought show the numbers of those that were read through."""
    import numpy as np

    from helpers.numbered import number_of
    from mofo.video.clip import IndexMismatchError, read_frames
    from mofo.video.index import Source, index_frames

    index = index_frames(file)
    if len(index) != len(read):
        return False
    wanted = sorted(draw.sample(range(len(index)), min(len(index), draw.choice([1, 2, 5]))))
    for least in (None, Source.FRAMES):
        index = index if least is None else index_frames(file, least)
        try:
            for number, frame in read_frames(file, index, wanted):
                grey = frame.to_ndarray(format="gray")
                if grey.shape != read[number].shape:
                    return False
                if number_of(grey) != number_of(read[number]):
                    return False
            return True
        except IndexMismatchError:
            continue  # as ``Segment`` does: the file is counted out
    return bool(np.size(wanted))
