"""Tasks that change light and colours, and find edges."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image, ImageEnhance

from benchmarks.tool_tasks.checks import (
    FIRST,
    Box,
    Given,
    Make,
    beside,
    has_size,
    holds,
    is_gray,
    keeps,
    levels,
    part,
    says,
    shows,
)
from benchmarks.tool_tasks.compose import gray, nth
from benchmarks.tool_tasks.cut import HALVES, MIDDLE, mirrored, turned
from benchmarks.tool_tasks.figures import brightness, told_brightness
from benchmarks.tool_tasks.task import Check, Outcome, Solution, Task, Wrong, call, numbers

KIND: Final = "light and colours"
BIKE: Final[Box] = (0.13, 0.15, 0.93, 0.92)
_BLACK: Final = 0.6
"""Share of a map of edges that is black at least."""


def brightened(make: Make, factor: float) -> Make:
    """That picture, so many times as bright."""
    return lambda given: ImageEnhance.Brightness(make(given)).enhance(factor)


def colored(make: Make, factor: float) -> Make:
    """That picture, so many times as colourful."""
    return lambda given: ImageEnhance.Color(make(given)).enhance(factor)


def edges_of(make: Make) -> Check:
    """The last picture is black with white lines, which lie where that picture changes most."""

    def check(outcome: Outcome) -> None:
        _edges(outcome.image, make(outcome.given))

    return check


def _edges(image: Image.Image, before: Image.Image) -> None:
    light = levels(image.resize(before.size, Image.Resampling.BOX)).mean(2)
    if (light < 60).mean() < _BLACK or (light > 100).mean() < 0.005:
        raise Wrong("it is no map of edges, which is black with white lines")
    steep = np.hypot(*np.gradient(levels(before).mean(2)))
    on, off = steep[light > 100].mean(), steep[light < 60].mean()
    if on < 1.7 * off:
        raise Wrong("the lines are not where the edges of the picture are")


def _gray_and_bright(name: str, factor: float, words: str) -> Task:
    def solution() -> Solution:
        plain = yield call("grayscale", image="image_1")
        yield call("adjust", image=plain.image, brightness=factor)
        return "Done."

    return Task(
        KIND,
        f"Make this black and white and {words}.",
        (name,),
        solution,
        (is_gray, shows(brightened(gray(FIRST), factor))),
    )


def _dark_and_mirrored() -> Task:
    def solution() -> Solution:
        dark = yield call("adjust", image="image_1", brightness=0.5)
        yield call("flip", image=dark.image)
        return "Done."

    return Task(
        KIND,
        "half as bright please, and mirrored left to right",
        ("motorcycle",),
        solution,
        (shows(lambda given: mirrored(brightened(FIRST, 0.5)(given))),),
    )


def _colorful_beside(name: str, factor: float) -> Task:
    def solution() -> Solution:
        strong = yield call("adjust", image="image_1", color=factor)
        yield call("side_by_side", image="image_1", other=strong.image)
        return "The colours on the right are stronger."

    return Task(
        KIND,
        f"Make the colours {factor:g} times as strong, and show the original and the result side by side.",
        (name,),
        solution,
        (beside(FIRST, colored(FIRST, factor)),),
    )


def _edges_of_part(name: str) -> Task:
    def solution() -> Solution:
        middle = yield call("crop", image="image_1", box=MIDDLE)
        yield call("edge_map", image=middle.image)
        return "The edges of the middle."

    middle: Make = lambda given: part(given[0], MIDDLE)  # noqa: E731
    return Task(
        KIND,
        "Take the middle of this (half the width, half the height) and give me its edges, white on black.",
        (name,),
        solution,
        (shows(lambda given: Image.new("RGB", middle(given).size), 110), edges_of(middle)),
    )


def _edges_turned(name: str) -> Task:
    def solution() -> Solution:
        edges = yield call("edge_map", image="image_1")
        yield call("rotate", image=edges.image, angle=180)
        return "Done."

    return Task(
        KIND,
        "An edge map of this (white lines on black), turned upside down by 180 degrees.",
        (name,),
        solution,
        (edges_of(lambda given: turned(given[0], 180)),),
    )


def _darker_one(*names: str) -> Task:
    dark = min(range(2), key=lambda at: brightness(names[at]))

    def solution() -> Solution:
        light = []
        for at in range(2):
            found = yield call("measure", image=f"image_{at + 1}")
            light.append(told_brightness(found.words))
        darker = light.index(min(light)) + 1
        yield call("adjust", image=f"image_{darker}", brightness=2)
        return f"image_{darker} was the darker one."

    return Task(
        KIND,
        "Find out which of the two is darker on average, and make that one twice as bright.",
        names,
        solution,
        (shows(brightened(nth(dark), 2)), says(f"image_{dark + 1}")),
    )


def _color_pop(name: str, box: Box, words: str) -> Task:
    def solution() -> Solution:
        plain = yield call("grayscale", image="image_1")
        bright = yield call("crop", image="image_1", box=box)
        yield call("paste", image=plain.image, other=bright.image, box=box, fit="stretch")
        return "Only that has its colours."

    inner: Box = (box[0] + 0.02, box[1] + 0.02, box[2] - 0.02, box[3] - 0.02)
    around: Box = (box[0] - 0.03, box[1] - 0.05, box[2] + 0.03, box[3] + 0.05)
    return Task(
        KIND,
        words,
        (name,),
        solution,
        (keeps(around, of=gray(FIRST)), holds(inner, lambda given: part(given[0], inner), 3)),
    )


def _half_gray() -> Task:
    def solution() -> Solution:
        left = yield call("crop", image="image_1", box=HALVES["left"])
        right = yield call("crop", image="image_1", box=HALVES["right"])
        plain = yield call("grayscale", image=left.image)
        yield call("side_by_side", image=plain.image, other=right.image, gap=0)
        return "The left half is black and white."

    def expected(given: Given) -> Image.Image:
        made = given[0].copy()
        made.paste(part(gray(FIRST)(given), HALVES["left"]))
        return made

    return Task(
        KIND,
        "The left half in black and white, the right half in colour, as one picture.",
        ("astronaut",),
        solution,
        (shows(expected),),
    )


def _strongest_channel() -> Task:
    def solution() -> Solution:
        tone = yield call("histogram", image="image_1")
        red, green, blue = (numbers(tone.words.partition(f"{name} mean")[2])[0] for name in ("red", "green", "blue"))
        strongest = max((red, "red"), (green, "green"), (blue, "blue"))[1]
        yield call("grayscale", image="image_1")
        return f"The strongest is {strongest}."

    return Task(
        KIND,
        "Which channel is the strongest on average, red, green or blue? Then show me the picture without colours.",
        ("rocket",),
        solution,
        (is_gray, says("blue"), shows(gray(FIRST))),
    )


def _contrast_and_size() -> Task:
    def solution() -> Solution:
        clear = yield call("adjust", image="image_1", contrast=1.8)
        yield call("resize", image=clear.image, width=800)
        return "Done."

    return Task(
        KIND,
        "This scan is hard to read: raise the contrast to 1.8 times of what it is, and make it 800 pixels wide.",
        ("page",),
        solution,
        (has_size(800), shows(lambda given: ImageEnhance.Contrast(given[0]).enhance(1.8), 6)),
    )


TASKS: Final = (
    _gray_and_bright("cat", 1.5, "one and a half times as bright"),
    _gray_and_bright("coffee", 0.6, "bring the brightness down to 0.6 of what it is"),
    _dark_and_mirrored(),
    _colorful_beside("cat", 2),
    _edges_of_part("astronaut"),
    _edges_turned("cameraman"),
    _darker_one("coffee", "rocket"),
    _darker_one("cell", "moon"),
    _color_pop("motorcycle", BIKE, "Only the motorcycle should keep its colours; the rest black and white."),
    _half_gray(),
    _strongest_channel(),
    _contrast_and_size(),
)
