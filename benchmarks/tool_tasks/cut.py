"""Tasks that cut, turn and mirror photographs."""

from __future__ import annotations

from typing import Final

from PIL import Image

from benchmarks.tool_tasks.checks import FIRST, Box, Given, beside, has_size, part, shows
from benchmarks.tool_tasks.task import Solution, Task, call

KIND: Final = "cut and turn"
HALVES: Final[dict[str, Box]] = {
    "left": (0, 0, 0.5, 1),
    "right": (0.5, 0, 1, 1),
    "upper": (0, 0, 1, 0.5),
    "lower": (0, 0.5, 1, 1),
}
MIDDLE: Final[Box] = (0.25, 0.25, 0.75, 0.75)


def turned(image: Image.Image, clockwise: int) -> Image.Image:
    """A picture turned by a multiple of 90 degrees."""
    return image.rotate(-clockwise, expand=True)


def mirrored(image: Image.Image) -> Image.Image:
    """A picture with left and right exchanged."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _half_beside(name: str, half: str, clockwise: int, words: str) -> Task:
    def solution() -> Solution:
        half_of = yield call("crop", image="image_1", box=HALVES[half])
        other = yield call("rotate", image=half_of.image, angle=clockwise)
        yield call("side_by_side", image="image_1", other=other.image)
        return "Here they are, side by side."

    def expected(given: Given) -> Image.Image:
        return turned(part(given[0], HALVES[half]), clockwise)

    return Task(
        KIND,
        f"Cut the {half} half out, {words} and put it to the right of the original.",
        (name,),
        solution,
        (beside(FIRST, expected),),
    )


def _middle(name: str, width: int) -> Task:
    def solution() -> Solution:
        middle = yield call("crop", image="image_1", box=MIDDLE)
        mirror = yield call("flip", image=middle.image)
        yield call("resize", image=mirror.image, width=width)
        return "Done."

    return Task(
        KIND,
        "Cut a quarter of the width off at either side, and a quarter of the height at top and bottom. "
        f"Mirror what is left, and make it {width} pixels wide.",
        (name,),
        solution,
        (shows(lambda given: mirrored(part(given[0], MIDDLE)), 6), has_size(width)),
    )


def _halves_exchanged() -> Task:
    def solution() -> Solution:
        left = yield call("crop", image="image_1", box=HALVES["left"])
        right = yield call("crop", image="image_1", box=HALVES["right"])
        yield call("side_by_side", image=right.image, other=left.image, gap=0)
        return "The halves have changed places."

    return Task(
        KIND,
        "Cut the picture into a left and a right half, and put them together the wrong way round, without a gap.",
        ("astronaut",),
        solution,
        (beside(lambda given: part(given[0], HALVES["right"]), lambda given: part(given[0], HALVES["left"])),),
    )


def _two_halves() -> Task:
    def solution() -> Solution:
        left = yield call("crop", image="image_1", box=HALVES["left"])
        right = yield call("crop", image="image_2", box=HALVES["right"])
        yield call("side_by_side", image=left.image, other=right.image, gap=0)
        return "Half astronaut, half photographer."

    return Task(
        KIND,
        "Take the left half of the first picture and the right half of the second and make one picture of them.",
        ("astronaut", "cameraman"),
        solution,
        (beside(lambda given: part(given[0], HALVES["left"]), lambda given: part(given[1], HALVES["right"])),),
    )


def _upside_down() -> Task:
    def solution() -> Solution:
        other = yield call("rotate", image="image_1", angle=180)
        yield call("crop", image=other.image, box=HALVES["upper"])
        return "Done."

    return Task(
        KIND,
        "turn it upside down (by 180 degrees), then keep only the upper half",
        ("cameraman",),
        solution,
        (shows(lambda given: part(turned(given[0], 180), HALVES["upper"])),),
    )


def _mirrored_and_turned() -> Task:
    def solution() -> Solution:
        mirror = yield call("flip", image="image_1")
        yield call("rotate", image=mirror.image, angle=-90)
        return "Done."

    return Task(
        KIND,
        "Mirror this left to right and then turn it a quarter counter-clockwise.",
        ("motorcycle",),
        solution,
        (shows(lambda given: turned(mirrored(given[0]), 270)),),
    )


def _square() -> Task:
    square: Box = (0.5 - 267 / 800, 0, 0.5 + 267 / 800, 1)

    def solution() -> Solution:
        middle = yield call("crop", image="image_1", box=square)
        yield call("resize", image=middle.image, width=96, height=96)
        return "A thumbnail of 96 x 96 pixels."

    return Task(
        KIND,
        "I need a square thumbnail: the middle of the picture at its full height, 96 by 96 pixels.",
        ("rocket",),
        solution,
        (shows(lambda given: part(given[0], square), 8, (96, 96)),),
    )


def _framed() -> Task:
    def framed(given: Given) -> Image.Image:
        image = given[0]
        across, down = round(image.width / 10), round(image.height / 10)
        made = Image.new("RGB", (image.width + 2 * across, image.height + 2 * down), "white")
        made.paste(image, (across, down))
        return turned(made, 180)

    def solution() -> Solution:
        frame = yield call("pad", image="image_1", left=0.1, top=0.1, right=0.1, bottom=0.1, color="white")
        yield call("rotate", image=frame.image, angle=180)
        return "Done."

    return Task(
        KIND,
        "Put a white margin around it, a tenth of its width and height on each side, and turn it upside down.",
        ("coffee",),
        solution,
        (shows(framed),),
    )


TASKS: Final = (
    _half_beside("astronaut", "left", 90, "turn it a quarter clockwise"),
    _half_beside("cat", "right", 270, "turn it a quarter counter-clockwise"),
    _half_beside("coffee", "upper", 180, "turn it by 180 degrees"),
    _half_beside("rocket", "lower", 90, "turn it by 90 degrees clockwise"),
    _middle("motorcycle", 300),
    _middle("cat", 400),
    _halves_exchanged(),
    _two_halves(),
    _upside_down(),
    _mirrored_and_turned(),
    _square(),
    _framed(),
)
