"""Damaged files: an error that says so, or the right answer; never a wrong one, and never on another thread."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from damaging import Damage, cuts, flips, swaps, zeros

from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadQuarantined

Talk = Callable[..., VisualAgent]
DATABASE = "threads/a/checkpoints.sqlite"


@pytest.fixture
def sound(talk: Talk, quick_path: Path) -> Path:
    """A store with a thread of four turns that asks something, and another one."""
    place = quick_path / "sound"
    with talk(place) as agent:
        thread = agent.thread("a")
        for number in range(2):
            thread("say something", task="understand", seed=number)
            thread("draw a circle", task="generate", seed=number)
        agent.thread("b")("draw a circle", task="generate", seed=9)
        thread("draw a circle", task="generate", seed=3, approve="generate")
    return place


def _content(agent: VisualAgent, name: str) -> Any:
    """All that is kept of a thread."""
    thread = agent.thread(name)
    kept, images = agent.store.artifacts(name), list(thread.images.values())
    latents = [kept.latents(image.record.latents).tolist() for image in images if image.record.latents is not None]
    return thread.history(), thread.unfinished, [image.image.tobytes() for image in images], latents


def _reads(talk: Talk, sound: Path, place: Path, file: str, damages: list[Damage]) -> tuple[int, int]:
    """(noticed, harmless) after each damage to `file`."""
    with talk(sound) as agent:
        truth, other = _content(agent, "a"), _content(agent, "b")
    noticed = 0
    for damage in damages:
        shutil.copytree(sound, place)
        data = bytearray((place / file).read_bytes())
        damage(data)
        (place / file).write_bytes(data)
        with talk(place) as agent:
            try:
                assert _content(agent, "a") == truth, "a wrong answer, and nobody was told"
            except ThreadQuarantined:
                noticed += 1
            assert _content(agent, "b") == other
            assert agent.threads() == ["a", "b"]
        shutil.rmtree(place)
    return noticed, len(damages) - noticed


def test_flipped_bits_and_cut_databases(talk: Talk, sound: Path, quick_path: Path) -> None:
    size = (sound / DATABASE).stat().st_size
    noticed, harmless = _reads(talk, sound, quick_path / "copy", DATABASE, flips(size, 40) + cuts(size, 10))
    assert noticed > 40, f"{noticed} noticed, {harmless} harmless"


@pytest.mark.slow
def test_a_thousand_flipped_bits_and_a_hundred_cuts(talk: Talk, sound: Path, quick_path: Path) -> None:
    size = (sound / DATABASE).stat().st_size
    flipped = _reads(talk, sound, quick_path / "copy", DATABASE, flips(size, 1000))
    cut = _reads(talk, sound, quick_path / "copy", DATABASE, cuts(size, 100))
    print(f"database: {sum(flipped)} flips {flipped}, {sum(cut)} cuts {cut} (noticed, harmless)")
    assert cut[0] == 100


@pytest.mark.parametrize("kind", ["png", "safetensors"])
def test_damaged_artifacts(kind: str, talk: Talk, sound: Path, quick_path: Path) -> None:
    file = next((sound / "threads/a/artifacts").glob(f"*.{kind}"))
    size, name = file.stat().st_size, str(file.relative_to(sound))
    noticed, harmless = _reads(talk, sound, quick_path / "copy", name, flips(size, 40) + cuts(size, 20))
    print(f"{kind}: {noticed} noticed, {harmless} harmless")
    assert noticed >= 30


def test_pages_of_zeros_and_of_others(talk: Talk, sound: Path, quick_path: Path) -> None:
    """What a disk does that loses or mixes up pages."""
    pages = (sound / DATABASE).stat().st_size // 4096
    noticed, _ = _reads(talk, sound, quick_path / "copy", DATABASE, (zeros(pages) + swaps(pages))[::2])
    assert noticed > 0.75 * pages


def test_a_damaged_log_of_a_killed_process(talk: Talk, quick_path: Path) -> None:
    """A turn that was acknowledged is not in the log any more."""
    with talk(quick_path / "open") as agent:
        agent.thread("a")("draw a circle", task="generate", seed=1)
        agent.thread("a")("say", task="understand", seed=1)
        turns = agent.thread("a").history()
        shutil.copytree(quick_path / "open", quick_path / "killed")  # as it is in the middle of everything
    for log in (quick_path / "killed/threads/a").glob("*-wal"):
        assert log.stat().st_size == 0
        log.write_bytes(b"\xff" * 8192)
    assert talk(quick_path / "killed").thread("a").history() == turns


USES: dict[str, Callable[[Any], object]] = {
    "history": lambda thread: thread.history(),
    "pending": lambda thread: thread.pending,
    "unfinished": lambda thread: thread.unfinished,
    "images": lambda thread: thread.images,
    "ask": lambda thread: thread("say", task="understand"),
    "approve": lambda thread: thread.approve(),
    "resume": lambda thread: thread.resume(),
    "retry": lambda thread: thread.retry(),
    "undo": lambda thread: thread.undo(),
    "redo": lambda thread: thread.redo(),
    "branch": lambda thread: thread.branch("c"),
    "discard": lambda thread: thread.discard(),
}


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE writes SET value = x'00' || substr(value, 2) WHERE channel = 'messages'",
        "UPDATE writes SET value = substr(value, 1, 20)",
        "UPDATE checkpoints SET checkpoint = x'00'",
        "UPDATE checkpoints SET type = 'pickle'",
        "DROP TABLE writes",
    ],
)
def test_a_damaged_thread_is_left_as_it_is(change: str, settled: bool, sound: Path, talk: Talk) -> None:
    """Whatever is done with it, and also where it was cut off in the middle of a turn: but it can be deleted."""
    with closing(sqlite3.connect(sound / DATABASE)) as connection:
        if not settled:
            connection.execute("DELETE FROM settled")
        connection.execute(change)
        connection.commit()
    before = (sound / DATABASE).read_bytes()
    agent = talk(sound)
    for name, use in USES.items():
        with pytest.raises(ThreadQuarantined):
            print(name, use(agent.thread("a")))
    agent.close()
    assert (sound / DATABASE).read_bytes() == before
    assert agent.threads() == ["a", "b"]
    agent.thread("b")("say", task="understand")
    agent.thread("a").delete()
    assert agent.threads() == ["b"]
    assert agent.thread("a")("draw a circle", task="generate", seed=1).turn == 1


def test_an_artifact_that_is_damaged_is_healed_by_sending_it_again(talk: Talk, sound: Path) -> None:
    thread = talk(sound).thread("b")
    picture = thread.images[1].image
    for file in (sound / "threads/b/artifacts").glob("*.png"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ThreadQuarantined):
        thread.images[1].image.load()
    thread("what is it", picture, task="understand")
    assert thread.images[1].image.tobytes() == picture.tobytes()


def test_artifacts_that_are_missing(talk: Talk, sound: Path) -> None:
    agent = talk(sound)
    thread, turns = agent.thread("a"), agent.thread("a").history()
    shutil.rmtree(sound / "threads/a/artifacts")
    assert thread.history() == turns, "what was said does not need them"
    for use in (lambda: thread.images[1].image, lambda: thread.branch("c")):
        with pytest.raises(ThreadQuarantined):
            use()
    assert agent.threads() == ["a", "b"]
    agent.thread("b").images[1].image.load()
