"""``mofo weights``: weights of other programs in, and ours out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mofo.commands.verb import verb


@verb("weights import", calls="mofo.weights.importing:import_weights")
def import_(
    call: Callable[..., Any],
    source: str,
    *,
    out: Path,
    all_keys: bool = False,
    report: Path | None = None,
) -> int:
    """Make a checkpoint of ours out of weights of another program.

    SOURCE: a .pth file of VideoMAE, VideoMAE V2 or the released MOFO program, pre-trained or
    fine-tuned, or a folder of Hugging Face's VideoMAE. Nothing in a file is ever run. Every tensor
    must be there, be known and fit; what is not is named, and can be allowed by name.

    Args:
        all_keys: show every tensor.
        report: write all of it as JSON, too.

    example:
      mofo weights import k400.pth --classes k400.json --out weights/k400
    """
    from mofo.weights.loading import WeightsError

    try:
        done = call(source=source, out=out)
    except WeightsError as error:
        if error.report is not None:
            print(error.report.table(everything=all_keys), file=sys.stderr)
            _write(report, error.report.to_dict())
        raise
    print(done.keys.table(everything=all_keys))
    _write(report, done.keys.to_dict())
    for note in done.notes:
        print(f"note: {note}")
    for head, names in done.classes.items():
        print(f"{len(names)} classes of {head!r}: {', '.join(names[:5])}")
    print(f"{'classifier' if done.classes else 'pre-training'} ({done.layout}): {done.path}")
    path = shlex.quote(str(done.path))
    if done.classes:
        print(
            f"next: mofo evaluate --encoder {path} SOURCE, or mofo predict --encoder {path} VIDEO"
        )
    else:
        print(f"next: mofo show reconstruction {path} VIDEO, or a fine-tuning from it")
    return 0


@verb("weights export", calls="mofo.weights.exporting:export_weights")
def export(
    call: Callable[..., Any], checkpoint: str, *, to: str, out: Path, metrics: Path | None = None
) -> int:
    """Write a checkpoint for other programs, and check what was written.

      hf      a folder that Hugging Face's transformers open as it is: a
              pre-training, or a classifier with fusion "mean"; with a model card
      pth     a file with the names of VideoMAE's programs
      onnx    a classifier as one .onnx file
      torch   a classifier as one .pt2 file, to be opened with torch.export.load

    The inputs of the last two: frames, uint8 (batch, frames, height, width, 3), RGB, and, where the
    fusion uses it, inside, bool (batch, tokens), the tokens inside the motion area. Their outputs
    are logits.

    Args:
        to: {weights.EXPORTS}.
        out: folder (hf) or file to write.
        metrics: results.json of mofo evaluate, or JSON of names and numbers, for the card.

    example:
      mofo weights export runs/finetuned --to onnx --out model.onnx
    """
    done = call(checkpoint=checkpoint, to=to, out=out, metrics=_metrics(metrics) if metrics else {})
    for note in done.notes:
        print(f"note: {note}")
    if done.difference is not None:
        print(f"checked: outputs differ from ours by {done.difference:.1e} at most")
    print(f"written: {done.path}")
    print(f"next: {done.next}")
    return 0


@verb("weights show", calls="mofo.weights.importing:inspect_weights")
def show(call: Callable[..., Any], source: str) -> int:
    """Print what is in a file or folder of weights: kind, size, grid, classes.

    Takes a checkpoint or run of ours, a .pth file of VideoMAE or MOFO, or a folder of Hugging Face.
    The exit code is 1 where a tensor is missing, too many, or of another shape.

    Args:
        source: file or folder.

    example:
      mofo weights show videomae-base/
    """
    found = call(source=source)
    print("\n".join(found.lines()))
    if found.problems:
        return 1
    if found.layout == "mofo":
        to = "hf --out DIR" if found.fusion in (None, "mean") else "onnx --out FILE"
        print(f"next: mofo weights export {shlex.quote(source)} --to {to}")
    else:
        print(f"next: mofo weights import {shlex.quote(source)} --out DIR")
    return 0


def _write(path: Path | None, content: Any) -> None:
    if path is None:
        return
    from mofo.system.files import write_json

    write_json(path, content)
    print(f"report: {path}", file=sys.stderr)


def _metrics(path: Path) -> dict[str, Any]:
    from mofo.system.files import read_json
    from mofo.weights.loading import WeightsError
    from mofo.weights.model_card import metrics_of

    metrics = metrics_of(read_json(path))
    if metrics is None:
        raise WeightsError(
            f"{path}: holds neither names with numbers nor the results of `mofo evaluate --out`"
        )
    return metrics
