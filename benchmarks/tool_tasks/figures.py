"""Tasks whose answer is a figure, or a choice that rests on figures."""

from __future__ import annotations

from typing import Final

from benchmarks.tool_tasks.checks import Box, chooses, has_size, is_gray, says, says_number, shows
from benchmarks.tool_tasks.cut import MIDDLE, turned
from benchmarks.tool_tasks.sources import CHANGED, picture
from benchmarks.tool_tasks.task import Check, Outcome, Solution, Task, Wrong, call, numbers

KIND: Final = "count and measure"


def brightness(name: str) -> float:
    """Mean brightness of a picture, 0..1."""
    gray = picture(name).convert("L")
    return sum(level * count for level, count in enumerate(gray.histogram())) / (255 * gray.width * gray.height)


def told_brightness(words: str) -> float:
    """The brightness that `measure` tells."""
    return numbers(words.partition("brightness")[2])[0]


def _coins_and_size() -> Task:
    def solution() -> Solution:
        coins = yield call("count_objects", image="image_1")
        size = yield call("measure", image="image_1")
        width, height = numbers(size.words)[:2]
        return f"There are {numbers(coins.words)[0]:.0f} coins, and the picture is {width:.0f} x {height:.0f} pixels."

    return Task(
        KIND,
        "How many coins are there, and how large is the picture in pixels?",
        ("coins",),
        solution,
        (says_number(24, 384, 303),),
    )


def _coins_in(box: Box, where: str, count: int) -> Task:
    def solution() -> Solution:
        rows = yield call("crop", image="image_1", box=box)
        coins = yield call("count_objects", image=rows.image, smallest=0.005)  # the edge of the photograph is no coin
        return f"{numbers(coins.words)[0]:.0f} coins."

    return Task(KIND, f"How many coins lie in {where}?", ("coins",), solution, (says_number(count), _no_other(count)))


def _no_other(count: int) -> Check:
    def check(outcome: Outcome) -> None:
        if numbers(outcome.words) != [count]:
            raise Wrong(f"the reply does not say {count} alone: {outcome.words[:100]!r}")

    return check


def _brighter(*names: str) -> Task:
    def solution() -> Solution:
        light = []
        for at in range(len(names)):
            found = yield call("measure", image=f"image_{at + 1}")
            light.append(told_brightness(found.words))
        return f"It is image_{light.index(max(light)) + 1}."

    right = max(range(len(names)), key=lambda at: brightness(names[at])) + 1
    others = [f"image_{at + 1}" for at in range(len(names)) if at + 1 != right]
    return Task(
        KIND,
        "Which of these pictures is the brightest on average? Answer with its name.",
        names,
        solution,
        (chooses(f"image_{right}", others),),
    )


def _sizes(*names: str) -> Task:
    def solution() -> Solution:
        said = []
        for at in range(len(names)):
            found = yield call("measure", image=f"image_{at + 1}")
            said.append("{:.0f} x {:.0f}".format(*numbers(found.words)[:2]))
        return ", ".join(said)

    return Task(
        KIND,
        "What are the width and height of each of these in pixels?",
        names,
        solution,
        (says_number(*(side for name in names for side in picture(name).size)),),
    )


def _height_after(name: str, width: int) -> Task:
    def solution() -> Solution:
        wide = yield call("resize", image="image_1", width=width)
        found = yield call("measure", image=wide.image)
        return f"It is {numbers(found.words)[1]:.0f} pixels high."

    image = picture(name)
    return Task(
        KIND,
        f"Make it {width} pixels wide without stretching it. How high is it then?",
        (name,),
        solution,
        (has_size(width), says_number(round(image.height * width / image.width))),
    )


def _turned_width(name: str) -> Task:
    def solution() -> Solution:
        other = yield call("rotate", image="image_1", angle=270)
        found = yield call("measure", image=other.image)
        return f"It is {numbers(found.words)[0]:.0f} pixels wide now."

    return Task(
        KIND,
        "Turn this a quarter counter-clockwise and tell me how wide it is then.",
        (name,),
        solution,
        (shows(lambda given: turned(given[0], 270)), says_number(picture(name).height)),
    )


def _gray_brightness(name: str) -> Task:
    def solution() -> Solution:
        gray = yield call("grayscale", image="image_1")
        found = yield call("measure", image=gray.image)
        return f"Its mean brightness is {100 * told_brightness(found.words):.0f} percent."

    return Task(
        KIND,
        "make it black and white and say how bright it is on average, in percent of white",
        (name,),
        solution,
        (is_gray, says_number(100 * brightness(name), within=0.04)),
    )


def _distance() -> Task:
    def solution() -> Solution:
        found = yield call("measure", image="image_1", start=(0.38, 0.39), end=(0.72, 0.46))
        size = yield call("measure", image="image_2")
        return f"{numbers(found.words.partition('points are')[2])[0]:.0f} pixels; {numbers(size.words)[0]:.0f} wide."

    width, height = picture("cat").size
    apart = ((0.34 * width) ** 2 + (0.07 * height) ** 2) ** 0.5
    return Task(
        KIND,
        "How many pixels are there between the pupils of the cat, and how wide is the other picture?",
        ("cat", "page"),
        solution,
        (says_number(apart, within=0.08), says_number(384)),
    )


def _same_or_not(name: str) -> Task:
    def solution() -> Solution:
        first = yield call("compare", image="image_1", other="image_2")
        second = yield call("compare", image="image_1", other="image_3")
        same = 3 if "are the same" in second.words else 2
        return f"It is image_{same}; {numbers(first.words)[0]:g}% of the other one differ."

    left, top, right, bottom = CHANGED[f"{name}, changed"][1]
    return Task(
        KIND,
        "Which of the other two pictures is exactly the same as image_1, and how many percent of the other one differ? "
        "Name only the one that is the same.",
        (name, f"{name}, changed", name),
        solution,
        (chooses("image_3", ["image_2"]), says_number(100 * (right - left) * (bottom - top), within=0.15)),
    )


def _main_color() -> Task:
    def solution() -> Solution:
        middle = yield call("crop", image="image_1", box=MIDDLE)
        found = yield call("palette", image=middle.image, count=2)
        return f"Mostly {found.words.partition('(')[2].partition(')')[0]}."

    return Task(
        KIND,
        "Cut out the middle (half the width, half the height) and say what its main colour is called.",
        ("retina",),
        solution,
        (has_size(picture("retina").width // 2), says("red")),
    )


TASKS: Final = (
    _coins_and_size(),
    _coins_in((0, 0, 1, 0.76), "the upper three rows", 18),
    _coins_in((0, 0.74, 1, 1), "the lowest row", 6),
    _brighter("rocket", "page", "galaxies"),
    _brighter("cell", "coffee"),
    _sizes("rocket", "page", "cell"),
    _height_after("coffee", 640),
    _turned_width("coins"),
    _gray_brightness("coffee"),
    _distance(),
    _same_or_not("coffee"),
    _main_color(),
)
