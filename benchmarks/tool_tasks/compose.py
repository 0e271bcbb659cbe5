"""Tasks that put photographs together."""

from __future__ import annotations

from typing import Final

from PIL import Image, ImageEnhance

from benchmarks.tool_tasks.checks import FIRST, Box, Given, Make, arranged, beside, holds, is_gray, keeps, part, shows
from benchmarks.tool_tasks.cut import mirrored, turned
from benchmarks.tool_tasks.drawn import writes
from benchmarks.tool_tasks.task import Solution, Task, call

KIND: Final = "put together"
CAT_FACE: Final[Box] = (0.2, 0, 0.9, 1)
UPPER_RIGHT: Final[Box] = (0.7, 0, 1, 0.3)
BOTTOM: Final[Box] = (0, 0.7, 1, 1)


def nth(at: int) -> Make:
    """The picture of that number that was given, counted from 0."""
    return lambda given: given[at]


def gray(make: Make) -> Make:
    """That picture without its colours."""
    return lambda given: make(given).convert("L").convert("RGB")


def square(make: Make) -> Make:
    """The middle of that picture, as wide as high."""

    def made(given: Given) -> Image.Image:
        image = make(given)
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.crop((left, top, left + side, top + side))

    return made


def _gray_sheet(*names: str) -> Task:
    def solution() -> Solution:
        made = []
        for at in range(len(names)):
            done = yield call("grayscale", image=f"image_{at + 1}")
            made.append(done.image)
        yield call("grid", images=made, columns=2)
        return "A sheet of them, in black and white."

    return Task(
        KIND,
        "Make all of these black and white and put them into one picture, two in a row, in the order I sent them.",
        names,
        solution,
        (is_gray, arranged(2, *(gray(nth(at)) for at in range(len(names))))),
    )


def _four_ways(name: str) -> Task:
    ways: tuple[Make, ...] = (
        FIRST,
        lambda given: mirrored(given[0]),
        lambda given: turned(given[0], 180),
        lambda given: given[0].transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    )

    def solution() -> Solution:
        mirror = yield call("flip", image="image_1")
        around = yield call("rotate", image="image_1", angle=180)
        upset = yield call("flip", image="image_1", direction="vertical")
        yield call("grid", images=["image_1", mirror.image, around.image, upset.image], columns=2)
        return "Four views of it."

    return Task(
        KIND,
        "One picture with four versions of this, please: top left as it is, top right mirrored left to right, bottom "
        "left turned by 180 degrees, bottom right mirrored top to bottom.",
        (name,),
        solution,
        (arranged(2, *ways),),
    )


def _pasted(small: str, large: str, cut: Box, corner: Box, words: str) -> Task:
    def solution() -> Solution:
        face = yield call("crop", image="image_1", box=cut)
        yield call("paste", image="image_2", other=face.image, box=corner, fit="stretch")
        return "It is there now."

    return Task(
        KIND,
        words,
        (small, large),
        solution,
        (keeps(corner, of=nth(1)), holds(corner, lambda given: part(given[0], cut), 12)),
    )


def _before_and_after(name: str, factor: float, words: str) -> Task:
    def solution() -> Solution:
        bright = yield call("adjust", image="image_1", brightness=factor)
        yield call("side_by_side", image="image_1", other=bright.image)
        return "Before and after."

    return Task(
        KIND,
        f"Make it {words} and show me before and after beside each other, before on the left.",
        (name,),
        solution,
        (beside(FIRST, lambda given: ImageEnhance.Brightness(given[0]).enhance(factor)),),
    )


def _row(*names: str) -> Task:
    def middle(at: int) -> tuple[int, Box]:
        from benchmarks.tool_tasks.sources import picture

        image = picture(names[at])
        half = min(image.size) / image.width / 2
        return at, (0.5 - half, 0.0, 0.5 + half, 1.0)

    def solution() -> Solution:
        made = []
        for at, box in map(middle, range(len(names))):
            done = yield call("crop", image=f"image_{at + 1}", box=box)
            made.append(done.image)
        yield call("grid", images=made, columns=len(names))
        return "Three squares in a row."

    return Task(
        KIND,
        "Cut the middle square out of each of these and line the squares up in one row.",
        names,
        solution,
        (arranged(len(names), *(square(nth(at)) for at in range(len(names)))),),
    )


