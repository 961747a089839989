"""A local gallery in the browser: drop a video, see its motion area, masks, model's view.

Needs the extra app: pip install 'mofo[app]'. It listens on this machine only.
"""

from __future__ import annotations

import argparse

EPILOG = """\
Ctrl-C ends it.

example:
  mofo app --pretrained runs/tiny --classifier runs/fine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo app`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--pretrained", default="", metavar="RUN", help="pre-training, to show reconstructions")
    add("--classifier", default="", metavar="RUN", help="fine-tuning, to show predictions")
    add("--port", type=int, default=7860, metavar="N", help="port on 127.0.0.1 (7860)")
    add("--open", action="store_true", help="open a browser")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    import tempfile
    from pathlib import Path

    from mofo.gallery.app import HOST, make_page
    from mofo.gallery.views import Views
    from mofo.types import MofoError

    with tempfile.TemporaryDirectory(prefix="mofo-") as folder:
        page = make_page(Views(Path(folder), args.pretrained, args.classifier))
        try:
            page.launch(
                server_name=HOST, server_port=args.port, inbrowser=args.open, quiet=True,
                allowed_paths=[folder], prevent_thread_lock=True, theme=page.theme,
            )  # fmt: skip
        except OSError as error:
            raise MofoError(f"port {args.port}: {error}; choose another --port") from None
        print(f"gallery: http://{HOST}:{args.port} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return 0
