"""Write a checkpoint for other programs, and check what was written.

  hf      a folder that Hugging Face's transformers open as it is: a
          pre-training, or a classifier with fusion "mean"; with a model card
  onnx    a classifier as one .onnx file
  torch   a classifier as one .pt2 file, to be opened with torch.export.load

The inputs of the last two: frames, uint8 (batch, frames, height, width, 3), RGB, and inside, bool
(batch, tokens), the tokens inside the motion area. Their outputs are logits.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

EPILOG = """\
example:
  mofo weights export runs/finetuned --to onnx --out model.onnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo weights export`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="its folder, or that of a run: then the best one")
    add("--to", required=True, choices=("hf", "onnx", "torch"), help="for whom")
    add("--out", required=True, metavar="PATH", help="folder (hf) or file to write")
    add("--licence", default="unknown", metavar="NAME", help="of the weights, for the model card")
    add(
        "--metrics",
        metavar="FILE",
        help="results.json of mofo evaluate, or JSON of names and numbers, for the card",
    )


def run(args: argparse.Namespace) -> int:
    """Export; 0 when it is written and, where it could be, checked."""
    from mofo.weights.exporting import export_weights

    metrics = _metrics(args.metrics) if args.metrics else {}
    done = export_weights(args.checkpoint, args.out, args.to, licence=args.licence, metrics=metrics)
    for note in done.notes:
        print(f"note: {note}")
    if done.difference is not None:
        print(f"checked: outputs differ from ours by {done.difference:.1e} at most")
    print(f"{'folder' if args.to == 'hf' else 'file'}: {done.path}")
    if args.to == "hf":
        print(f"next: read {done.path}/README.md, which shows how to open it")
    elif args.to == "onnx":
        print(f'next: onnxruntime.InferenceSession("{done.path}")')
    else:
        print(f'next: torch.export.load("{done.path}").module()(frames, inside)')
    return 0


def _metrics(path: str) -> dict[str, Any]:
    from mofo.weights.import_report import WeightsError
    from mofo.weights.model_card import metrics_of
    from mofo.weights.tensor_files import read_json

    found = metrics_of(read_json(Path(path)))
    if found is None:
        raise WeightsError(
            f"{path}: holds neither names with numbers nor the results of `mofo evaluate --out`"
        )
    return found
