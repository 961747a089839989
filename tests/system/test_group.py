"""Processes launched together: one that fails, dies or stands still ends all, with one line."""

import os
import signal
import threading
import time

import pytest
import torch

from helpers.ranks import ranks
from mofo import cli
from mofo.models.inference import Engine
from mofo.system import group
from mofo.types import MofoError


def command(monkeypatch, work):
    """A verb that does this in each process, with its rank."""

    def verb(words):
        engine = Engine.shared("fp32")
        group.watch(1.5)
        work(engine)
        group.leave(together=True)
        return 0

    monkeypatch.setattr(cli, "VERBS", {"try": verb})
    return lambda rank: cli.main(["try"])


def meet():
    """Waits for all others."""
    group.doing("meets the others", waits=True)
    torch.distributed.all_reduce(torch.zeros(1))


def test_all_is_well(monkeypatch):
    def work(engine):
        meet()
        assert engine.gather(lambda: engine.rank) == [0, 1, 2]

    codes, ended = ranks(3, command(monkeypatch, work))
    assert (codes, ended.err) == ([0, 0, 0], "")
    assert threading.active_count() == 1 or not group.is_watching()  # none of it is left here


@pytest.mark.parametrize(("rank", "error"), [(0, MofoError("a mistake")), (1, OSError(28, "full"))])
def test_an_error_of_one_process_ends_all_soon(monkeypatch, rank, error):
    def work(engine):
        meet()
        if engine.rank == rank:
            raise error
        while True:  # waits for nobody: torch would never tell it
            time.sleep(0.1)

    codes, ended = ranks(2, command(monkeypatch, work))
    assert codes == [1, 1]
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith("mofo try: ")
    assert ended.seconds < 60


def test_the_others_wait_in_torch(monkeypatch):
    def work(engine):
        meet()
        if engine.rank == 1:
            raise MofoError("a mistake")
        meet()

    codes, ended = ranks(2, command(monkeypatch, work))
    assert codes == [1, 1]
    assert ended.err == "mofo try: a mistake\n"


def test_a_killed_process_is_one_line(monkeypatch):
    def work(engine):
        meet()
        if engine.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        meet()

    codes, ended = ranks(2, command(monkeypatch, work))
    assert codes == [1, -9]
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "killed?" in ended.err


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_stands_still_is_named(monkeypatch, rank):
    def work(engine):
        meet()
        if engine.rank == rank:
            group.doing("reads the clips of step 7")
            time.sleep(300)
        meet()

    codes, ended = ranks(3, command(monkeypatch, work))
    assert codes == [1, 1, 1]
    assert len(ended.err.splitlines()) == 1, ended.err
    assert f"process {rank} of 3 reads the clips of step 7 since 1.5 s" in ended.err


def test_who_goes_on_slowly_is_not_ended(monkeypatch):
    def work(engine):
        meet()
        for number in range(4 * (engine.rank == 0)):
            group.doing(f"reads the clips of step {number}")
            time.sleep(1)
        meet()

    codes, ended = ranks(2, command(monkeypatch, work))
    assert (codes, ended.err) == ([0, 0], "")
