"""Threads that version 0.1 wrote, with the model that it shipped, are brought over on first use with nothing lost."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from genllava.images import content_key
from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadQuarantined

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

HERE = Path(__file__).parent
WANTED: dict[str, dict[str, Any]] = json.loads((HERE / "threads_0_1.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as version 0.1 left it."""
    with tarfile.open(HERE / "threads_0_1.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "threads_0_1"


@pytest.mark.parametrize("name", WANTED)
def test_turns_and_pictures_are_the_same(pipeline: GenLlavaPipeline, folder: Path, name: str) -> None:
    wanted = WANTED[name]
    for _ in range(2):  # once brought over it stays so
        with VisualAgent(pipeline, store=folder) as agent:
            thread = agent.thread(name, must_exist=True)
            turns = [turn.model_dump(mode="json") for turn in thread.history()]
            assert all(step.pop("fate") is None for turn in turns for step in turn["steps"]), "0.1 did not know it"
            assert turns == wanted["turns"]
            shown = {f"{key} {each.record.key}": content_key(each.image) for key, each in thread.images.items()}
            assert shown.items() <= wanted["pictures"].items()
    (left,) = (folder / "threads").glob("*/thread-0.1.sqlite")
    assert left.stat().st_size > 0, "the old database is put away, not removed"


def test_what_was_taken_back_can_be_brought_back(pipeline: GenLlavaPipeline, folder: Path) -> None:
    wanted = WANTED["talk"]
    assert wanted["undone"]
    with VisualAgent(pipeline, store=folder) as agent:
        thread = agent.thread("talk")
        thread.redo(len(wanted["undone"]))
        assert [turn.id for turn in thread.history()] == [
            turn["id"] for turn in [*wanted["turns"], *reversed(wanted["undone"])]
        ]
        assert thread("how many shapes are there?").text


def test_a_question_is_still_open(pipeline: GenLlavaPipeline, folder: Path) -> None:
    with VisualAgent(pipeline, store=folder) as agent:
        thread = agent.thread("asked")
        assert thread.pending is not None
        assert thread.pending.kind == "approval"
        reply = thread.approve()
        assert [step.outcome for step in reply.steps] == ["ok"]
        assert reply.image is not None


def test_a_turn_that_was_cut_off_can_be_run_again(pipeline: GenLlavaPipeline, folder: Path) -> None:
    with VisualAgent(pipeline, store=folder) as agent:
        thread = agent.thread("cut off")
        assert thread.unfinished is not None
        assert thread.unfinished.request.text == WANTED["cut off"]["head"]["pending"]["request"]["text"]
        reply = thread.resume()
        assert reply.image is not None
        assert reply.seed == WANTED["cut off"]["head"]["pending"]["seed"]


def test_one_that_is_damaged_is_quarantined_and_others_go_on(pipeline: GenLlavaPipeline, folder: Path) -> None:
    with sqlite3.connect(folder / "threads" / "talk" / "thread.sqlite") as connection:
        connection.execute("UPDATE turns SET body = replace(body, 'draw', 'drew')")
    with VisualAgent(pipeline, store=folder) as agent:
        with pytest.raises(ThreadQuarantined):
            agent.thread("talk").history()
        assert (folder / "threads" / "talk" / "thread.sqlite").exists()
        assert agent.thread("branch").history()
