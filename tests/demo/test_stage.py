import contextlib
import os
import signal

import pytest

from mofo.demo.stage import Stage, Stages, stop_remembered
from mofo.types import MofoError


class Counted:
    """A stage that counts how often it is done."""

    def __init__(self, folder, **more):
        self.folder, self.more, self.done, self.said = folder, more, 0, []
        self.error: BaseException | None = None

    def work(self):
        self.done += 1
        if self.error is not None:
            raise self.error
        (self.folder / "made").write_text("x")
        return {"done": self.done}

    def __call__(self, made_with=1):
        stages = Stages(self.folder, 1, self.said.append)
        stage = Stage(
            name="count",
            title="counting",
            about=("It counts.",),
            made_with={"value": made_with},
            work=self.work,
            told=lambda found: [f"done {found['done']}"],
            files=(self.folder / "made",),
            **self.more,
        )
        found = stages.do(stage)
        return found, stages.timings[0]


def test_what_is_there_is_told_and_not_done_again(tmp_path):
    count = Counted(tmp_path)
    first, timing = count()
    again, later = count()
    assert first == again == {"done": 1}
    assert count.done == 1
    assert (timing.before, later.before) == (False, True)
    assert later.seconds == timing.seconds
    assert count.said.count("     done 1") == 2
    assert any("made before" in line for line in count.said)


def test_a_stage_is_done_again_when_its_files_or_note_are_gone(tmp_path):
    count = Counted(tmp_path)
    count()
    (tmp_path / "made").unlink()
    count()
    assert count.done == 2
    (tmp_path / "notes/count.json").write_text('{"made_with": "tor')
    count()
    assert count.done == 3


def test_other_settings_make_it_again_unless_that_would_mix_results(tmp_path):
    count = Counted(tmp_path)
    count(1)
    count(2)
    assert count.done == 2
    keeps = Counted(tmp_path, again=False)
    with pytest.raises(MofoError, match="its counting was made with other settings: choose"):
        keeps(1)
    assert keeps.done == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, MofoError("x")])
def test_a_stage_that_is_stopped_goes_on_and_its_time_adds_up(tmp_path, error):
    count = Counted(tmp_path, again=False)
    count.error = error
    with pytest.raises((KeyboardInterrupt, MofoError)):
        count()
    count.error = None
    with pytest.raises(MofoError, match="other settings"):
        count(2)
    found, timing = count(1)
    assert found == {"done": 2}
    assert not timing.before


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_that_a_library_loses_ends_the_stage_all_the_same(tmp_path):
    def lose():
        with contextlib.suppress(KeyboardInterrupt):
            press_ctrl_c()

    count = Counted(tmp_path)
    work, count.work = count.work, lambda: (lose(), work())[1]
    with pytest.raises(KeyboardInterrupt):
        count()
    count.work = work
    _, timing = count()
    assert timing.before  # what was finished is not done again


def test_ctrl_c_that_a_library_turns_into_another_error_is_still_ctrl_c():
    def turn():
        try:
            press_ctrl_c()
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None

    with pytest.raises(KeyboardInterrupt), stop_remembered():
        turn()
    with pytest.raises(ValueError, match="a bug"), stop_remembered():
        raise ValueError("a bug")
    with pytest.raises(KeyboardInterrupt), stop_remembered():
        press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_ignores_ctrl_c_goes_on_doing_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_remembered():
            press_ctrl_c()
    finally:
        signal.signal(signal.SIGINT, before)
