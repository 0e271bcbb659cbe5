"""Tasks on drawings of the shapes world, whose pictures a program can read: what is found in them, and changed."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from benchmarks.tool_tasks.checks import Box, arranged, chooses, has_size, levels, part, says, says_number, shows
from benchmarks.tool_tasks.compose import nth
from benchmarks.tool_tasks.drawn import framed
from benchmarks.tool_tasks.sources import SCENES, scene
from benchmarks.tool_tasks.task import Check, Outcome, Solution, Task, Wrong, boxes, call, numbers
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.scene import CANVAS, CELLS, Scene

LOOK: Final = "drawings: look"
CHANGE: Final = "drawings: change"
BLACK: Final = (0, 0, 0)
_AROUND: Final = 0.03
"""By how much a box is larger than the thing in it, so that none of it stays."""


def cell(name: str) -> Box:
    """The ninth of the canvas of that name."""
    row, column = divmod(CELLS.index(name), 3)
    return column / 3, row / 3, (column + 1) / 3, (row + 1) / 3


def shows_scene(expected: Scene) -> Check:
    """The last picture is a drawing of these things, each where it belongs."""

    def check(outcome: Outcome) -> None:
        image = outcome.image
        if image.width != image.height:
            raise Wrong(f"the drawing is {image.width}x{image.height}, and should be as wide as high")
        found = parse(image.resize((CANVAS, CANVAS), Image.Resampling.LANCZOS)).scene
        if found != expected:
            raise Wrong(f"it shows {'nothing of its world' if found is None else found.signature}")

    return check


def _wide(box: list[float]) -> list[float]:
    left, top, right, bottom = box
    return [max(0, left - _AROUND), max(0, top - _AROUND), min(1, right + _AROUND), min(1, bottom + _AROUND)]


# --- look ---


def _count_and_color(name: str, count: int, place: str, color: str) -> Task:
    def solution() -> Solution:
        things = yield call("count_objects", image="image_1")
        one = yield call("crop", image="image_1", box=cell(place))
        colors = yield call("palette", image=one.image, count=3)
        second = colors.words.split("(")[2].partition(")")[0]
        return f"There are {numbers(things.words)[0]:.0f} shapes; that one is {second}."

    return Task(
        LOOK,
        f"How many shapes are there, and what colour is the one at the {place}?",
        (name,),
        solution,
        (says_number(count), says(color)),
    )


def _enlarged(name: str, place: str, what: str) -> Task:
    def solution() -> Solution:
        one = yield call("crop", image="image_1", box=cell(place))
        yield call("resize", image=one.image, width=256, height=256)
        return "Enlarged."

    return Task(
        LOOK,
        f"Show me the {what} alone, the ninth of the picture that it is in, 256 by 256 pixels.",
        (name,),
        solution,
        (has_size(256, 256), shows(lambda given: part(given[0], cell(place)), 6)),
    )


def _framed_largest() -> Task:
    def solution() -> Solution:
        things = yield call("count_objects", image="image_1")
        found = boxes(things.words)
        largest = max(found, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        yield call("draw_boxes", image="image_1", boxes=[_wide(largest)], color="black")
        return f"One of {len(found)}."

    return Task(
        LOOK,
        "Draw a black frame around the larger one of the shapes and say how many shapes there are.",
        ("circle and square",),
        solution,
        (framed((0.03, 0.03, 0.3, 0.3), BLACK), says_number(2)),
    )


def _apart() -> Task:
    def solution() -> Solution:
        things = yield call("count_objects", image="image_1")
        middles = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes(things.words)]
        found = yield call("measure", image="image_1", start=middles[0], end=middles[1])
        return f"{numbers(found.words.partition('points are')[2])[0]:.0f} pixels."

    one, two = (thing.center for thing in SCENES["circle and square"].things)
    apart = ((one[0] - two[0]) ** 2 + (one[1] - two[1]) ** 2) ** 0.5
    return Task(
        LOOK,
        "How far is the middle of the circle from the middle of the square, in pixels?",
        ("circle and square",),
        solution,
        (says_number(apart, within=0.04),),
    )


def _what_is_gone() -> Task:
    def solution() -> Solution:
        found = yield call("compare", image="image_1", other="image_2")
        one = yield call("crop", image="image_1", box=_wide(boxes(found.words)[0]))
        yield call("resize", image=one.image, width=200)
        return "That is missing in the second one."

    def check(outcome: Outcome) -> None:
        names = {each.color for each in SCENES["four"].things} - {"green"}
        red, green, blue = np.moveaxis(levels(outcome.image), 2, 0)
        if ((green > red + 40) & (green > blue + 40)).mean() < 0.06:
            raise Wrong(f"no green star, which is what has gone; one of {', '.join(sorted(names))}, or nothing")

    return Task(
        LOOK,
        "One shape of the first drawing is missing in the second. Cut that shape out of the first one and show it 200 "
        "pixels wide.",
        ("four", "four but the star"),
        solution,
        (has_size(200), check),
    )


def _sum(*names: str) -> Task:
    total = sum(len(SCENES[name].things) for name in names)

    def solution() -> Solution:
        count = 0.0
        for at in range(len(names)):
            things = yield call("count_objects", image=f"image_{at + 1}")
            count += numbers(things.words)[0]
        return f"{count:.0f} altogether."

    return Task(LOOK, "How many shapes are on these drawings altogether?", names, solution, (says_number(total),))


def _fullest(*names: str) -> Task:
    full = max(range(len(names)), key=lambda at: len(SCENES[names[at]].things))

    def solution() -> Solution:
        counts = []
        for at in range(len(names)):
            things = yield call("count_objects", image=f"image_{at + 1}")
            counts.append(numbers(things.words)[0])
        most = counts.index(max(counts)) + 1
        yield call("resize", image=f"image_{most}", width=384)
        return f"image_{most}."

    others = [f"image_{at + 1}" for at in range(len(names)) if at != full]
    return Task(
        LOOK,
        "Which of these has the most shapes? Name it, and show it to me 384 pixels wide.",
        names,
        solution,
        (chooses(f"image_{full + 1}", others), has_size(384), shows(nth(full), 6)),
    )


def _grounds() -> Task:
    def solution() -> Solution:
        said = []
        for at in (1, 2):
            colors = yield call("palette", image=f"image_{at}", count=2)
            said.append(colors.words.split("(")[1].partition(")")[0])
        return f"The first is on {said[0]}, the second on {said[1]}."

    return Task(
        LOOK,
        "What colours are the backgrounds of these two drawings?",
        ("night", "cross"),
        solution,
        (says("black", "gray"),),
    )


# --- change ---


def _without(name: str, at: int, what: str) -> Task:
    before = SCENES[name]
    ordered = sorted(before.things, key=lambda thing: thing.cell)

    def solution() -> Solution:
        things = yield call("count_objects", image="image_1")
        place = cell(ordered[at].position)
        inside = [box for box in boxes(things.words) if place[0] <= (box[0] + box[2]) / 2 <= place[2]]
        [one] = [box for box in inside if place[1] <= (box[1] + box[3]) / 2 <= place[3]]
        yield call("remove_object", image="image_1", box=_wide(one))
        return f"There were {numbers(things.words)[0]:.0f} shapes, and one less now."

    return Task(
        CHANGE,
        f"How many shapes are there? Then remove the {what}.",
        (name,),
        solution,
        (says_number(len(before.things)), shows_scene(before.without([ordered[at]]))),
    )


def _moved(name: str, source: str, target: str, what: str, expected: Scene) -> Task:
    def solution() -> Solution:
        one = yield call("crop", image="image_1", box=cell(source))
        rest = yield call("remove_object", image="image_1", box=cell(source))
        yield call("paste", image=rest.image, other=one.image, box=cell(target), fit="stretch")
        return "It has been moved."

    return Task(CHANGE, f"Move the {what} to the {target}.", (name,), solution, (shows_scene(expected),))


def _twice() -> Task:
    def solution() -> Solution:
        one = yield call("crop", image="image_1", box=cell("left"))
        two = yield call("paste", image="image_1", other=one.image, box=cell("right"), fit="stretch")
        yield call("paste", image=two.image, other=one.image, box=cell("bottom"), fit="stretch")
        return "Three of them."

    expected = scene(
        "white", "large purple square at left", "large purple square at right", "large purple square at bottom"
    )
    return Task(
        CHANGE,
        "Copy the purple square to the right side and to the bottom, so that there are three of it.",
        ("square",),
        solution,
        (shows_scene(expected),),
    )


def _joined() -> Task:
    def solution() -> Solution:
        one = yield call("crop", image="image_2", box=cell("right"))
        yield call("paste", image="image_1", other=one.image, box=cell("right"), fit="stretch")
        return "Both are on one drawing."

    expected = scene("white", "large purple square at left", "small green circle at right")
    return Task(
        CHANGE,
        "Put the circle of the second drawing into the first one, at the same place.",
        ("square", "circle"),
        solution,
        (shows_scene(expected),),
    )


def _exchanged() -> Task:
    def solution() -> Solution:
        circle = yield call("crop", image="image_1", box=cell("top left"))
        square = yield call("crop", image="image_1", box=cell("bottom right"))
        half = yield call("paste", image="image_1", other=circle.image, box=cell("bottom right"), fit="stretch")
        yield call("paste", image=half.image, other=square.image, box=cell("top left"), fit="stretch")
        return "They have changed places."

    expected = scene("white", "small blue square at top left", "large red circle at bottom right")
    return Task(
        CHANGE,
        "Let the circle and the square change places.",
        ("circle and square",),
        solution,
        (shows_scene(expected),),
    )


def _mirrored_without() -> Task:
    def solution() -> Solution:
        rest = yield call("remove_object", image="image_1", box=cell("top right"))
        yield call("flip", image=rest.image)
        return "Done."

    expected = scene(
        "white",
        "small red circle at top right",
        "large orange square at bottom right",
        "small green star at bottom left",
    )
    return Task(
        CHANGE,
        "Remove the blue diamond and mirror the drawing left to right.",
        ("four",),
        solution,
        (shows_scene(expected),),
    )


def _turned_larger() -> Task:
    def solution() -> Solution:
        other = yield call("rotate", image="image_1", angle=90)
        yield call("resize", image=other.image, width=256)
        return "Done."

    expected = scene("white", "large red circle at top right", "small blue square at bottom left")
    return Task(
        CHANGE,
        "turn it a quarter clockwise and make it twice as large",
        ("circle and square",),
        solution,
        (has_size(256, 256), shows_scene(expected)),
    )


def _emptied() -> Task:
    def solution() -> Solution:
        first = yield call("remove_object", image="image_1", box=cell("top left"))
        yield call("remove_object", image=first.image, box=cell("bottom left"))
        return "Two are left."

    expected = scene("white", "large blue diamond at top right", "small green star at bottom right")
    return Task(CHANGE, "Take away both shapes on the left.", ("four",), solution, (shows_scene(expected),))


def _sheet(*names: str) -> Task:
    def solution() -> Solution:
        made = []
        for at in range(len(names)):
            done = yield call("resize", image=f"image_{at + 1}", width=256)
            made.append(done.image)
        yield call("grid", images=made, columns=len(names), cell=256)
        return "All in one row."

    return Task(
        CHANGE,
        "Make each of these 256 pixels wide, then put them into one row.",
        names,
        solution,
        (arranged(len(names), *(nth(at) for at in range(len(names)))), _each_is(256, len(names)), _wide_enough(256)),
    )


def _each_is(width: int, count: int) -> Check:
    """So many of the pictures that were made are that wide."""

    def check(outcome: Outcome) -> None:
        if sum(image.width == width for image in outcome.images) < count:
            raise Wrong(f"not all of them were made {width} pixels wide")

    return check


def _wide_enough(cell_width: int) -> Check:
    def check(outcome: Outcome) -> None:
        if outcome.image.width < 2 * cell_width:
            raise Wrong("the row is too small")

    return check


TASKS: Final = (
    _count_and_color("three", 3, "top right", "yellow"),
    _count_and_color("four", 4, "top right", "blue"),
    _enlarged("three", "top right", "star"),
    _framed_largest(),
    _apart(),
    _what_is_gone(),
    _sum("three", "four", "night"),
    _fullest("circle and square", "four", "three"),
    _grounds(),
    _without("three", 1, "triangle"),
    _moved("square", "left", "top right", "square", scene("white", "large purple square at top right")),
    _twice(),
    _joined(),
    _exchanged(),
    _mirrored_without(),
    _turned_larger(),
    _emptied(),
    _sheet("night", "cross", "empty"),
)
