"""The engine that runs the loop on whatever hardware there is: accelerate."""

from __future__ import annotations

import importlib.metadata
import platform

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

from mofo.training.pretrain_settings import RunSettings
from mofo.types import SettingsError

_PACKAGES = ("mofo", "torch", "numpy", "av", "opencv-python-headless", "accelerate")


def engine(run: RunSettings) -> Accelerator:
    """The accelerator for a run: one process or several, as they were launched.

    Raises:
        SettingsError: an unknown tracker.
    """
    precision = run.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() else "fp32"
    try:
        return Accelerator(
            # Without being told, it takes several processes without a GPU for strangers.
            cpu=not torch.accelerator.is_available(),
            mixed_precision={"fp32": "no", "bf16": "bf16"}[precision],
            log_with=list(run.trackers) or None,
            project_config=ProjectConfiguration(project_dir=run.out, logging_dir=run.out),
        )
    except ValueError as error:
        raise SettingsError(f"run.trackers: {error}") from None


def versions() -> dict[str, str]:
    """What a result may depend on: packages, Python, machine."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {**found, "python": platform.python_version(), "device": device}
