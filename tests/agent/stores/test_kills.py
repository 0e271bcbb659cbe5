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
from crashing import Killer, Recorder, in_child, points

from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadNotFound
from genllava_agent.records import Turn
from genllava_agent.stores.artifacts import image_from, latents_from
from genllava_agent.threads import Thread

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork")

Talk = Callable[..., VisualAgent]
Act = Callable[[Thread], object]


@dataclass(frozen=True)
class Case:
    """What the child does to a thread that `prepare` has made."""

    prepare: Callable[[Thread], object] | None
    act: Act


def _draw(thread: Thread, **options: Any) -> object:
    return thread("draw a circle", task="generate", seed=11, **options)


def _twice(thread: Thread) -> None:
    _draw(thread)
    thread("make it red", task="edit", seed=12)


CASES = {
    "a first turn": Case(None, _draw),
    "a turn that edits": Case(_draw, partial(Thread.__call__, text="make it red", task="edit", seed=12)),
    "a turn with a picture": Case(
        _draw, lambda thread: thread("what is it", [thread.images[1].image.rotate(90)], task="understand", seed=1)
    ),
    "a question": Case(_draw, partial(_draw, approve="generate")),
    "an answer": Case(partial(_draw, approve="generate"), Thread.approve),
    "undo": Case(_twice, Thread.undo),
    "retry": Case(_twice, partial(Thread.retry, text="make it blue", task="edit", seed=13)),
    "discard": Case(partial(_draw, approve="generate"), Thread.discard),
}


def _plain(turns: list[Turn]) -> list[Any]:
    """What must be the same, whenever and however often a turn was run."""
    same = {"id", "parent", "at", "seconds", "steps"}
    return [
        turn.model_dump(exclude=same) | {"steps": [step.model_dump(exclude={"seconds"}) for step in turn.steps]}
        for turn in turns
    ]


def _files(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "threads" / "a" / "artifacts").glob("*"))


def _state(agent: VisualAgent) -> tuple[Any, ...]:
    thread = agent.thread("a")
    return _plain(thread.history()), thread.pending is not None


class Trial:
    """One case: what it looks like before and after, and which points are passed in between."""

    def __init__(self, case: Case, talk: Talk, folder: Path) -> None:
        self.case, self._talk, self._folder = case, talk, folder
        self._before = folder / "before"
        with talk(self._before) as agent:
            if case.prepare is not None:
                case.prepare(agent.thread("a"))
            self.old = _state(agent)
        self._old_files = _files(self._before)
        shutil.copytree(self._before, folder / "after")
        recorder = Recorder()
        with talk(folder / "after") as agent:
            agent.store  # noqa: B018  # opened before points count, as in the child
            with points(recorder):
                case.act(agent.thread("a"))
            self.names = list(recorder.names)
            self.new = _state(agent)
            self.pictures = {image.record.key for image in agent.thread("a").images.values()}
        self._new_files = _files(folder / "after")

    def kill(self, at: int) -> None:
        """End a child at point `at`, and look at what it left."""
        place = self._folder / f"killed{at}"
        shutil.copytree(self._before, place)

        def work() -> None:
            agent = self._talk(place)
            agent.store  # noqa: B018
            with points(Killer(at)):
                self.case.act(agent.thread("a"))

        assert in_child(work) is not None, f"never reached {self.names[at]}"
        with self._talk(place) as agent:
            self._look(agent, place)
        shutil.rmtree(place)

    def _look(self, agent: VisualAgent, place: Path) -> None:
        thread = agent.thread("a")
        for file in (place / "threads" / "a" / "artifacts").glob("*"):
            read = image_from if file.suffix == ".png" else latents_from
            read(file.stem, file.read_bytes())  # raises where it is half a file
        state = _state(agent)
        assert state in (self.old, self.new), "neither the old history nor the new one"
        for image in thread.images.values():
            image.image.load()
        unfinished = thread.unfinished
        if unfinished is not None and unfinished.question is None:
            thread.resume()
            assert _state(agent) == self.new, "run again, the turn is another one"
        elif state != self.new:  # nothing of it is left: whoever asked does it again
            self.case.act(thread)
            assert _state(agent) == self.new
        assert {image.record.key for image in thread.images.values()} == self.pictures
        assert _files(place) == self._new_files, "files that nobody needs, or twice"
        rest = [file for file in (place / "threads").rglob("*") if file.name.startswith("unfinished")]
        assert rest == [], "half a file"
        if thread.pending is not None:
            thread.approve()
        count = len(thread.history())
        thread("say something", task="understand", seed=1)
        assert len(thread.history()) == count + 1, "the next turn does not work"


@pytest.mark.parametrize("name", CASES)
def test_kills(name: str, talk: Talk, quick_path: Path) -> None:
    """Every twentieth point, so that all kinds of them are met."""
    trial = Trial(CASES[name], talk, quick_path)
    for at in range(len(name) % 20, len(trial.names), 20):
        trial.kill(at)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_at_every_point(talk: Talk, quick_path: Path) -> None:
    kills, points_met = 0, set[str]()
    for name, case in CASES.items():
        (quick_path / name).mkdir()
        trial = Trial(case, talk, quick_path / name)
        for at in range(len(trial.names)):
            trial.kill(at)
        kills += len(trial.names)
        points_met |= set(trial.names)
        print(f"{name}: {len(trial.names)} kills at {len(set(trial.names))} named points")
    print(f"{kills} kills at {len(points_met)} named points")
    assert kills >= 300


def _outside(agent: VisualAgent, act: Callable[[VisualAgent], object], at: int | None, reached: Recorder) -> None:
    agent.store  # noqa: B018
    with points(reached if at is None else Killer(at)):
        act(agent)


@pytest.mark.parametrize("action", ["branch", "delete"])
def test_kills_of_threads_as_a_whole(action: str, talk: Talk, quick_path: Path) -> None:
    """A branch is there with all of its turns or not at all; so is a thread that is deleted."""
    with talk(quick_path / "before") as agent:
        _twice(agent.thread("a"))
        turns = _plain(agent.thread("a").history())

    def act(agent: VisualAgent) -> object:
        return agent.thread("a").branch("b") if action == "branch" else agent.thread("a").delete()

    def run(at: int | None, reached: Recorder) -> Path:
        place = quick_path / f"run{at}"
        shutil.copytree(quick_path / "before", place)
        agent = talk(place)
        if at is None:
            _outside(agent, act, None, reached)
        else:
            assert in_child(partial(_outside, agent, act, at, reached)) is not None
        agent.close()
        return place

    recorder = Recorder()
    run(None, recorder)
    names = list(recorder.names)
    for at in range(len(names)):
        place = run(at, recorder)
        with talk(place) as agent:
            for name in agent.threads():
                assert _plain(agent.thread(name).history()) == turns, names[at]
                for image in agent.thread(name).images.values():
                    image.image.load()
            if action == "delete" and "a" not in agent.threads():
                assert list((place / "threads").iterdir()) == [], "what was deleted is still there"
            if action == "branch" and "b" not in agent.threads():
                agent.thread("a").branch("b")
            if action == "delete" and "a" in agent.threads():
                agent.thread("a").delete()
                with pytest.raises(ThreadNotFound):
                    agent.thread("a", must_exist=True)
        shutil.rmtree(place)
    print(f"{action}: {len(names)} kills")
