"""``mofo report`` and ``mofo app``: pages in a browser."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mofo.commands.verb import verb


@verb("report", calls="mofo.report.page.build:report", skip=("left_out",))
def report(call: Callable[..., Any]) -> int:
    """One HTML page about runs, tests and motion areas, to be sent around.

    The folders are made by `mofo pretrain`, `finetune`, `evaluate`, `probe` or `detect`, or have
    such folders in them. Several runs are shown side by side.

    Args:
        folders: runs, tests, stores of motion areas.
        out: the page.
        title: heading (default: names of the folders).
        note: a few words of your own below it.
        clips: clips in a section at most; 0: none.

    example:
      mofo report runs/first runs/second areas --out report.html
    """
    page = call()
    for problem in page.problems:
        print(f"note: {problem}", file=sys.stderr)
    print(f"page: {page.path} ({page.size / 1e6:.1f} MB)")
    print(f"next: open {page.path} in a browser, or send it: it needs nothing else")
    return 0


@verb("app")
def app(
    *, pretrained: str = "", classifier: str = "", port: int = 7860, open_: bool = False
) -> int:
    """A local gallery in the browser: drop a video, see what moves in it.

    It shows the motion area, masks, and what a model makes of the video. Needs the extra app: pip
    install 'mofo[app]'. It listens on this machine only. Ctrl-C ends it.

    Args:
        pretrained: pre-training, to show reconstructions.
        classifier: fine-tuning, to show predictions.
        port: port on 127.0.0.1.
        open_: open a browser.

    example:
      mofo app --pretrained runs/tiny --classifier runs/fine
    """
    import tempfile

    from mofo.gallery.app import HOST, make_page
    from mofo.gallery.views import Views
    from mofo.types import MofoError

    with tempfile.TemporaryDirectory(prefix="mofo-") as folder:
        page = make_page(Views(Path(folder), pretrained, classifier))
        try:
            page.launch(
                server_name=HOST, server_port=port, inbrowser=open_, quiet=True,
                allowed_paths=[folder], prevent_thread_lock=True, theme=page.theme,
            )  # fmt: skip
        except OSError as error:
            raise MofoError(f"port {port}: {error}; choose another --port") from None
        print(f"gallery: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return 0
