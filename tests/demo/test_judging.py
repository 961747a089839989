from mofo.datasets.catalog import Video
from mofo.demo.judging import verdict
from mofo.demo.prediction_stage import one_of_each

GOOD = {"mofo": [0.5, 0.45, 0.55], "baseline": [0.4, 0.35, 0.45]}


def test_the_verdict_says_what_the_intervals_say():
    assert "is better than the baseline" in " ".join(verdict(GOOD, [0.1, 0.02, 0.18], 0.125))
    assert "is worse than the baseline" in " ".join(verdict(GOOD, [-0.1, -0.2, -0.01], 0.125))
    for difference in ([0.03, -0.02, 0.08], [0.0, 0.0, 0.0], [0.05, 0.0, 0.1]):
        text = " ".join(verdict(GOOD, difference, 0.125))
        assert "No difference between them can be told" in text
        assert "better" not in text


def test_a_model_that_may_be_guessing_is_named():
    text = " ".join(verdict({**GOOD, "mofo": [0.15, 0.1, 0.2]}, [-0.2, -0.3, -0.1], 0.125))
    assert "Not better than guessing, as far as can be told: mofo." in text
    assert "learned something" not in text
    assert "learned something" in " ".join(verdict(GOOD, [0.1, 0.02, 0.18], 0.125))


def test_clips_are_chosen_by_their_class_alone():
    videos = [
        Video(f"/{n}.mp4", f"{n}.mp4", labels=(("label", name),))
        for n, name in enumerate(("up", "down", "up", "left", "down"))
    ]
    assert [video.key for video in one_of_each(videos)] == ["0.mp4", "1.mp4", "3.mp4"]
