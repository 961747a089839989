"""When a loss or a gradient is no number: the batch and the state go into a file to be replayed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.training.checkpoint import CheckpointError
from mofo.training.saved_models import fit_weights
from mofo.training.step import NotFiniteStep
from mofo.training.tasks import TASKS, ForwardStep, Task
from mofo.types import MofoError

_KIND = "mofo: a batch whose loss was no number"


class NotFiniteError(MofoError):
    """A loss or gradient is infinite or no number."""


def capture(
    error: NotFiniteStep,
    task: Task,
    out: Path,
    weights: Mapping[str, Tensor],
    accelerator: Accelerator,
) -> Path:
    """Writes a step's last batch, weights and settings to one safetensors file below ``out``."""
    name = f"step_{error.step:08d}_process_{accelerator.process_index}.safetensors"
    tensors = {f"model/{name}": tensor.detach().contiguous() for name, tensor in weights.items()}
    parts = {}
    for field in fields(ClipBatch):  # a plan follows from the noise
        value = getattr(error.batch, field.name)
        if isinstance(value, Tensor):
            tensors[f"batch/{field.name}"] = value.detach().cpu().contiguous()
        else:
            parts[field.name] = value
    about = {
        "kind": _KIND,
        "step": error.step,
        "what": error.what,
        "value": str(error.value),
        "precision": accelerator.mixed_precision,
        "task": task.name,
        "case": task.replay_case(error.batch),
        "settings": task.settings.to_dict(),
        "batch": parts,
    }
    path = out / "not_finite" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"about": json.dumps(about)})
    return path


def replay(path: str | Path) -> list[str]:
    """Runs a captured batch again, once in fp32 and once in bf16.

    Returns:
        Lines of a report: the loss, the first module whose output is no number, and which clips
        are to blame, for each precision.
    """
    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None
    if about.get("kind") != _KIND:
        raise CheckpointError(f"{path}: holds no captured batch")
    kind = TASKS[about["task"]]
    settings = kind.settings_type.from_dict(about["settings"], str(path))
    model, forward_step = kind.replayed(settings, about["case"])
    batch = ClipBatch(
        **{key[6:]: value for key, value in tensors.items() if key.startswith("batch/")},
        path=tuple(about["batch"]["path"]),
        failures=tuple(map(tuple, about["batch"]["failures"])),
    )
    weights = {key[6:]: value for key, value in tensors.items() if key.startswith("model/")}
    fit_weights(model, weights, str(path), finite=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lines = [
        f"step {about['step']}: {about['what']} was {about['value']} in {about['precision']}; "
        f"{len(batch)} clips"
    ]
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        lines.append(f"weights: {len(broken)} are no numbers already, the first {broken[0]}")
    for precision in ("fp32", "bf16"):
        lines += _try(model.to(device), batch.to(device), forward_step, precision)
    return lines


def _try(
    model: nn.Module, batch: ClipBatch, forward_step: ForwardStep, precision: str
) -> list[str]:
    bad: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not torch.isfinite(output).all():
                bad.append(name)

        return hook

    hooks = [m.register_forward_hook(watch(name)) for name, m in model.named_modules() if name]
    kind = next(model.parameters()).device.type
    try:
        model.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
            loss = forward_step(model, batch).loss
        loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    lines = [f"{precision}: loss {loss.item():.6g}"]
    if bad:
        lines.append(f"{precision}: the first module with a result that is no number: {bad[0]}")
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    wrong = [n for n, gradient in gradients.items() if not torch.isfinite(gradient).all()]
    if wrong:
        lines.append(f"{precision}: gradients that are no numbers: {len(wrong)}, as of {wrong[0]}")
    if not math.isfinite(loss.item()):
        with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
            for k in range(len(batch)):
                alone = forward_step(model, _only(batch, k)).loss.item()
                if not math.isfinite(alone):
                    start = int(batch.start_B[k])
                    lines.append(
                        f"{precision}: clip {k} alone gives {alone}: {batch.path[k]}, "
                        f"from frame {start}"
                    )
    return lines


def _only(batch: ClipBatch, k: int) -> ClipBatch:
    tensors = {
        field.name: value[k : k + 1]
        for field in fields(batch)
        if isinstance(value := getattr(batch, field.name), Tensor)
    }
    return ClipBatch(**tensors, path=batch.path[k : k + 1], failures=())
