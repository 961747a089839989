"""What a result depends on besides code and data: device, precision, versions of packages."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from mofo.registry import choice
from mofo.system.group import watch
from mofo.types import SettingsError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

PATIENCE = 900.0  # seconds in which a process has to go on that others wait for
PRECISIONS = ("auto", "fp32", "bf16")
_PACKAGES = ("mofo", "torch", "numpy", "av", "opencv-python-headless", "accelerate")


def pick_device(
    device: torch.device | str | None = None, precision: str = "auto"
) -> tuple[torch.device, str]:
    """Returns the device and the precision, "fp32" or "bf16", that are meant.

    ``device``: None: a GPU if there is one.
    ``precision``: "fp32", "bf16", or "auto": bf16 on a GPU.
    """
    import torch

    choice("precision", precision, PRECISIONS)
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if precision == "auto":
        precision = "bf16" if chosen.type == "cuda" else "fp32"
    return chosen, precision


def make_accelerator(
    precision: str = "auto",
    *,
    trackers: Sequence[str] = (),
    folder: str = ".",
    patience: float = PATIENCE,
) -> Accelerator:
    """Returns the processes, the device and the precision of a training.

    ``precision``: "fp32", "bf16", or "auto": bf16 on a GPU.
    ``patience``: seconds in which a process has to go on; 0: any time.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration

    _, precision = pick_device(None, precision)
    try:
        accelerator = Accelerator(
            # Otherwise it takes several processes without a GPU for independent ones.
            cpu=not torch.accelerator.is_available(),
            mixed_precision={"fp32": "no", "bf16": "bf16"}[precision],
            log_with=list(trackers) or None,
            project_config=ProjectConfiguration(project_dir=folder, logging_dir=folder),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=torch_timeout(patience))],
        )
    except ValueError as error:
        raise SettingsError(f"run.trackers: {error}") from None
    watch(patience)
    return accelerator


def torch_timeout(patience: float) -> timedelta:
    """When torch itself loses patience, with a page of traceback: later than we do."""
    return timedelta(seconds=2 * patience + 600 if patience else 7 * 24 * 3600)


def versions() -> dict[str, str]:
    """Returns the versions of packages and Python, and the name of the device."""
    import torch

    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {**packages, "python": platform.python_version(), "device": device}
