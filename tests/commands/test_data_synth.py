from mofo.cli import main
from mofo.motion.store import AreaStore


def test_makes_a_set_and_says_where(tmp_path, capsys):
    out = tmp_path / "actions"
    words = ["data", "synth", "--clips", "4", "--size", "32", "--frames", "8", "--out", str(out)]
    assert main([*words, "--workers", "0", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert str(out / "videos.csv") in printed
    assert "next:" in printed
    assert len(AreaStore.open(out / "areas")) == 4
    assert main([*words, "--workers", "0", "--quiet"]) == 0
    assert "4 finished before" in capsys.readouterr().out


def test_wrong_usage(tmp_path, capsys):
    out = str(tmp_path / "new")
    assert main(["data", "synth", "--out", out]) == 2
    assert main(["data", "synth", "--clips", "3", "--level", "harder", "--out", out]) == 2
    assert main(["data", "synth", "--clips", "0", "--out", out]) == 2
    assert "clips is 0" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["data", "synth", "--clips", "3", "--out", str(tmp_path), "--quiet"]) == 1
    assert "something else" in capsys.readouterr().err


def test_help(capsys):
    assert main(["data", "synth", "--help"]) == 0
    assert "--level" in capsys.readouterr().out
