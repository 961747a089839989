"""A stand-in for the detection that needs no video: "videos" are small JSON files.

Python imports this by itself where its folder is on PYTHONPATH, and so do worker processes. What
a file says is done: ``{"frames": 5, "seed": 1, "sleep": 0.1, "do": "die"}``.
"""

import json
import os
import signal
import sys
import time
import types
from pathlib import Path


def fake_area(content, settings, progress=None):
    """A motion area that depends on ``content`` and ``settings`` only."""
    import numpy as np

    from mofo.types import MotionArea, hull

    frames = content.get("frames", 5)
    rng = np.random.default_rng(content.get("seed", 0) + 1000 * len(settings.flow))
    movers = []
    for _ in range(frames):
        corner_K2 = rng.uniform(0, 50, (int(rng.integers(0, 4)), 2))
        movers.append(np.concatenate([corner_K2, corner_K2 + 9.7], axis=1).astype(np.float32))
        time.sleep(float(os.environ.get("STUB_SLEEP", content.get("sleep", 0))))
        if progress is not None:
            progress(1)
    hulls = [hull(boxes_K4) for boxes_K4 in movers]
    return MotionArea(
        width=64,
        height=48,
        frame_T=np.arange(frames),
        time_T=np.arange(frames) / 25,
        box_T4=np.array([box_4 for box_4, _ in hulls], np.float32).reshape(-1, 4),
        valid_T=np.array([valid for _, valid in hulls], bool),
        movers=tuple(movers),
        cuts=tuple(content.get("cuts", ())),
        flow=settings.flow,
        warnings=tuple(content.get("warnings", ())),
    )


def analyse(path, settings, *, progress=None):
    """What ``mofo.motion.analyse.analyse`` promises, and some ways to go wrong."""
    from mofo.types import VideoError

    if os.environ.get("STUB_LOG"):
        with Path(os.environ["STUB_LOG"]).open("a") as log:
            log.write(f"{Path(path).name} {os.getpid()}\n")
    try:
        content = json.loads(Path(path).read_text())
    except ValueError:
        raise VideoError(path, "not a video") from None
    match content.get("do", ""):
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(1000)
        case "bug":
            raise ZeroDivisionError("a bug")
        case "memory":
            raise MemoryError
        case "full":
            raise OSError(28, "No space left on device")
    return fake_area(content, settings, progress)


if os.environ.get("STUB_DETECTION"):
    sys.modules["mofo.motion.analyse"] = types.ModuleType("mofo.motion.analyse")
    sys.modules["mofo.motion.analyse"].analyse = analyse
