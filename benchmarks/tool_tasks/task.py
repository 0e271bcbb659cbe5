"""What a task is: a request with its pictures, the calls of one right solution, and a check of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from genllava_tools.picture_files import on_white


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool; pictures are given by name."""

    tool: str
    arguments: dict[str, Any]


def call(tool: str, **arguments: Any) -> Call:
    """A call of the tool of that name; boxes and points may be tuples, and become lists as models write them."""
    return Call(tool, {name: list(each) if isinstance(each, tuple) else each for name, each in arguments.items()})


@dataclass(frozen=True, slots=True)
class Result:
    """What whoever decides is told of a call.

    Attributes:
        words: of the tool.
        image: the name of the picture that was made; of the picture that the call was about, where none was.
    """

    words: str
    image: str


Solution = Generator[Call, Result, str]
"""Yields calls, is sent their results, and returns the last words of the turn."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request, however it was done.

    Attributes:
        words: the reply.
        images: the pictures that were made, in their order.
        given: the pictures that came with the request.
    """

    words: str
    images: tuple[Image.Image, ...]
    given: tuple[Image.Image, ...]

    @property
    def image(self) -> Image.Image:
        """The last picture that was made, RGB: white where it is transparent.

        Raises:
            Wrong: there is none.
        """
        if not self.images:
            raise Wrong("no picture was made")
        return on_white(self.images[-1]).convert("RGB")


class Wrong(Exception):
    """An outcome is not what was asked for; the message says why."""


Check = Callable[[Outcome], None]
"""Raises `Wrong` where an outcome is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    Attributes:
        kind: what it is about.
        request: as a person would type it.
        pictures: the names of the pictures that come with it, see `sources`; they are image_1, image_2 ...
        solution: begins one right solution.
        checks: all of them have to hold.
        needs: the tools with trained weights that it cannot be done without.
    """

    kind: str
    request: str
    pictures: tuple[str, ...]
    solution: Callable[[], Solution]
    checks: tuple[Check, ...]
    needs: tuple[str, ...] = field(default=())

    def judge(self, outcome: Outcome) -> str:
        """Why an outcome is wrong, in one line; empty where it is right."""
        try:
            for check in self.checks:
                check(outcome)
        except Wrong as wrong:
            return str(wrong)
        return ""


def numbers(words: str) -> list[float]:
    """The numbers in a text, in their order."""
    found = list[float]()
    for word in "".join(each if each.isdigit() or each == "." else " " for each in words).split():
        try:
            found.append(float(word.strip(".")))
        except ValueError:
            continue
    return found


def boxes(words: str) -> list[list[float]]:
    """The lists of four numbers in what a tool said, in their order."""
    parts = [part.partition("]")[0] for part in words.split("[")[1:]]
    return [found for part in parts if len(found := numbers(part)) == 4]
