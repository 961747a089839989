"""``mofo report`` and ``mofo app``: pages in a browser."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mofo.commands.verb import verb


@verb("report", calls="mofo.report.page.build:report")
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
    for sentence in page.conclusion:
        print(f"conclusion: {sentence}")
    print(f"page: {page.path} ({page.size / 1e6:.1f} MB)")
    print(f"next: open {page.path} in a browser, or send it: it needs nothing else")
    return 0


@verb("app")
def app(
    *,
    runs: list[Path] | None = None,
    examples: list[Path] | None = None,
    port: int = 7860,
    open_: bool = False,
) -> int:
    """A local gallery in the browser: drop a video, see what moves in it.

    It shows the motion area, masks, and what a model makes of the video. Needs the extra app: pip
    install 'mofo[app]'. It listens on this machine only and leaves nothing behind. Ctrl-C ends it.

    Args:
        runs: folders of runs, or with runs in them, whose models reconstruct and predict.
        examples: videos to begin with.
        port: port on 127.0.0.1.
        open_: open a browser.

    example:
      mofo app --runs runs/ --examples clip.mp4
    """
    from mofo.report.gallery import HOST, find_runs, serve
    from mofo.system.files import temporary_folder

    models = find_runs(runs or (), examples or ())
    with temporary_folder() as folder:
        page = serve(folder, models, port=port, open_browser=open_)
        print(f"gallery: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return 130  # as after any Ctrl-C
