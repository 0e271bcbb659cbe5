"""Players of the test file without a model: one that does what is expected, by the world's own rules, and one that
does nothing. They only test the grader and the runner.

Pictures are of one pixel and carry their scenes, so that a whole run needs no drawing and no oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from PIL import Image

from genllava_finetune.worlds.things.grading.test_file_cases import Expected, TestChat
from genllava_finetune.worlds.things.pictures.scene import Scene
from tests.finetune.worlds.things.expected_pictures import CannotDo, answer, changed, drawn


def carried(scene: Scene) -> Image.Image:
    """A picture that carries a scene."""
    image = Image.new("RGB", (1, 1))
    image.info["scene"] = scene
    return image


def read_carried(image: Image.Image) -> Scene | None:
    """The scene that a picture carries."""
    found: Scene | None = image.info.get("scene")
    return found


@dataclass(slots=True)
class Step:
    action: str
    outcome: str = "ok"
    text: str = ""
    image: str | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    picture: Image.Image

    @property
    def image(self) -> Image.Image:
        return _Kept(self.picture)  # type: ignore[return-value]


class _Kept:
    """A picture whose conversion keeps what it carries."""

    def __init__(self, picture: Image.Image) -> None:
        self.info = picture.info

    def convert(self, mode: str) -> _Kept:
        return self


@dataclass(slots=True)
class Player:
    """A chat in which someone plays what the test file expects.

    Attributes:
        images: the pictures that stand, by name.
        failed: turns that cannot be played, each with what was expected.
    """

    case: TestChat
    images: dict[str, Shown] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    turns: list[dict[str, Shown]] = field(default_factory=list)
    undone: list[dict[str, Shown]] = field(default_factory=list)
    everything: list[Scene | None] = field(default_factory=list)
    view: Scene | None = None
    last: tuple[Expected, Scene | None] | None = None
    number: int = 0

    def __call__(self, text: str, images: Any = None, **options: Any) -> Any:
        turn = self.case.turns[self.number]
        self.number += 1
        self.turns.append(dict(self.images))
        if images is not None:
            self.view = images.info.get("scene")
            self.put(images)
        if turn.of is not None and turn.of > len(self.everything):
            self.failed.append(f"{self.case.id} turn {self.number}: {turn.say!r}: of: there is no picture {turn.of}")
        elif turn.of is not None:
            self.view = self.everything[turn.of - 1]
        steps: list[Step] = []
        said: list[str] = []
        for expected in turn.steps:
            try:
                self.step(expected, steps, said)
            except (CannotDo, ValueError, IndexError) as error:
                self.failed.append(f"{self.case.id} turn {self.number}: {turn.say!r}: {expected.kind}: {error}")
        return SimpleNamespace(text=" ".join(said), steps=steps, pending=None)

    def put(self, image: Image.Image) -> str:
        name = f"image_{len(self.images) + 1}"
        while name in self.images:
            name += "0"
        self.images[name] = Shown(image)
        self.everything.append(image.info.get("scene"))
        return name

    def made(self, scene: Scene, action: str, steps: list[Step]) -> None:
        steps.append(Step(action, image=self.put(carried(scene))))
        self.view = scene

    def step(self, expected: Expected, steps: list[Step], said: list[str]) -> None:
        if expected.draws is not None:
            self.last = (expected, self.view)
            self.made(drawn(expected.draws), "generate", steps)
        elif expected.edits is not None:
            self.last = (expected, self.view)
            if self.view is None:
                raise CannotDo("there is no picture in view")
            scene = self.view
            for edit in expected.edits:
                scene = changed(scene, edit, self.everything)
            self.made(scene, "edit", steps)
        elif expected.answers is not None:
            said.append(answer(expected.answers, self.view))
        elif expected.tools is not None:
            for call in expected.tools:
                steps.append(Step("tool", tool=call.name, arguments=call.arguments))
        elif expected.thread is not None:
            self.verb(expected, steps)
        else:
            said.append("Which one do you mean?" if expected.asks else "I cannot do that.")

    def verb(self, expected: Expected, steps: list[Step]) -> None:
        verb = expected.thread
        assert verb is not None
        if verb.again:
            if self.last is None:
                raise CannotDo("nothing to do again")
            last, self.view = self.last
            self.step(last, steps, [])
        elif verb.show is not None:
            scene = self.everything[verb.show - 1]
            name = next((n for n, s in self.images.items() if s.picture.info.get("scene") == scene), None)
            if name is None:
                raise CannotDo(f"picture {verb.show} was taken back")
            steps.append(Step("tool", tool="show_image", arguments={"image": name}))
            self.view = scene
        elif verb.undo is not None:
            self.turns.pop()  # this turn itself
            for _ in range(verb.undo):
                if not self.turns:
                    raise CannotDo("nothing to undo")
                self.undone.append(dict(self.images))
                self.images = self.turns.pop()
                steps.append(Step("tool", tool="undo"))
            self._look()
        else:
            self.turns.pop()
            for _ in range(verb.redo or 1):
                if not self.undone:
                    raise CannotDo("nothing to redo")
                self.turns.append(dict(self.images))
                self.images = self.undone.pop()
                steps.append(Step("tool", tool="redo"))
            self._look()

    def _look(self) -> None:
        shown = list(self.images.values())
        self.view = shown[-1].picture.info.get("scene") if shown else None


class Idler:
    """A chat in which the last picture is shown again, whatever is asked."""

    def __init__(self) -> None:
        self.images: dict[str, Shown] = {}

    def __call__(self, text: str, images: Any = None, **options: Any) -> Any:
        if images is not None:
            self.images[f"image_{len(self.images) + 1}"] = Shown(images)
        shown = list(self.images.values())
        picture = shown[-1].picture if shown else carried(Scene("white"))
        name = f"image_{len(self.images) + 1}"
        self.images[name] = Shown(picture)
        return SimpleNamespace(text="", steps=[Step("edit", image=name)], pending=None)
