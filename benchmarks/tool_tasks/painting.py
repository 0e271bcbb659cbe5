"""Tasks that paint in styles, enlarge with detail, and check what may be shown."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from benchmarks.tool_tasks.checks import (
    FIRST,
    Box,
    Given,
    Make,
    has_size,
    holds,
    keeps,
    levels,
    part,
    says,
    shows,
)
from benchmarks.tool_tasks.compose import nth
from benchmarks.tool_tasks.cut import mirrored
from benchmarks.tool_tasks.drawings import shows_scene
from benchmarks.tool_tasks.drawn import writes
from benchmarks.tool_tasks.sources import SCENES
from benchmarks.tool_tasks.task import Check, Outcome, Solution, Task, Wrong, call

KIND: Final = "paint and enlarge"
EYE: Final[Box] = (0.3, 0.28, 0.46, 0.5)
BELOW: Final[Box] = (0, 0.75, 1, 1)


def painted(of: Make = FIRST, like: Make | None = None) -> Check:
    """The last picture is that one in other colours or strokes: its forms are there still, its pixels are not; with
    `like`, its colours have come nearer to those of that picture.
    """

    def check(outcome: Outcome) -> None:
        _painted(outcome.image, of(outcome.given), None if like is None else like(outcome.given))

    return check


def _painted(image: Image.Image, before: Image.Image, like: Image.Image | None) -> None:
    if abs(image.width / image.height / (before.width / before.height) - 1) > 0.03:
        raise Wrong("it has other proportions than the photograph")
    now, then = (levels(each.convert("RGB").resize((64, 64), Image.Resampling.BOX)) for each in (image, before))
    alike = float(np.corrcoef(now.mean(2).ravel(), then.mean(2).ravel())[0, 1])
    if alike < 0.4:
        raise Wrong(f"what is on the photograph cannot be seen any more (correlation {alike:.2f})")
    if (apart := float(np.abs(now - then).mean())) < 8:
        raise Wrong(f"it is the photograph as it was ({apart:.1f} levels apart)")
    if like is not None:
        wanted = levels(like).mean((0, 1))
        nearer = [float(np.linalg.norm(each.mean((0, 1)) - wanted)) for each in (now, then)]
        if nearer[0] > 0.85 * nearer[1]:
            raise Wrong("its colours are no nearer to those of the other picture")


def _styled_beside(name: str, style: str, words: str) -> Task:
    def solution() -> Solution:
        paint = yield call("stylize", image="image_1", style=style, strength=0.8)
        yield call("side_by_side", image="image_1", other=paint.image, gap=0)
        return "The photograph and the painting."

    def check(outcome: Outcome) -> None:
        image = outcome.image
        if abs(image.width / image.height / (2 * outcome.given[0].width / outcome.given[0].height) - 1) > 0.08:
            raise Wrong("the two do not stand side by side")
        holds((0, 0, 0.45, 1), lambda given: part(given[0], (0, 0, 0.9, 1)), 12)(outcome)
        _painted(part(image, (0.5, 0, 1, 1)), outcome.given[0], None)

    return Task(KIND, words, (name,), solution, (check,), ("stylize",))


def _styled_like(name: str, other: str) -> Task:
    def solution() -> Solution:
        paint = yield call("stylize", image="image_1", other="image_2", strength=0.9)
        yield call("resize", image=paint.image, width=300)
        return "Painted in its colours."

    return Task(
        KIND,
        "Paint the first picture in the style of the second one, and make the result 300 pixels wide.",
        (name, other),
        solution,
        (has_size(300), painted(like=nth(1))),
        ("stylize",),
    )


def _poster(name: str, style: str, text: str) -> Task:
    def solution() -> Solution:
        paint = yield call("stylize", image="image_1", style=style)
        poster = yield call("pad", image=paint.image, bottom=0.25, color="white")
        yield call("add_text", image=poster.image, text=text, position="bottom", size=0.12, color="black")
        return "A poster."

    def above(outcome: Outcome) -> None:
        _painted(part(outcome.image, (0, 0, 1, 0.8)), outcome.given[0], None)

    def plain(given: Given) -> Image.Image:
        return Image.new("RGB", (given[0].width, round(1.25 * given[0].height)), "white")

    return Task(
        KIND,
        f"Make a poster of this: painted like a {style.replace('_', ' ')} picture, below it a white strip, a quarter "
        f"as high as the picture, with '{text}' in black.",
        (name,),
        solution,
        (above, writes(text, (0, 0.81, 1, 1), of=plain)),
        ("stylize",),
    )


# --- enlarge and check ---


def sharper(make: Make, factor: int) -> Check:
    """The last picture is that one, so many times larger, with more fine detail than interpolation gives."""

    def check(outcome: Outcome) -> None:
        image, small = outcome.image, make(outcome.given)
        wanted = small.width * factor, small.height * factor
        if abs(image.width - wanted[0]) > 2 * factor or abs(image.height - wanted[1]) > 2 * factor:
            raise Wrong(f"it is {image.width}x{image.height}, and {wanted[0]}x{wanted[1]} was asked for")
        shows(make, 12)(outcome)
        plain = small.resize(image.size, Image.Resampling.LANCZOS)
        steep = [float(np.abs(np.diff(levels(each).mean(2), axis=1)).max(1).mean()) for each in (image, plain)]
        if steep[0] < 1.05 * steep[1]:
            raise Wrong("it is no sharper than interpolation makes it")

    return check


def _eye() -> Task:
    def solution() -> Solution:
        eye = yield call("crop", image="image_1", box=EYE)
        yield call("upscale", image=eye.image, factor=4, method="photo")
        return "The eye, four times as large."

    return Task(
        KIND,
        "Cut the left eye of the cat out (30 to 46% of the width, 28 to 50% of the height) and make it four times as "
        "large and as sharp as you can.",
        ("cat",),
        solution,
        (sharper(lambda given: part(given[0], EYE), 4),),
        ("upscale",),
    )


def _large_drawing() -> Task:
    def solution() -> Solution:
        mirror = yield call("flip", image="image_1")
        yield call("upscale", image=mirror.image, factor=4, method="drawing")
        return "Four times as large, with crisp edges."

    expected = SCENES["circle and square"]
    other = type(expected)(
        expected.background,
        tuple(
            type(each)(each.cell - 2 * (each.column - 1), each.shape, each.color, each.size) for each in expected.things
        ),
    )
    return Task(
        KIND,
        "Mirror this drawing left to right and make it four times as large, with crisp edges.",
        ("circle and square",),
        solution,
        (shows_scene(other), sharper(lambda given: mirrored(given[0]), 4)),
        ("upscale",),
    )


def _safe() -> Task:
    def solution() -> Solution:
        safe = yield call("check_safety", image="image_1")
        word = "SAFE" if safe.words.rstrip(".").split()[-1] == "safe" else "UNSAFE"
        yield call("add_text", image="image_1", text=word, position="bottom", size=0.12)
        return f"It is {word.lower()}."

    return Task(
        KIND,
        "Check whether this may be shown to children (no nudity). Write SAFE or UNSAFE at the bottom.",
        ("coffee",),
        solution,
        (writes("SAFE", BELOW), keeps(BELOW), says("safe")),
        ("check_safety",),
    )


TASKS: Final = (
    _styled_beside(
        "cat",
        "pop_art",
        "Paint the cat as pop art and show me the photo and the painting side by side, the "
        "photo on the left, without a gap.",
    ),
    _styled_beside(
        "coffee", "starry_night", "the coffee like van Gogh's Starry Night, to the right of the photo, no gap"
    ),
    _styled_like("rocket", "retina"),
    _poster("motorcycle", "comic", "RIDE"),
    _eye(),
    _large_drawing(),
    _safe(),
)
