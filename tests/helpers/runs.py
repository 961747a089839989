"""Runs of the detection over folders of stand-in videos: see stub/sitecustomize.py."""

import json
import sys
import time
from pathlib import Path

from helpers.stored import content as content
from mofo.motion.detect import detect_many
from mofo.motion.presets import DetectSettings

NAMES = ["a.mp4", "b/c.webm", "b/d e 視.mp4", "e.mkv", "f.mp4", "g.mp4"]
CODEC = DetectSettings(flow="codec")


def make(folder: Path, names=NAMES, **content) -> Path:
    for number, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"frames": 4 + number, "seed": number} | content))
    return folder


def run(folder: Path, out: Path, **more):
    return detect_many(folder, out, **({"workers": 0, "progress": False} | more))


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "mofo", "detect", str(folder), "--out", str(out), *more]


def wait_for(condition, seconds=240.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value
