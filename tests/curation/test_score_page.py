import re
import shutil

import mofo
from mofo import cli


def test_a_page_shows_histograms_and_clips_from_the_stillest_on(videos, tmp_path, capsys):
    source, out, page = tmp_path / "videos", tmp_path / "s.parquet", tmp_path / "new" / "s.html"
    shutil.copytree(videos, source)
    words = ["score", str(source), "--out", str(out), "--workers", "0", "--quiet"]
    assert cli.main([*words, "--page", str(page), "--examples", "3"]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert text.count("data:video/mp4") == 3
    assert text.count("</figure>") == 3 + 4
    moving = [float(value) for value in re.findall(r"moving ([\d.]+):", text)]
    assert moving == sorted(moving)
    assert moving[0] < 0.3 < 0.7 < moving[-1]
    assert str(tmp_path) not in text
    shutil.rmtree(source)  # scores can be shown without the videos
    mofo.score_page(out, page)
    assert "data:video/mp4" not in page.read_text()