def _inset(name: str) -> Task:
    corner: Box = (0.75, 0.75, 1, 1)

    def solution() -> Solution:
        small = yield call("grayscale", image="image_1")
        yield call("paste", image="image_1", other=small.image, box=corner, fit="stretch")
        return "There is a small gray copy in the corner."

    return Task(
        KIND,
        "Put a black and white copy of the picture into its own bottom right corner, a quarter as wide and as high.",
        (name,),
        solution,
        (keeps(corner), holds(corner, gray(FIRST), 12)),
    )


def _postcard(name: str, words: str) -> Task:
    def solution() -> Solution:
        card = yield call("pad", image="image_1", bottom=0.3, color="white")
        yield call("add_text", image=card.image, text=words, position="bottom", size=0.12, color="black")
        return f"It says {words} below."

    def card(given: Given) -> Image.Image:
        image = given[0]
        made = Image.new("RGB", (image.width, image.height + round(0.3 * image.height)), "white")
        made.paste(image)
        return made

    below: Box = (0, 1 / 1.3 - 0.01, 1, 1)
    return Task(
        KIND,
        f"Make a postcard of it: add a white strip below, 30% as high as the picture, with '{words}' in black.",
        (name,),
        solution,
        (keeps(below, of=card), writes(words, below, of=card)),
    )


def _mixed_up() -> Task:
    quarters: tuple[Box, ...] = ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1))

    def quarter(at: int) -> Make:
        return lambda given: part(given[0], quarters[at])

    def solution() -> Solution:
        made = []
        for at in (3, 2, 1, 0):
            done = yield call("crop", image="image_1", box=quarters[at])
            made.append(done.image)
        yield call("grid", images=made, columns=2)
        return "A puzzle."

    return Task(
        KIND,
        "Make a puzzle: cut it into four quarters and lay them out two by two in the opposite order (the bottom right "
        "quarter first, the top left one last).",
        ("astronaut",),
        solution,
        (arranged(2, *(quarter(at) for at in (3, 2, 1, 0))),),
    )


def _widened() -> Task:
    def solution() -> Solution:
        wide = yield call("pad", image="image_1", right=1.0, color="black")
        yield call("paste", image=wide.image, other="image_2", box=(0.5, 0, 1, 1))
        return "The moon stands to the right of it, on black."

    def expected(given: Given) -> Image.Image:
        made = Image.new("RGB", (2 * given[0].width, given[0].height), "black")
        made.paste(given[0])
        other = given[1].resize((given[0].height, given[0].height), Image.Resampling.LANCZOS)
        made.paste(other, (given[0].width + (given[0].width - other.width) // 2, 0))
        return made

    return Task(
        KIND,
        "Make the first picture twice as wide by adding black on the right, and put the second one into the middle of "
        "the black part, as high as fits.",
        ("rocket", "moon"),
        solution,
        (shows(expected, 6),),
    )


TASKS: Final = (
    _gray_sheet("astronaut", "coffee", "rocket", "cat"),
    _gray_sheet("motorcycle", "retina", "cat", "coffee"),
    _four_ways("cat"),
    _four_ways("coffee"),
    _pasted(
        "cat",
        "coffee",
        CAT_FACE,
        UPPER_RIGHT,
        "Cut out of the first picture what lies between 20% and 90% of its width (all its height), and put that into "
        "the upper right corner of the second one: let it fill 30% of the width and of the height, stretched to fit.",
    ),
    _pasted(
        "astronaut",
        "moon",
        (0.3, 0, 0.6, 0.4),
        (0.4, 0.1, 0.6, 0.4),
        "cut the head out of image 1 (30-60% of the width, the upper 40% of the height) and stretch it over the part "
        "of image 2 from 40% to 60% of the width and from 10% to 40% of the height",
    ),
    _before_and_after("cameraman", 1.5, "one and a half times as bright"),
    _before_and_after("coffee", 0.5, "half as bright"),
    _row("coffee", "rocket", "motorcycle"),
    _postcard("rocket", "LAUNCH DAY"),
    _mixed_up(),
    _widened(),
)
