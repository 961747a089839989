"""Classifiers as graphs: ONNX, and torch's own ``.pt2``. Checked against the model before use."""

from __future__ import annotations

import importlib
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mofo.models.classifier import Classifier
from mofo.system.files import replaced
from mofo.types import SettingsError
from mofo.weights.import_report import WeightsError
from mofo.weights.quiet import quiet

if TYPE_CHECKING:
    from mofo.weights.exporting import Exportable

CLOSE = 1e-4
FRAMES, INSIDE = "frames", "inside"
_MOST = 1024  # clips a batch
_LARGEST = 2_000_000_000  # bytes of weights that one ONNX file can hold


class _Plain(nn.Module):
    """The classifier with logits in a fixed order instead of by name."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.heads = tuple(model.settings.classes)

    def forward(self, frames: Tensor, inside: Tensor) -> tuple[Tensor, ...]:
        logits = self.model(frames, inside)
        return tuple(logits[name] for name in self.heads)


def write_graph(exportable: Exportable, out: Path, to: str) -> tuple[float | None, tuple[str, ...]]:
    """Writes ``.onnx`` (``to`` "onnx") or ``.pt2`` ("torch"); gives difference and notes.

    Any batch size works. The file is read back and run on other clips than those it was traced
    with, before it gets its name.

    Raises:
        SettingsError: not a classifier.
        WeightsError: what is needed is not installed, it cannot be written, or came out wrong.
    """
    model = exportable.model
    if not isinstance(model, Classifier):
        raise SettingsError(
            f"--to {to} takes a classifier; this is a pre-training: --to hf takes it, or fine-tune "
            "it first"
        )
    if to == "onnx":
        _need("onnx", "onnxscript")
        importlib.import_module("onnxscript")  # before quiet(): loggers keep the stream they find
        size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
        if size > _LARGEST:
            raise WeightsError(f"{size / 1e9:.1f} GB of weights: one ONNX file holds 2: --to torch")
    plain = _Plain(model).eval()
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with replaced(out, flush=True) as temporary:
            writer = _write_onnx if to == "onnx" else _write_torch
            with quiet():
                writer(plain, _inputs(model, 2, 0), temporary)
            outputs = _run_onnx if to == "onnx" else _run_torch
            difference, notes = _compare(plain, temporary, outputs)
    except OSError as error:
        raise WeightsError(f"{out}: cannot be written: {error.strerror or error}") from None
    return difference, notes


def _write_onnx(plain: _Plain, inputs: tuple[Tensor, Tensor], path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=_MOST)
    torch.onnx.export(
        plain,
        inputs,
        path,
        input_names=[FRAMES, INSIDE],
        output_names=list(plain.heads),
        dynamic_shapes={FRAMES: {0: batch}, INSIDE: {0: batch}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _write_torch(plain: _Plain, inputs: tuple[Tensor, Tensor], path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=_MOST)
    shapes = {FRAMES: {0: batch}, INSIDE: {0: batch}}
    with torch.no_grad():
        program = torch.export.export(plain, inputs, dynamic_shapes=shapes)
    # It insists on a file's name that ends so.
    ended = path.with_name(f"{path.name}.pt2")
    try:
        torch.export.save(program, ended)
        ended.replace(path)
    finally:
        ended.unlink(missing_ok=True)


def _run_onnx(path: Path, inputs: tuple[Tensor, Tensor]) -> list[Tensor] | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = dict(zip((FRAMES, INSIDE), (tensor.numpy() for tensor in inputs), strict=True))
    # What the model does not ask for (the area, with fusion "mean") is no input of the graph.
    asked = {one.name for one in session.get_inputs()}
    found = session.run(None, {name: array for name, array in feed.items() if name in asked})
    return [torch.from_numpy(array) for array in found]


def _run_torch(path: Path, inputs: tuple[Tensor, Tensor]) -> list[Tensor]:
    with path.open("rb") as file:
        program = torch.export.load(io.BytesIO(file.read()))
    with torch.no_grad():
        return list(program.module()(*inputs))


def _compare(plain: _Plain, path: Path, outputs: Any) -> tuple[float | None, tuple[str, ...]]:
    largest = 0.0
    for batch in (1, 3):
        inputs = _inputs(plain.model, batch, seed=batch)
        with quiet():
            found = outputs(path, inputs)
        if found is None:
            return None, ("onnxruntime is not installed (mofo[onnx]): nobody has run the file yet",)
        with torch.no_grad():
            wanted = plain(*inputs)
        for one, other in zip(found, wanted, strict=True):
            scale = max(1.0, float(other.abs().max()))
            largest = max(largest, float((one - other).abs().max()) / scale)
    if not largest <= CLOSE:
        raise WeightsError(
            f"outputs differ by {largest:.2g}: nothing was written; please report it"
        )
    return largest, ()


def _inputs(model: Classifier, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random frames; motion areas that are a part, nothing, and everything."""
    grid = model.settings.model.grid
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, grid.frames, grid.height, grid.width, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    inside = torch.rand(batch, grid.tokens, generator=generator) < 0.3
    if batch > 2:
        inside[1], inside[2] = False, True
    return frames, inside


def _need(*modules: str) -> None:
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    if lacking:
        raise WeightsError(f"{', '.join(lacking)} not installed: pip install 'mofo[onnx]'")
