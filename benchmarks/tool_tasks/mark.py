"""Tasks that point at things in photographs: frames, arrows, dots, words, light."""

from __future__ import annotations

from typing import Final

from benchmarks.tool_tasks.checks import FIRST, Box, Make, dimmed, holds, is_gray, keeps, part, says_number
from benchmarks.tool_tasks.compose import gray
from benchmarks.tool_tasks.cut import HALVES
from benchmarks.tool_tasks.drawn import RED, framed, points_at, writes
from benchmarks.tool_tasks.sources import CHANGED
from benchmarks.tool_tasks.task import Check, Outcome, Solution, Task, boxes, call, numbers

KIND: Final = "mark"
CUP: Final[Box] = (0.28, 0.03, 0.7, 0.62)
HELMET: Final[Box] = (0.55, 0.66, 0.98, 1)
WHEEL: Final[Box] = (0.71, 0.54, 0.93, 0.92)
BLUE: Final = (0, 0, 255)
ABOVE: Final[Box] = (0, 0, 1, 0.25)


def _framed_and_named(name: str, box: Box, what: str, text: str) -> Task:
    def solution() -> Solution:
        frame = yield call("draw_boxes", image="image_1", boxes=[list(box)], color="red")
        yield call("add_text", image=frame.image, text=text, position="bottom left", size=0.1)
        return "Marked."

    return Task(
        KIND,
        f"Draw a red box around {what} and write '{text}' at the bottom left.",
        (name,),
        solution,
        (framed(box, RED), writes(text, (0, 0.75, 0.6, 1))),
    )


def _difference(name: str) -> Task:
    box = CHANGED[f"{name}, changed"][1]

    def solution() -> Solution:
        found = yield call("compare", image="image_1", other="image_2")
        yield call("draw_boxes", image="image_1", boxes=boxes(found.words)[:1], color="red")
        return "There is the difference."

    return Task(
        KIND,
        "These two are not quite the same. Draw a red box into the first one where they differ.",
        (name, f"{name}, changed"),
        solution,
        (framed(box, RED), keeps(box, within=4)),
    )


def _largest_coin() -> Task:
    def solution() -> Solution:
        found = yield call("count_objects", image="image_1")
        yield call("draw_boxes", image="image_1", boxes=boxes(found.words)[:1], color="red")
        return f"The largest of the {numbers(found.words)[0]:.0f} coins."

    return Task(
        KIND,
        "How many coins are there? Draw a red box around the largest one.",
        ("coins",),
        solution,
        (framed((0.82, 0.515, 0.99, 0.716), RED), says_number(24)),
    )


def _arrow(name: str, place: tuple[float, float], start: tuple[float, float], what: str, text: str) -> Task:
    def solution() -> Solution:
        arrow = yield call("draw_arrow", image="image_1", start=start, end=place, color="blue")
        yield call("add_text", image=arrow.image, text=text, position="bottom left", size=0.1)
        return "There it is."

    return Task(
        KIND,
        f"Draw a blue arrow that points at {what}, and write '{text}' at the bottom left.",
        (name,),
        solution,
        (points_at(place, BLUE), writes(text, (0, 0.75, 0.6, 1))),
    )


def _arrow_on_gray() -> Task:
    place = (0.505, 0.32)

    def solution() -> Solution:
        plain = yield call("grayscale", image="image_1")
        yield call("draw_arrow", image=plain.image, start=(0.2, 0.1), end=place, color="red")
        return "The tip of the rocket."

    return Task(
        KIND,
        "Make it black and white, then point a red arrow at the tip of the rocket.",
        ("rocket",),
        solution,
        (points_at(place, RED, of=gray(FIRST)), keeps((0.1, 0, 0.7, 0.45), of=gray(FIRST))),
    )


