"""Stage: one page about everything; the only place that knows how reports are made."""

from __future__ import annotations

from pathlib import Path

from mofo.demo.stage import Found, Stage
from mofo.demo.video_sources import Sources


def page_stage(out: Path, sources: Sources, progress: bool) -> Stage:
    """The report page of the whole folder, and of what was left out."""
    page = out / "report.html"

    def work() -> Found:
        from mofo.report.page.build import report

        written = report(out, page, title="mofo demo", left_out=sources.left_out, progress=progress)
        return {"bytes": written.size, "problems": list(written.problems)}

    def told(found: Found) -> list[str]:
        lines = [f"not on the page: {text}" for text in found["problems"]]
        return [*lines, f"open in a browser:       {page}  ({found['bytes'] / 1e6:.1f} MB)"]

    return Stage(
        name="report",
        title="the report",
        about=("One page with all of it, to send to a colleague; it needs nothing beside it.",),
        made_with={"left_out": [list(one) for one in sources.left_out]},
        work=work,
        told=told,
        files=(page,),
    )
