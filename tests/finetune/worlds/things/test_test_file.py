"""The test file: it is read, can be played, and the grader tells who plays it well from who does not."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from genllava_finetune.worlds.things.grading.grading import read_picture
from genllava_finetune.worlds.things.grading.test_file_cases import TestChat, half, load_test_file
from genllava_finetune.worlds.things.grading.test_file_run import FileReport, play, run_test_file
from genllava_finetune.worlds.things.pictures.render import render
from genllava_finetune.worlds.things.pictures.scene import Scene
from tests.finetune.worlds.things.perfect_player import Idler, Player, carried, read_carried


@lru_cache(maxsize=1)
def played() -> tuple[FileReport, dict[str, Player]]:
    """The whole file, played by the rules."""
    players: dict[str, Player] = {}

    def begin(case: TestChat) -> Player:
        players[case.id] = Player(case)
        return players[case.id]

    return run_test_file(begin, load_test_file(), read=read_carried, draw=carried), players


def test_it_is_whole() -> None:
    cases = load_test_file()
    assert len([case for case in cases if case.single]) == 400
    assert len([case for case in cases if not case.single]) == 300
    assert len({case.id for case in cases}) == 700
    dev, test = half(cases, "dev"), half(cases, "test")
    assert {case.id for case in dev} | {case.id for case in test} == {case.id for case in cases}
    assert not {case.id for case in dev} & {case.id for case in test}


def test_who_does_what_is_expected_is_right() -> None:
    """Everywhere but where the world cannot do it (another colour for a thing of many), and in what follows there."""
    report, players = played()
    failed = {chat for chat, player in players.items() if player.failed}
    every = {**report.chats, **report.requests}
    wrong = [
        (chat, turn.say) for chat, turns in every.items() for turn in turns if not turn.right and chat not in failed
    ]
    assert not wrong
    shares = report.shares()
    assert shares["turns of chats"].value > 0.96
    assert shares["single requests"].value > 0.97
    assert len(failed) < 60


def test_who_does_nothing_is_wrong() -> None:
    report = run_test_file(lambda case: Idler(), load_test_file(), read=read_carried, draw=carried)
    shares = report.shares()
    assert shares["turns of chats"].value < 0.02
    assert shares["single requests"].value < 0.02


@pytest.mark.usefixtures("things_art")
def test_with_real_pictures() -> None:
    class Drawing(Player):
        """Draws what it means, so that the oracle reads it."""

        def put(self, image: Image.Image) -> str:
            scene = image.info.get("scene")
            if scene is None or image.size != (1, 1):
                return super().put(image)
            drawn = render(scene)
            drawn.info["scene"] = scene
            return super().put(drawn)

    def draw(scene: Scene) -> Image.Image:
        image = render(scene)
        image.info["scene"] = scene
        return image

    case = next(case for case in load_test_file() if case.id == "chat-001")
    results = play(_Real(Drawing(case)), case, read=read_picture, draw=draw)
    assert all(turn.right for turn in results)


class _Real:
    """A chat whose pictures are plain pictures."""

    def __init__(self, player: Player) -> None:
        self._player = player

    @property
    def images(self) -> dict[str, Any]:
        return {name: SimpleNamespace(image=shown.picture) for name, shown in self._player.images.items()}

    def __call__(self, text: str, images: Any = None, **options: Any) -> Any:
        return self._player(text, images, **options)


def test_the_report_is_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    run_test_file(Player, load_test_file()[:3], read=read_carried, draw=carried, path=path)
    read = json.loads(path.read_text())
    assert set(read) == {"figures", "cases"}
    assert len(read["cases"]) == 3
