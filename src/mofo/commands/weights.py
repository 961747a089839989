"""Weights of other programs into checkpoints of ours, and ours into theirs.

VideoMAE's and VideoMAE V2's .pth files, those of the released MOFO program, and folders of Hugging
Face come in; folders of Hugging Face, ONNX and torch.export go out.

Each has its own help: mofo weights import --help
"""

from __future__ import annotations

import argparse

from mofo.commands.parts import add_parts, run_part

EPILOG = """\
examples:
  mofo weights show videomae-base/
  mofo weights import videomae_b.pth --out weights/base
  mofo finetune --config recipes/small-finetune.yaml --init weights/base ...
  mofo weights export runs/finetuned --to onnx --out model.onnx
"""

# Action -> one line about it; the module is mofo.commands.weights_<action>.
_ACTIONS = {
    "import": "a file or folder of another program into a checkpoint",
    "export": "a checkpoint for Hugging Face, ONNX or torch",
    "show": "what is in a file or folder of weights",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo weights`` takes."""
    parser.epilog = EPILOG
    add_parts(parser, "weights", _ACTIONS, "what to do")


def run(args: argparse.Namespace) -> int:
    """Import, export or show; 0 when it is done."""
    return run_part("weights", args)
