"""What a thread takes on disk: little, and in proportion to what was said and shown."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from genllava_agent import VisualAgent
from genllava_agent.stores.artifacts import image_bytes

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

Talk = Callable[..., VisualAgent]
MB = 1_000_000


def _bytes(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def _noise(seed: int, side: int = 577) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def _photo(seed: int, side: int) -> Image.Image:
    """Smooth, with a little grain: what a camera gives."""
    numbers = np.random.default_rng(seed)
    coarse = Image.fromarray(numbers.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + numbers.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.slow
def test_a_hundred_text_turns_take_at_most_three_megabytes(talk: Talk, quick_path: Path) -> None:
    sizes = []
    for count in range(0, 101, 25):
        with talk(quick_path) as agent:
            thread = agent.thread("a")
            while len(thread.history()) < count:
                thread("what do you see in the picture that I sent you", task="understand")
        sizes.append(_bytes(quick_path))
        assert not list(quick_path.rglob("*-wal")), "closing leaves a log"
    print("text turns 0, 25, 50, 75, 100:", sizes)
    assert sizes[-1] <= 3 * MB
    steps = [after - before for before, after in pairwise(sizes[1:])]
    assert max(steps) <= 1.5 * min(steps) + 8192, "not linear"


@pytest.mark.slow
def test_a_hundred_turns_of_the_shipped_model(pipeline: GenLlavaPipeline, quick_path: Path) -> None:
    with VisualAgent(pipeline, store=quick_path) as agent:
        thread = agent.thread("a")
        for number in range(100):
            thread(f"What can you do? ({number})", task="understand")
    print(f"100 text turns of the shipped model: {_bytes(quick_path):,} bytes")
    assert _bytes(quick_path) <= 3 * MB


def test_ten_turns_with_pictures_of_a_megabyte(talk: Talk, quick_path: Path) -> None:
    sizes = []
    with talk(quick_path) as agent:
        thread = agent.thread("a")
        for number in range(10):
            picture = _noise(number)
            assert len(image_bytes(picture)) == pytest.approx(MB, rel=0.01)
            thread("what is it", picture, task="understand")
            sizes.append(_bytes(quick_path))
    print(f"10 turns with pictures of 1 MB: {_bytes(quick_path):,} bytes")
    assert _bytes(quick_path) <= 11 * MB
    assert all(after - before < 1.05 * MB for before, after in pairwise(sizes))


def test_the_same_picture_is_kept_once(talk: Talk, quick_path: Path) -> None:
    with talk(quick_path) as agent:
        for _ in range(5):
            agent.thread("a")("what is it", _noise(1), task="understand")
    assert _bytes(quick_path) < 1.2 * MB


def test_a_branch_costs_no_pictures(talk: Talk, quick_path: Path) -> None:
    with talk(quick_path) as agent:
        agent.thread("a")("what is it", _noise(1), task="understand")
        for number in range(5):
            agent.thread("a").branch(f"b{number}")
        blocks = {file.stat().st_ino: file.stat().st_size for file in quick_path.rglob("*") if file.is_file()}
        assert sum(blocks.values()) < 1.5 * MB
        agent.thread("a").delete()
        for number in range(5):
            branch = agent.thread(f"b{number}")
            assert branch.images[1].image.tobytes() == _noise(1).tobytes()
            branch.delete()
    assert _bytes(quick_path) == 0, "something is left of threads that were deleted"


def test_a_branch_where_there_are_no_links(talk: Talk, quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", link)
    agent = talk(quick_path)
    agent.thread("a")("what is it", _noise(1), task="understand")
    branch = agent.thread("a").branch("b")
    agent.thread("a").delete()
    assert branch.images[1].image.tobytes() == _noise(1).tobytes()


def test_the_log_stays_short_while_the_thread_is_open(talk: Talk, quick_path: Path) -> None:
    thread = talk(quick_path).thread("a")
    for _ in range(10):
        thread("say", task="understand")
        assert [file.stat().st_size for file in quick_path.rglob("*-wal")] in ([], [0])


@pytest.mark.slow
def test_ten_turns_with_photos_of_a_megabyte(talk: Talk, quick_path: Path) -> None:
    """They are kept as the JPEG that they came as; as PNG they take several times as much."""
    sizes = []
    with talk(quick_path / "store") as agent:
        thread = agent.thread("a")
        for number in range(10):
            file, photo = quick_path / f"{number}.jpg", _photo(number, 1770)
            photo.save(file, quality=95)
            assert file.stat().st_size == pytest.approx(MB, rel=0.03)
            thread("what is it", file if number % 2 else file.read_bytes(), task="understand")
            sizes.append(_bytes(quick_path / "store"))
        assert len(image_bytes(thread.images[1].image)) > 3 * MB
        thread.retry()
    print(f"10 turns with photos of 1 MB: {sizes[-1]:,} bytes")
    assert _bytes(quick_path / "store") <= 11 * MB
    assert all(after - before < 1.06 * MB for before, after in pairwise(sizes))


def test_settings_of_the_database(talk: Talk, quick_path: Path) -> None:
    thread = talk(quick_path).thread("a")
    thread("say", task="understand")
    store: Any = thread.agent.store
    connection: sqlite3.Connection = store.saver("a").conn
    assert connection.execute("PRAGMA synchronous").fetchone() == (1,)  # and all of it where a turn ends
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
