"""kill -9 anywhere leaves the old or the new history, and a turn that can be run again to the same pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from crashing import Killer, Recorder, in_child, points, steps

from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadNotFound
from genllava_agent.nodes.ingest import REPLACED
from genllava_agent.records import Pending, Turn
from genllava_agent.stores.artifacts import image_from, latents_from
from genllava_agent.threads import Thread

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork")

Talk = Callable[..., VisualAgent]
Act = Callable[[Thread], object]


@dataclass(frozen=True)
class Case:
    """What the child does to a thread that `prepare` has made."""

    prepare: Act | None
    act: Act


def _draw(thread: Thread, **options: Any) -> object:
    return thread("draw a circle", task="generate", seed=11, **options)


def _twice(thread: Thread) -> None:
    _draw(thread)
    thread("make it red", task="edit", seed=12)


def _taken_back(thread: Thread) -> None:
    _twice(thread)
    thread.undo()


def _look(thread: Thread) -> object:
    return thread("what is it", [thread.images[1].image.rotate(90)], task="understand", seed=1)


CASES = {
    "a first turn": Case(None, _draw),
    "a turn that edits": Case(_draw, partial(Thread.__call__, text="make it red", task="edit", seed=12)),
    "a turn with a picture": Case(_draw, _look),
    "a question": Case(_draw, partial(_draw, approve="generate")),
    "an answer": Case(partial(_draw, approve="generate"), Thread.approve),
    "undo": Case(_twice, Thread.undo),
    "redo": Case(_taken_back, Thread.redo),
    "retry": Case(_twice, partial(Thread.retry, text="make it blue", task="edit", seed=13)),
    "discard": Case(partial(_draw, approve="generate"), Thread.discard),
}


def _plain(turns: list[Turn]) -> list[Any]:
    """What must be the same, whenever and however often a turn was run."""
    left_out: Any = {*("id", "parent", "at", "seconds", "steps"), "images"}
    return [
        turn.model_dump(exclude=left_out)
        | {"images": [image.model_dump(exclude={"latents"}) for image in turn.images]}  # see `_latents`
        | {"steps": [step.model_dump(exclude={"seconds"}) for step in turn.steps]}
        for turn in turns
    ]


def _files(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "threads" / "a" / "artifacts").glob("*.[pj]*"))


def _latents(thread: Thread) -> list[torch.Tensor]:
    """What is read again in one go, rather than as it was written, differs in the last digits."""
    store, records = thread.agent.store.artifacts(thread.name), (image.record for image in thread.images.values())
    return [store.latents(record.latents) for record in records if record.latents is not None]


def _state(agent: VisualAgent) -> tuple[Any, ...]:
    thread = agent.thread("a")
    return _plain(thread.history()), thread.pending is not None


def _cut_off(thread: Thread) -> Pending | None:
    """The turn that was cut off; one that waits was not."""
    unfinished = thread.unfinished
    return None if unfinished is None or unfinished.question is not None else unfinished


class Trial:
    """One case: what it looks like before and after, and which points are passed in between."""

    def __init__(self, case: Case, talk: Talk, folder: Path) -> None:
        self.case, self._talk, self._folder = case, talk, folder
        self._before = folder / "before"
        with talk(self._before) as agent:
            if case.prepare is not None:
                case.prepare(agent.thread("a"))
            self.old = _state(agent)
        shutil.copytree(self._before, folder / "after")
        recorder = Recorder()
        with talk(folder / "after") as agent:
            self._act(agent, recorder)
            self.names = list(recorder.names)
            self.new = _state(agent)
            self.pictures = {image.record.key for image in agent.thread("a").images.values()}
            self.latents = _latents(agent.thread("a"))
        self._new_files = _files(folder / "after")

    def kill(self, at: int) -> None:
        """End a child at point `at`, and look at what it left: whatever is done next."""
        killed = self._folder / f"killed{at}"
        shutil.copytree(self._before, killed)

        def work() -> None:
            self._act(self._talk(killed), Killer(at))

        assert in_child(work) is not None, f"never reached {self.names[at]}"
        for route in (self._again, self._ask, self._back, self._branch):
            place = self._folder / f"{route.__name__}{at}"
            shutil.copytree(killed, place)
            with self._talk(place) as agent:
                thread = agent.thread("a")
                self._whole(thread, place)
                route(thread, place)
            shutil.rmtree(place)
        shutil.rmtree(killed)

    def _act(self, agent: VisualAgent, reached: Callable[[str], None]) -> None:
        agent.store  # noqa: B018  # opened before points count
        with points(reached), steps(reached):
            self.case.act(agent.thread("a"))

    def _whole(self, thread: Thread, place: Path) -> None:
        """The history is the old or the new one, and all of its files are."""
        for file in (place / "threads" / "a" / "artifacts").glob("*"):
            read = image_from if file.suffix == ".png" else latents_from
            read(file.stem, file.read_bytes())  # raises where it is half a file
        assert _plain(thread.history()) in (self.old[0], self.new[0]), "neither the old history nor the new one"
        for image in thread.images.values():
            image.image.load()

    def _again(self, thread: Thread, place: Path) -> None:
        """What was cut off goes on, or is done again: there is no difference to a run that nobody cut off."""
        if _cut_off(thread) is not None:
            assert _plain(thread.history()) == self.old[0]
            thread.resume()
        elif _state(thread.agent) != self.new:  # type: ignore[arg-type]
            self.case.act(thread)
        assert _state(thread.agent) == self.new, "run again, it is another one"  # type: ignore[arg-type]
        assert {image.record.key for image in thread.images.values()} == self.pictures
        assert _files(place) == self._new_files, "files that nobody needs, or twice"
        torch.testing.assert_close(_latents(thread), self.latents, rtol=1e-3, atol=1e-4)
        if thread.pending is not None:
            thread.approve()
        self._goes_on(thread, place)

    def _ask(self, thread: Thread, place: Path) -> None:
        """Something else is asked: what was cut off stays, and says so."""
        before, unfinished = _plain(thread.history()), thread.unfinished
        reply = thread("say something", task="understand", seed=1)
        turns = thread.history()
        assert _plain(turns)[: len(before)] == before
        assert reply.turn == turns[-1].number
        assert turns[-1].request.text == "say something"
        stays = unfinished is not None and unfinished.number > len(before)  # else it was to take the place of the last
        assert len(turns) == len(before) + stays + 1
        assert [turn.number for turn in turns] == list(range(1, len(turns) + 1))
        if unfinished is not None and stays:
            assert turns[-2].request.text == unfinished.request.text
            assert turns[-2].stopped in (REPLACED, "cut off")
        self._goes_on(thread, place)

    def _back(self, thread: Thread, place: Path) -> None:
        """What was done last is taken back: the turn that was cut off, for good, or the last one, and that again."""
        before, unfinished = thread.history(), thread.unfinished
        if unfinished is not None:
            thread.undo()
            assert thread.history() == before
        if before:
            thread.undo()
            assert thread.history() == before[:-1]
            thread.redo()
            assert thread.history() == before
        assert thread.unfinished is None
        self._goes_on(thread, place)

    def _branch(self, thread: Thread, place: Path) -> None:
        """A branch has what has ended; the thread stays as it is."""
        before, unfinished = thread.history(), thread.unfinished
        if not before:
            self._ask(thread, place)
            return
        branch = thread.branch("b")
        assert branch.history() == before
        self._goes_on(branch, place)
        assert (thread.history(), thread.unfinished) == (before, unfinished)

    def _goes_on(self, thread: Thread, place: Path) -> None:
        count = len(thread.history())
        thread("say more", task="understand", seed=1)
        assert len(thread.history()) == count + 1, "the next turn does not work"
        assert thread.unfinished is None
        assert [f.name for f in (place / "threads" / thread.name).rglob("unfinished*")] == [], "half a file"


@pytest.mark.parametrize("name", CASES)
def test_kills(name: str, talk: Talk, quick_path: Path) -> None:
    """Some points of each case, so that all kinds of them are met."""
    trial = Trial(CASES[name], talk, quick_path)
    count = len(trial.names)
    for at in range(len(name) % 7, count, max(1, count // 4)):
        trial.kill(at)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_kills_at_every_point(name: str, talk: Talk, quick_path: Path) -> None:
    trial = Trial(CASES[name], talk, quick_path)
    faults = dict[str, str]()
    for at in range(len(trial.names)):
        try:
            trial.kill(at)
        except Exception as error:
            faults[f"{at} {trial.names[at]}"] = f"{type(error).__name__}: {error}"[:300]
    print(f"{name}: {len(trial.names)} kills at {len(set(trial.names))} named points")
    assert faults == {}


def _outside(agent: VisualAgent, act: Callable[[VisualAgent], object], reached: Callable[[str], None]) -> None:
    agent.store  # noqa: B018
    with points(reached), steps(reached):
        act(agent)


@pytest.mark.parametrize("kills", [5, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("action", ["branch", "delete"])
def test_kills_of_threads_as_a_whole(action: str, kills: int | None, talk: Talk, quick_path: Path) -> None:
    """A branch is there with all of its turns or not at all; so is a thread that is deleted."""
    with talk(quick_path / "before") as agent:
        _twice(agent.thread("a"))
        turns = _plain(agent.thread("a").history())

    def act(agent: VisualAgent) -> object:
        return agent.thread("a").branch("b") if action == "branch" else agent.thread("a").delete()

    recorder = Recorder()
    shutil.copytree(quick_path / "before", quick_path / "count")
    with talk(quick_path / "count") as agent:
        _outside(agent, act, recorder)
    count = len(recorder.names)
    for at in range(0, count, 1 if kills is None else count // kills):
        name = recorder.names[at]
        place = quick_path / f"run{at}"
        shutil.copytree(quick_path / "before", place)
        assert in_child(partial(_outside, talk(place), act, Killer(at))) is not None, name
        with talk(place) as agent:
            for thread in agent.threads():
                assert _plain(agent.thread(thread).history()) == turns, name
                assert agent.thread(thread).unfinished is None
                for image in agent.thread(thread).images.values():
                    image.image.load()
            if action == "delete" and "a" not in agent.threads():
                assert list((place / "threads").iterdir()) == [], "what was deleted is still there"
            if action == "branch" and "b" not in agent.threads():
                agent.thread("a").branch("b")
            if action == "delete" and "a" in agent.threads():
                agent.thread("a").delete()
                with pytest.raises(ThreadNotFound):
                    agent.thread("a", must_exist=True)
            for thread in agent.threads():
                agent.thread(thread)("say more", task="understand", seed=1)
                assert len(agent.thread(thread).history()) == len(turns) + 1
        shutil.rmtree(place)
    print(f"{action}: {count} points")
