"""Damaged files: an error that says so, or the right answer; never a wrong one, and never on another thread."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadQuarantined
from genllava_agent.stores.folder import FolderStore
from genllava_agent.stores.serializer import serializer
from genllava_agent.stores.waiting_state import load_state

Talk = Callable[..., VisualAgent]


@pytest.fixture
def sound(talk: Talk, quick_path: Path) -> Path:
    """A store with a thread of four turns, and another one."""
    place = quick_path / "sound"
    with talk(place) as agent:
        thread = agent.thread("a")
        for number in range(2):
            thread("say something", task="understand", seed=number)
            thread("draw a circle", task="generate", seed=number)
        agent.thread("b")("draw a circle", task="generate", seed=9)
        thread("draw a circle", task="generate", seed=3, approve="generate")
    return place


def _content(store: FolderStore, name: str) -> Any:
    """All that is kept of a thread."""
    thread = store.open(name)
    head = thread.head()
    assert head is not None
    turns = thread.history(head.turn)
    images = [record for turn in turns for record in turn.images]
    pixels = [thread.picture(record).tobytes() for record in images]
    latents = [thread.latents(record.latents).tolist() for record in images if record.latents is not None]
    state = None
    if head.pending is not None:
        target = InMemorySaver(serde=serializer())
        load_state(thread, target, head.pending)
        waiting = target.get_tuple({"configurable": {"thread_id": head.pending.id}})
        assert waiting is not None
        state = waiting.checkpoint["channel_values"], [write[1:] for write in waiting.pending_writes or []]
    return head, turns, pixels, latents, repr(state)


def _reads(sound: Path, place: Path, file: str, damages: list[Callable[[bytearray], object]]) -> tuple[int, int]:
    """(noticed, harmless) after each damage to `file`."""
    store = FolderStore(sound)
    truth, other = _content(store, "a"), _content(store, "b")
    store.close()
    noticed = 0
    for damage in damages:
        shutil.copytree(sound, place)
        data = bytearray((place / file).read_bytes())
        damage(data)
        (place / file).write_bytes(data)
        store = FolderStore(place)
        try:
            assert _content(store, "a") == truth, "a wrong answer, and nobody was told"
        except ThreadQuarantined:
            noticed += 1
        assert _content(store, "b") == other
        assert store.names() == ["a", "b"]
        store.close()
        shutil.rmtree(place)
    return noticed, len(damages) - noticed


def _flips(size: int, count: int) -> list[Callable[[bytearray], object]]:
    numbers = random.Random(1)

    def flip(place: int, bit: int) -> Callable[[bytearray], object]:
        def damage(data: bytearray) -> None:
            data[place] ^= 1 << bit

        return damage

    places = sorted({*range(0, 100, 3), *(numbers.randrange(size) for _ in range(count))})
    return [flip(place, numbers.randrange(8)) for place in places]


def _cuts(size: int, count: int) -> list[Callable[[bytearray], object]]:
    def cut(length: int) -> Callable[[bytearray], object]:
        def damage(data: bytearray) -> None:
            del data[length:]

        return damage

    return [cut(size * number // count) for number in range(count)]


DATABASE = "threads/a/thread.sqlite"


def test_flipped_bits_and_cut_databases(sound: Path, quick_path: Path) -> None:
    size = (sound / DATABASE).stat().st_size
    noticed, harmless = _reads(sound, quick_path / "copy", DATABASE, _flips(size, 80) + _cuts(size, 20))
    assert noticed > 20, f"{noticed} noticed, {harmless} harmless"


@pytest.mark.slow
def test_a_thousand_flipped_bits_and_a_hundred_cuts(sound: Path, quick_path: Path) -> None:
    size = (sound / DATABASE).stat().st_size
    flips = _reads(sound, quick_path / "copy", DATABASE, _flips(size, 1000))
    cuts = _reads(sound, quick_path / "copy", DATABASE, _cuts(size, 100))
    print(f"database: {sum(flips)} flips {flips}, {sum(cuts)} cuts {cuts} (noticed, harmless)")
    assert cuts[0] == 100


def test_damaged_artifacts(sound: Path, quick_path: Path) -> None:
    for kind in ("png", "safetensors"):
        file = next((sound / "threads/a/artifacts").glob(f"*.{kind}"))
        size, name = file.stat().st_size, str(file.relative_to(sound))
        noticed, _ = _reads(sound, quick_path / "copy", name, _flips(size, 60) + _cuts(size, 30))
        assert noticed >= 30


def test_pages_of_zeros_and_of_others(sound: Path, quick_path: Path) -> None:
    """What a disk does that loses or mixes up pages."""

    def zero(page: int) -> Callable[[bytearray], object]:
        def damage(data: bytearray) -> None:
            data[page * 4096 : (page + 1) * 4096] = bytes(4096)

        return damage

    def swap(page: int) -> Callable[[bytearray], object]:
        def damage(data: bytearray) -> None:
            first, second = slice(page * 4096, (page + 1) * 4096), slice((page + 1) * 4096, (page + 2) * 4096)
            data[first], data[second] = data[second], data[first]

        return damage

    pages = (sound / DATABASE).stat().st_size // 4096
    damages = [zero(page) for page in range(pages)] + [swap(page) for page in range(pages - 1)]
    noticed, _ = _reads(sound, quick_path / "copy", DATABASE, damages)
    assert noticed > pages


def test_a_damaged_log_of_a_killed_process(talk: Talk, quick_path: Path) -> None:
    """A turn that was acknowledged is not in the log any more."""
    with talk(quick_path / "open") as agent:
        agent.thread("a")("draw a circle", task="generate", seed=1)
        agent.thread("a")("say", task="understand", seed=1)
        shutil.copytree(quick_path / "open", quick_path / "killed")  # as it is in the middle of everything
    for log in (quick_path / "killed/threads/a").glob("*-wal"):
        assert log.stat().st_size == 0
        log.write_bytes(b"\xff" * 8192)
    store = FolderStore(quick_path / "killed")
    assert len(store.open("a").history(store.open("a").head().turn)) == 2  # type: ignore[union-attr]
    store.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE turns SET body = replace(body, 'something', 'everything')",
        "UPDATE turns SET sum = 'x'",
        "UPDATE turns SET body = CAST(body AS BLOB)",
        "UPDATE turns SET body = 7, sum = 7",
        "UPDATE turns SET id = id || 'x'",
        "DELETE FROM turns WHERE rowid = 1",
        "UPDATE turns SET body = (SELECT body FROM turns LIMIT 1), sum = (SELECT sum FROM turns LIMIT 1)",
        "UPDATE head SET body = replace(body, 'turn', 'nurt')",
        "DELETE FROM head",
        "DROP TABLE head",
        "DROP TABLE turns",
        "DROP TABLE checkpoints",
        "ALTER TABLE turns RENAME COLUMN body TO bodies",
        "CREATE TRIGGER t AFTER INSERT ON turns BEGIN DELETE FROM turns; END",
        "CREATE VIEW v AS SELECT * FROM turns",
        "UPDATE checkpoints SET checkpoint = x'00'",
        "UPDATE checkpoints SET type = 'json', checkpoint = '{}'",
        "UPDATE checkpoints SET metadata = 'x'",
        "UPDATE checkpoints SET checkpoint_id = ''",
        "DELETE FROM checkpoints",
        "UPDATE writes SET value = NULL",
        "UPDATE writes SET channel = 7, type = 'pickle'",
        "DELETE FROM writes",
    ],
)
def test_changed_rows(change: str, sound: Path, talk: Talk) -> None:
    with closing(sqlite3.connect(sound / DATABASE)) as connection:
        connection.execute(change)
        connection.commit()
    agent = talk(sound)
    thread = agent.thread("a")
    if "checkpoints SET" in change or "writes" in change or "FROM checkpoints" in change:
        with pytest.raises(ThreadQuarantined, match="discard"):
            thread.approve()
        thread.discard()
        assert thread("say", task="understand").turn == 5
    else:
        with pytest.raises(ThreadQuarantined):
            thread.history()
    agent.thread("b")("say", task="understand")
    thread.delete()
    assert agent.threads() == ["b"]
    thread("draw a circle", task="generate", seed=1)


def test_an_artifact_that_is_damaged_is_healed_by_sending_it_again(talk: Talk, sound: Path) -> None:
    thread = talk(sound).thread("b")
    picture = thread.images[1].image
    for file in (sound / "threads/b/artifacts").glob("*.png"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ThreadQuarantined):
        thread.images[1].image.load()
    thread("what is it", picture, task="understand")
    assert thread.images[1].image.tobytes() == picture.tobytes()


def test_what_another_version_wrote(talk: Talk, sound: Path) -> None:
    """A row that is intact, and not what this version knows."""
    import hashlib

    body = '{"name":"a","turn":null,"undone":[],"pending":null,"new_field":1}'
    with closing(sqlite3.connect(sound / DATABASE)) as connection:
        connection.execute("UPDATE head SET body = ?, sum = ?", (body, hashlib.sha256(body.encode()).hexdigest()))
        connection.commit()
    with pytest.raises(ThreadQuarantined, match="version"):
        talk(sound).thread("a").history()
