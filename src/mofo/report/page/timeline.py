"""The timeline of a video: how much of the frame moves, and where shots begin."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from mofo.report.page.scales import Chart, drawing

_WIDTH, _HEIGHT, _FOOT = 440, 58, 18
_COLUMNS = 220


def timeline(
    share_T: np.ndarray, cuts: Sequence[int], shown: tuple[int, int], seconds: float
) -> Chart:
    """How much of the frame is motion area over the time of a video.

    Args:
        share_T: 0..1, for each frame.
        cuts: frames that begin a new shot.
        shown: first frame of the clip on the page, and the one after its last.
        seconds: of the whole video.
    """
    width, height, foot = _WIDTH, _HEIGHT, _FOOT
    frames = max(len(share_T), 1)
    columns = min(frames, _COLUMNS)
    edge = np.linspace(0, frames, columns + 1).round().astype(int)
    top = height - foot

    def across(frame: float) -> str:
        return f"{frame / frames * width:.1f}"

    points = [f"0,{top}"]
    for first, last in itertools.pairwise(edge.tolist()):
        part_T = share_T[first : max(last, first + 1)]
        y = top - (top - 4) * float(part_T.mean() if len(part_T) else 0)
        points += [f"{across(first)},{y:.1f}", f"{across(last)},{y:.1f}"]
    points.append(f"{width},{top}")
    parts = [
        Markup('<rect class="shown" x="{}" y="0" width="{}" height="{}"/>').format(
            across(shown[0]), across(shown[1] - shown[0]), top
        ),
        Markup('<polygon class="area" points="{}"/>').format(" ".join(points)),
        Markup('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>').format(width, top, top),
    ]
    parts += [
        Markup('<line class="cut" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(across(cut), top)
        for cut in cuts
    ]
    for place, anchor, label in ((0, "start", "0 s"), (width, "end", f"{seconds:.1f} s")):
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                place, height - 3, anchor, label
            )
        )
    moving = 100 * float((share_T > 0).mean()) if len(share_T) else 0.0
    mean = 100 * float(share_T[share_T > 0].mean()) if (share_T > 0).any() else 0.0
    text = (
        f"motion in {moving:.0f} % of {len(share_T)} frames, the area takes {mean:.0f} % of the "
        f"frame on average there; {len(cuts)} cut{'' if len(cuts) == 1 else 's'}"
    )
    return Chart(drawing(Markup("").join(parts), width, height, "Timeline", text, "timeline"), text)