def _dots_and_crop() -> Task:
    left, right = (0.38, 0.39), (0.72, 0.46)

    def solution() -> Solution:
        dots = yield call("draw_points", image="image_1", points=[list(left), list(right)], color="red")
        yield call("crop", image=dots.image, box=(0, 0, 1, 0.65))
        return "A dot on each eye."

    kept: Make = lambda given: part(given[0], (0, 0, 1, 0.65))  # noqa: E731
    places = [(x, y / 0.65) for x, y in (left, right)]
    return Task(
        KIND,
        "Put a red dot on each eye of the cat, then cut off the lower 35% of the picture.",
        ("cat",),
        solution,
        tuple(points_at(place, RED, of=kept) for place in places),
    )


def _lit(name: str, box: Box, words: str, text: str) -> Task:
    def solution() -> Solution:
        light = yield call("highlight", image="image_1", box=box)
        yield call("add_text", image=light.image, text=text, position="top", size=0.1)
        return "Everything else is darker."

    inner: Box = (box[0] + 0.03, max(box[1] + 0.03, 0.25), box[2] - 0.03, box[3] - 0.03)
    wide: Box = (max(0, box[0] - 0.05), max(0, box[1] - 0.05), min(1, box[2] + 0.05), min(1, box[3] + 0.05))
    dark: Make = lambda given: given[0].point(lambda level: round(0.35 * level))  # noqa: E731
    return Task(
        KIND,
        f"{words}, and write '{text}' at the top.",
        (name,),
        solution,
        (holds(inner, lambda given: part(given[0], inner), 4), dimmed(wide, ABOVE), writes(text, ABOVE, of=dark)),
    )


def _two_frames() -> Task:
    wheels: tuple[Box, ...] = ((0.16, 0.47, 0.38, 0.81), WHEEL)

    def solution() -> Solution:
        first = yield call("draw_boxes", image="image_1", boxes=[list(wheels[0])], color="red")
        yield call("draw_boxes", image=first.image, boxes=[list(wheels[1])], color="blue")
        return "The rear wheel is red, the front wheel blue."

    return Task(
        KIND,
        "Frame the rear wheel of the motorcycle in red and the front wheel in blue.",
        ("motorcycle",),
        solution,
        (_on_side(HALVES["left"], wheels[0], RED), _on_side(HALVES["right"], wheels[1], BLUE)),
    )


def _on_side(side: Box, box: Box, color: tuple[int, int, int]) -> Check:
    """A frame in one half of the picture."""
    across = side[2] - side[0]
    inner: Box = ((box[0] - side[0]) / across, box[1], (box[2] - side[0]) / across, box[3])

    def check(outcome: Outcome) -> None:
        half = Outcome(outcome.words, (part(outcome.image, side),), (part(outcome.given[0], side),))
        framed(inner, color)(half)

    return check


def _gray_but_lit() -> Task:
    def solution() -> Solution:
        plain = yield call("grayscale", image="image_1")
        yield call("highlight", image=plain.image, box=CUP)
        return "Only the cup is in the light."

    inner: Box = (0.31, 0.06, 0.67, 0.59)
    return Task(
        KIND,
        "Take the colours out of this and darken everything but the cup.",
        ("coffee",),
        solution,
        (is_gray, holds(inner, lambda given: part(gray(FIRST)(given), inner), 4), dimmed(CUP, of=gray(FIRST))),
    )


TASKS: Final = (
    _framed_and_named("coffee", CUP, "the cup", "coffee"),
    _framed_and_named("motorcycle", WHEEL, "the front wheel", "wheel"),
    _difference("coffee"),
    _difference("rocket"),
    _largest_coin(),
    _arrow("astronaut", (0.78, 0.25), (0.62, 0.1), "the space shuttle behind her", "shuttle"),
    _arrow("moon", (0.22, 0.17), (0.6, 0.5), "the round crater at the upper left", "crater"),
    _arrow_on_gray(),
    _dots_and_crop(),
    _lit("astronaut", HELMET, "Darken everything but the helmet in her arm", "helmet"),
    _two_frames(),
    _gray_but_lit(),
)
