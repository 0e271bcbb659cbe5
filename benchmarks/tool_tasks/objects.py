"""Tasks that cut things out of photographs, put them elsewhere, or take them away."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from benchmarks.tool_tasks.checks import (
    FIRST,
    Box,
    Make,
    distance,
    has_size,
    hidden,
    holds,
    keeps,
    levels,
    part,
    says_number,
)
from benchmarks.tool_tasks.compose import gray, nth
from benchmarks.tool_tasks.drawn import writes
from benchmarks.tool_tasks.task import Check, Outcome, Solution, Task, Wrong, call, numbers

KIND: Final = "cut out and remove"
SAUCER: Final[Box] = (0.11, 0.03, 0.81, 0.99)
CUP_INSIDE: Final[Box] = (0.36, 0.28, 0.6, 0.5)
CRATER: Final[Box] = (0.17, 0.11, 0.3, 0.25)
SPOT: Final[Box] = (0.8, 0.1, 0.95, 0.3)
CELL: Final[Box] = (0.62, 0.42, 0.93, 0.7)
COIN: Final[Box] = (0.783, 0.045, 0.955, 0.25)
HEAD: Final[Box] = (0.28, 0.0, 0.62, 0.5)
PATCH: Final[Box] = (0.24, 0.66, 0.42, 0.84)


def moved(box: Box, inside: Box) -> Box:
    """A box of a part of a picture, where that part is put into another box."""
    across, down = inside[2] - inside[0], inside[3] - inside[1]
    left, top, right, bottom = box
    return inside[0] + left * across, inside[1] + top * down, inside[0] + right * across, inside[1] + bottom * down


def white_in(*corners: Box) -> Check:
    """These parts of the last picture are white, or nearly."""

    def check(outcome: Outcome) -> None:
        for corner in corners:
            if (light := levels(part(outcome.image, corner)).mean()) < 245:
                raise Wrong(f"the part {corner} should be white, and has {light:.0f} of 255 levels")

    return check


def like_ground(box: Box, most: float = 14.0, of: Make = FIRST) -> Check:
    """What is in a box of the last picture is like what stands around it in the one before, and not what it was."""

    def check(outcome: Outcome) -> None:
        before, now = of(outcome.given), part(outcome.image.resize(of(outcome.given).size), box)
        wide = (max(0, box[0] - 0.04), max(0, box[1] - 0.04), min(1, box[2] + 0.04), min(1, box[3] + 0.04))
        around = levels(part(before, wide))
        rim = max(2, round(0.02 * max(before.size)))
        ground = np.median(np.concatenate([around[:rim].reshape(-1, 3), around[-rim:].reshape(-1, 3)]), axis=0)
        if (apart := float(np.abs(levels(now) - ground).mean())) > most:
            raise Wrong(f"what is there now is {apart:.0f} levels from what is around it")
        if distance(now, part(before, box)) < 4:
            raise Wrong("nothing has been taken away there")

    return check


def _onto(name: str, ground: str, box: Box, sure: Box, target: Box, words: str) -> Task:
    def solution() -> Solution:
        mask = yield call("segment", image="image_1", box=box)
        yield call("paste", image="image_2", other="image_1", mask=mask.image, box=target)
        return "It is on the other picture now."

    def check(outcome: Outcome) -> None:
        there, wanted = part(outcome.image, target), part(outcome.given[0], sure)
        before = part(outcome.given[1], target)
        if distance(there, before) < 12:
            raise Wrong("there is nothing new in that place")
        colors = [levels(wanted).mean((0, 1)), levels(_middle(there)).mean((0, 1))]
        if np.abs(colors[0] - colors[1]).max() > 45:
            raise Wrong("what was put there does not have the colours of what was to be put there")
        size = there.size
        corners = [there.crop((0, 0, 3, 3)), there.crop((size[0] - 3, size[1] - 3, *size))]
        old = [before.crop((0, 0, 3, 3)), before.crop((size[0] - 3, size[1] - 3, *size))]
        if max(distance(now, then) for now, then in zip(corners, old, strict=True)) > 25:
            raise Wrong("what was around it has come along")

    return Task(KIND, words, (name, ground), solution, (keeps(target, of=nth(1)), check))


def _middle(image: Image.Image) -> Image.Image:
    return part(image, (0.4, 0.4, 0.6, 0.6))


def _on_white(name: str, box: Box, sure: Box, corners: tuple[Box, ...], words: str, width: int) -> Task:
    def solution() -> Solution:
        alone = yield call("remove_background", image="image_1", box=box)
        yield call("resize", image=alone.image, width=width)
        return "On white."

    return Task(
        KIND,
        words,
        (name,),
        solution,
        (has_size(width), white_in(*corners), holds(sure, lambda given: part(given[0], sure), 8)),
    )


def _removed(name: str, box: Box, words: str) -> Task:
    upset: Make = lambda given: given[0].transpose(Image.Transpose.FLIP_TOP_BOTTOM)  # noqa: E731
    place: Box = (box[0], 1 - box[3], box[2], 1 - box[1])

    def solution() -> Solution:
        clean = yield call("remove_object", image="image_1", box=box)
        yield call("flip", image=clean.image, direction="vertical")
        return "It is gone."

    wide: Box = (place[0] - 0.02, place[1] - 0.02, place[2] + 0.02, place[3] + 0.02)
    return Task(KIND, words, (name,), solution, (like_ground(place, of=upset), keeps(wide, of=upset)))


def _coin_less() -> Task:
    def solution() -> Solution:
        clean = yield call("remove_object", image="image_1", box=COIN)
        rest = yield call("count_objects", image=clean.image)
        return f"{numbers(rest.words)[0]:.0f} coins are left."

    return Task(
        KIND,
        "Take the coin in the upper right corner away. How many are left?",
        ("coins",),
        solution,
        (says_number(23), keeps((0.76, 0.02, 0.98, 0.28)), like_ground(COIN, 40)),
    )


def _sharp_before_blurred() -> Task:
    def solution() -> Solution:
        blurred = yield call("blur", image="image_1", radius=0.03)
        mask = yield call("segment", image="image_1", box=SAUCER)
        yield call(
            "paste", image=blurred.image, other="image_1", mask=mask.image, box=_box_told(mask.words), fit="stretch"
        )
        return "The table is out of focus."

    return Task(
        KIND,
        "Make the table around the cup and its saucer look out of focus; cup and saucer stay sharp.",
        ("coffee",),
        solution,
        (
            holds(CUP_INSIDE, lambda given: part(given[0], CUP_INSIDE), 8),
            hidden((0.84, 0.0, 1, 1)),
            holds((0.3, 0.15, 0.64, 0.5), lambda given: part(given[0], (0.3, 0.15, 0.64, 0.5)), 12),
        ),
    )


def _box_told(words: str) -> tuple[float, ...]:
    return tuple(numbers(words.partition("[")[2].partition("]")[0]))


def _colors_of_object() -> Task:
    def solution() -> Solution:
        plain = yield call("grayscale", image="image_1")
        mask = yield call("segment", image="image_1", box=HEAD)
        yield call(
            "paste", image=plain.image, other="image_1", mask=mask.image, box=_box_told(mask.words), fit="stretch"
        )
        return "Only her head has its colours."

    face: Box = (0.38, 0.16, 0.5, 0.32)

    def colored(outcome: Outcome) -> None:
        if np.ptp(levels(part(outcome.image, face)), axis=2).mean() < 25:
            raise Wrong("her face has no colours")

    return Task(
        KIND,
        "Everything in black and white, only her face and hair in colour.",
        ("astronaut",),
        solution,
        (colored, holds(face, lambda given: part(given[0], face), 10), keeps(HEAD, of=gray(FIRST))),
    )


def _lit_object() -> Task:
    def solution() -> Solution:
        mask = yield call("segment", image="image_1", box=CELL)
        yield call("highlight", image="image_1", mask=mask.image, strength=0.8)
        return f"It covers {numbers(mask.words)[0]:.1f}% of the picture."

    sure: Box = (0.72, 0.5, 0.83, 0.63)

    def dark(outcome: Outcome) -> None:
        rest = (0.0, 0.0, 0.5, 1.0)
        if levels(part(outcome.image, rest)).mean() > 0.5 * levels(part(outcome.given[0], rest)).mean():
            raise Wrong("the rest is not dark")

    return Task(
        KIND,
        "Darken everything but the bright cell, and tell me how many percent of the picture the cell covers.",
        ("cell",),
        solution,
        (dark, holds(sure, lambda given: part(given[0], sure), 6), says_number(3.5, within=0.25)),
    )


def _patch_alone() -> Task:
    def solution() -> Solution:
        mask = yield call("segment", image="image_1", box=PATCH)
        alone = yield call("cut_out", image="image_1", mask=mask.image)
        yield call("resize", image=alone.image, width=200)
        return "The patch."

    def check(outcome: Outcome) -> None:
        image = outcome.image
        if not 0.75 < image.width / image.height < 1.35:
            raise Wrong(f"the patch is round, and this is {image.width}x{image.height}")
        red, _, blue = levels(part(image, (0.15, 0.15, 0.85, 0.85))).mean((0, 1))
        if blue < red - 15:
            raise Wrong("this is not the blue patch")

    return Task(
        KIND,
        "Cut the round blue patch off her suit, with nothing around it, and make it 200 pixels wide.",
        ("astronaut",),
        solution,
        (has_size(200), check, white_in((0, 0, 0.06, 0.06))),
    )


def _removed_and_written() -> Task:
    below: Box = (0, 0.75, 1, 1)

    def solution() -> Solution:
        clean = yield call("remove_object", image="image_1", box=(0.79, 0.09, 0.96, 0.31))
        yield call("add_text", image=clean.image, text="clean", position="bottom", size=0.12)
        return "The spot is gone."

    return Task(
        KIND,
        "Somebody has put a blue rectangle on this photo. Take it away and write 'clean' at the bottom.",
        ("coffee, changed",),
        solution,
        (like_ground(SPOT, 45), keeps((0.77, 0.07, 0.98, 0.33), below), writes("clean", below)),
    )


TASKS: Final = (
    _onto(
        "coffee",
        "moon",
        SAUCER,
        (0.3, 0.2, 0.62, 0.8),
        (0.1, 0.2, 0.9, 0.9),
        "Cut the cup with its saucer out of the first picture, along its outline, and put it onto the second one, into "
        "the box from 10% to 90% of the width and from 20% to 90% of the height.",
    ),
    _onto(
        "astronaut",
        "rocket",
        PATCH,
        (0.28, 0.7, 0.38, 0.8),
        (0.05, 0.05, 0.3, 0.45),
        "Put the round blue patch on her suit, without what is around it, into the sky of image_2: from 5 to 30% of "
        "the width, 5 to 45% of the height.",
    ),
    _on_white(
        "coffee",
        SAUCER,
        CUP_INSIDE,
        ((0, 0.3, 0.06, 0.7), (0.9, 0.3, 1, 0.7)),
        "cut out the cup with the saucer on white or transparent, 300 pixels wide (the whole picture, not cropped)",
        300,
    ),
    _on_white(
        "cell",
        CELL,
        (0.72, 0.5, 0.83, 0.63),
        ((0, 0, 0.5, 1), (0.5, 0, 1, 0.35)),
        "I only need the bright cell: everything else white or transparent, and the picture 250 pixels wide.",
        250,
    ),
    _removed("moon", CRATER, "Remove the round crater at the upper left, then mirror the picture top to bottom."),
    _removed("moon, changed", (0.59, 0.29, 0.71, 0.41), "take the dark square away and mirror it top to bottom"),
    _coin_less(),
    _sharp_before_blurred(),
    _colors_of_object(),
    _lit_object(),
    _patch_alone(),
    _removed_and_written(),
)
