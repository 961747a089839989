"""The chain from video to report: a module imports only from its left; no import does work."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mofo

ROOT = Path(mofo.__file__).parent
# Left to right. Stages of one group may not import each other's right neighbours either.
CHAIN = (
    "types", "video", "motion", "data", "masking", "models", "training", "weights", "evaluation",
    "prediction", "report", "gallery", "demo", "commands", "cli",
)  # fmt: skip
# What is allowed all the same, each with its reason.
ALLOWED = {
    # A worker draws the overlay of its video when asked to (imported at that moment only).
    "mofo.motion.detect_worker": "mofo.report.overlays",
    # A run draws pictures of what it has learned so far (imported at that moment only).
    "mofo.training.pretrain_task": "mofo.report.reconstruction",
    # ... or of what it is given.
    "mofo.training.finetune_task": "mofo.report.augmented",
}
MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, module: str, *, package: bool = False) -> set[str]:
    """Names of all modules of this package that a source imports, wherever the line stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = module.split(".")[: len(module.split(".")) - node.level + package]
                base = ".".join([*up, base] if base else up)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "mofo"}


def stage(name: str) -> str:
    """``mofo.video.reader`` -> ``video``; the package itself has none."""
    return [*name.split("."), ""][1]


def wrong(source: str, module: str, *, package: bool = False) -> list[str]:
    """Imports of stages to the right."""
    own = CHAIN.index(stage(module))
    return [
        name
        for name in sorted(imports_of(source, module, package=package))
        if stage(name) != "__version__" and CHAIN.index(stage(name)) > own
    ]


def in_chain() -> list[Path]:
    # The package itself offers names of all stages, lazily.
    return [path for path in MODULES if path not in (ROOT / "__init__.py", ROOT / "__main__.py")]


@pytest.mark.parametrize("path", in_chain(), ids=name_of)
def test_imports_point_to_the_left(path):
    module = name_of(path)
    assert stage(module) in CHAIN, f"{module}: give the new stage its place in CHAIN"
    found = wrong(path.read_text(), module, package=path.name == "__init__.py")
    excused = ALLOWED.get(module)
    assert [name for name in found if not (excused and name.startswith(excused))] == []


def test_the_check_itself_sees_wrong_imports():
    assert wrong("from mofo.motion import flow", "mofo.video.reader")
    assert wrong("def f():\n    import mofo.synth.clips", "mofo.motion.detect")
    assert wrong("from ..report import page", "mofo.motion.detect")
    assert wrong("from . import right, left\nfrom mofo.cli import main", "mofo.clips.loader")
    assert not wrong("from mofo import __version__", "mofo.video.reader")
    assert not wrong("from .. import types\nfrom . import cuts", "mofo.video.reader")
    assert not wrong("import numpy\nfrom mofo.video.reader import Frame", "mofo.synth.clips")


def test_no_import_touches_global_state():
    """Importing every module leaves random states, working directory and stdout as they were."""
    names = [name_of(path) for path in MODULES if path.name != "__main__.py"]
    code = f"""
import importlib, os, random, sys, threading
import cv2, numpy as np, torch
def state():
    kind, keys, *rest = np.random.get_state()
    return (random.getstate(), kind, keys.tobytes(), rest, torch.get_rng_state().numpy().tobytes(),
            torch.initial_seed(), cv2.getNumThreads(), torch.get_num_threads(), os.getcwd(),
            threading.active_count())
before = state()
for name in {names!r}:
    importlib.import_module(name)
    assert state() == before, name
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_the_package_is_light_until_it_is_used():
    heavy = "{'torch', 'cv2', 'av', 'pyarrow'}"
    code = f"import sys, mofo, mofo.cli; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
