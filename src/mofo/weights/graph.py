"""Classifiers as graphs: ONNX, and torch's own ``.pt2``. Checked against the model before use."""

from __future__ import annotations

import importlib
import importlib.util
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.fusion import FUSIONS
from mofo.system.files import replaced
from mofo.types import SettingsError
from mofo.weights.exporting import CLOSE, EXPORTS, Export, Exportable, silence
from mofo.weights.loading import WeightsError

_NAMES = ["frames", "inside"]
_MAX_CLIPS = 1024  # of a batch
_LARGEST = 2_000_000_000  # bytes of weights that one ONNX file can hold


class _Logits(nn.Module):
    """The classifier with logits in a fixed order instead of by name."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.heads = tuple(model.settings.classes)

    def forward(self, frames: Tensor, inside: Tensor | None = None) -> tuple[Tensor, ...]:
        logits = self.model(frames, inside)
        return tuple(logits[name] for name in self.heads)


class _Graph(Export):
    """A classifier as a graph for any batch size.

    The file is read back and run on other clips than those it was traced with, before it gets its
    name.
    """

    def write(self, exportable: Exportable, out: Path) -> tuple[float | None, tuple[str, ...]]:
        """See ``Export``."""
        model = exportable.model
        if not isinstance(model, Classifier):
            raise SettingsError(
                "a graph takes a classifier; this is a pre-training: --to hf takes it, or "
                "fine-tune it first"
            )
        self.check(model)
        traced = _Logits(model).eval()
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with replaced(out, flush=True) as temporary:
            with silence():
                self.trace(traced, _inputs(exportable, 2, 0), temporary)
            return self._compare(exportable, traced, temporary)

    def check(self, model: Classifier) -> None:
        """Raises a WeightsError if the form cannot be written here."""

    def trace(self, traced: _Logits, inputs: tuple[Tensor, ...], path: Path) -> None:
        """Writes the file."""
        raise NotImplementedError

    def run(self, path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor] | None:
        """Outputs of the file; None: there is nothing to run it."""
        raise NotImplementedError

    def _compare(
        self, exportable: Exportable, traced: _Logits, path: Path
    ) -> tuple[float | None, tuple[str, ...]]:
        largest = 0.0
        for batch in (1, 3):
            inputs = _inputs(exportable, batch, seed=batch)
            with silence():
                outputs = self.run(path, inputs)
            if outputs is None:
                note = "onnxruntime is not installed (mofo[onnx]): nobody has run the file yet"
                return None, (note,)
            with torch.no_grad():
                expected = traced(*inputs)
            for output, wanted in zip(outputs, expected, strict=True):
                scale = max(1.0, float(wanted.abs().max()))
                largest = max(largest, float((output - wanted).abs().max()) / scale)
        if not largest <= CLOSE:
            raise WeightsError(
                f"outputs differ by {largest:.2g}: nothing was written; please report it"
            )
        return largest, ()


@EXPORTS.register("onnx")
class Onnx(_Graph):
    """A classifier as one ``.onnx`` file."""

    description = "a classifier as one .onnx file"
    next = 'onnxruntime.InferenceSession("{path}")'

    def check(self, model: Classifier) -> None:
        """See ``_Graph``."""
        lacking = [n for n in ("onnx", "onnxscript") if importlib.util.find_spec(n) is None]
        if lacking:
            raise WeightsError(f"{', '.join(lacking)} not installed: pip install 'mofo[onnx]'")
        importlib.import_module("onnxscript")  # before silence(): loggers keep their stream
        size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
        if size > _LARGEST:
            raise WeightsError(f"{size / 1e9:.1f} GB of weights: one ONNX file holds 2: --to torch")

    def trace(self, traced: _Logits, inputs: tuple[Tensor, ...], path: Path) -> None:
        """See ``_Graph``."""
        torch.onnx.export(
            traced,
            inputs,
            path,
            input_names=_NAMES[: len(inputs)],
            output_names=list(traced.heads),
            dynamic_shapes=_dynamic(inputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )

    def run(self, path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor] | None:
        """See ``_Graph``."""
        try:
            import onnxruntime
        except ImportError:
            return None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        provider = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(str(path), options, providers=provider)
        feed = {name: tensor.numpy() for name, tensor in zip(_NAMES, inputs, strict=False)}
        return [torch.from_numpy(array) for array in session.run(None, feed)]


@EXPORTS.register("torch")
class TorchExport(_Graph):
    """A classifier as one ``.pt2`` file."""

    description = "a classifier as one .pt2 file, to be opened with torch.export.load"
    next = 'torch.export.load("{path}").module()(frames, inside)'

    def trace(self, traced: _Logits, inputs: tuple[Tensor, ...], path: Path) -> None:
        """See ``_Graph``."""
        with torch.no_grad():
            program = torch.export.export(traced, inputs, dynamic_shapes=_dynamic(inputs))
        named = path.with_name(f"{path.name}.pt2")  # it insists on this ending
        try:
            torch.export.save(program, named)
            named.replace(path)
        finally:
            named.unlink(missing_ok=True)

    def run(self, path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """See ``_Graph``."""
        with path.open("rb") as file:
            program = torch.export.load(io.BytesIO(file.read()))
        with torch.no_grad():
            return list(program.module()(*inputs))


def _dynamic(inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    batch = torch.export.Dim("batch", min=1, max=_MAX_CLIPS)
    return {name: {0: batch} for name, _ in zip(_NAMES, inputs, strict=False)}


def _inputs(exportable: Exportable, batch: int, seed: int) -> tuple[Tensor, ...]:
    """Random frames; where it counts, motion areas that are a part, nothing, and everything."""
    frames = exportable.clips(batch, seed)
    settings = exportable.model.settings
    assert isinstance(settings, ClassifierSettings)
    if not FUSIONS[settings.fusion].uses_motion:
        return (frames,)
    generator = torch.Generator().manual_seed(seed)
    inside = torch.rand(batch, settings.model.grid.tokens, generator=generator) < 0.3
    if batch > 2:
        inside[1], inside[2] = False, True
    return frames, inside
