"""No import does work: neither that of a module nor that of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mofo

ROOT = Path(mofo.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "--config", "tinny"],
        ["finetune", "--config", "few", "--data.source", "nowhere", "--run.out", "x"],
        ["evaluate", "--encoder", "run", "nowhere.csv"],
        ["detect", "nowhere", "--out", "areas"],
        ["embed", "--encoder", "run", "nowhere", "--out", "x"],
    ],
    ids=" ".join,
)
def test_a_wrong_recipe_or_source_is_told_before_heavy_imports(words):
    code = f"import sys, mofo.cli; code = mofo.cli.main({words!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "False\n"
    assert len(done.stderr.splitlines()) == 1
