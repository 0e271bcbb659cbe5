"""Tasks that make parts of photographs unrecognisable."""

from __future__ import annotations

from typing import Final

from PIL import Image

from benchmarks.tool_tasks.checks import FIRST, Box, Given, Make, hidden, holds, is_gray, keeps, part
from benchmarks.tool_tasks.compose import gray
from benchmarks.tool_tasks.cut import HALVES, mirrored, turned
from benchmarks.tool_tasks.drawn import writes
from benchmarks.tool_tasks.task import Solution, Task, call

KIND: Final = "hide"
FACE: Final[Box] = (0.36, 0.13, 0.52, 0.35)
AROUND_FACE: Final[Box] = (0.3, 0.03, 0.6, 0.42)
PHOTOGRAPHER: Final[Box] = (0.36, 0.15, 0.52, 0.36)
AROUND_PHOTOGRAPHER: Final[Box] = (0.28, 0.08, 0.6, 0.45)
EYES: Final[tuple[Box, ...]] = ((0.3, 0.28, 0.46, 0.5), (0.65, 0.35, 0.79, 0.57))
BADGE: Final[Box] = (0.53, 0.64, 0.66, 0.75)
FLAG: Final[Box] = (0, 0, 0.14, 0.5)
CUP: Final[Box] = (0.28, 0.03, 0.7, 0.62)
EDGE_BELOW: Final[Box] = (0, 0.75, 1, 1)
EDGE_ABOVE: Final[Box] = (0, 0, 1, 0.25)


def _wider(box: Box, by: float = 0.06) -> Box:
    return max(0, box[0] - by), max(0, box[1] - by), min(1, box[2] + by), min(1, box[3] + by)


def _and_a_word(tool: str, name: str, words: str, face: Box, around: Box, text: str) -> Task:
    def solution() -> Solution:
        safe = yield call(tool, image="image_1", box=face)
        yield call("add_text", image=safe.image, text=text, position="bottom", size=0.12)
        return "The face cannot be seen any more."

    return Task(
        KIND,
        f"{words}, then write '{text}' at the bottom",
        (name,),
        solution,
        (hidden(face), keeps(around, EDGE_BELOW), writes(text, EDGE_BELOW)),
    )


def _then_gray() -> Task:
    def solution() -> Solution:
        safe = yield call("pixelate", image="image_1", box=FACE)
        yield call("grayscale", image=safe.image)
        return "Done."

    return Task(
        KIND,
        "Pixelate her face and make the whole picture black and white.",
        ("astronaut",),
        solution,
        (is_gray, hidden(FACE, of=gray(FIRST)), keeps(AROUND_FACE, of=gray(FIRST))),
    )


def _all_but(name: str, box: Box, words: str) -> Task:
    def solution() -> Solution:
        blurred = yield call("blur", image="image_1", radius=0.03)
        sharp = yield call("crop", image="image_1", box=box)
        yield call("paste", image=blurred.image, other=sharp.image, box=box, fit="stretch")
        return "Only that part is sharp now."

    around: tuple[Box, ...] = ((0, 0, box[0] - 0.05, 1), (box[2] + 0.05, 0, 1, 1), (0, box[3] + 0.05, 1, 1))
    inner: Box = (box[0] + 0.03, box[1] + 0.03, box[2] - 0.03, box[3] - 0.03)
    return Task(
        KIND,
        words,
        (name,),
        solution,
        (holds(inner, lambda given: part(given[0], inner), 3), *(hidden(each) for each in around)),
    )


def _both(name: str, places: tuple[Box, ...], tool: str, words: str) -> Task:
    def solution() -> Solution:
        image = "image_1"
        for box in places:
            done = yield call(tool, image=image, box=_wider(box, 0.01))
            image = done.image
        return "Both are hidden."

    return Task(KIND, words, (name,), solution, (*map(hidden, places), keeps(*map(_wider, places))))


def _then_crop() -> Task:
    shown: Box = (0.1, 0, 0.8, 0.7)

    def solution() -> Solution:
        safe = yield call("blur", image="image_1", box=PHOTOGRAPHER, radius=0.03)
        yield call("crop", image=safe.image, box=shown)
        return "Done."

    def moved(box: Box) -> Box:
        across, down = shown[2] - shown[0], shown[3] - shown[1]
        left, top, right, bottom = box
        return (
            (left - shown[0]) / across,
            (top - shown[1]) / down,
            (right - shown[0]) / across,
            (bottom - shown[1]) / down,
        )

    kept: Make = lambda given: part(given[0], shown)  # noqa: E731
    return Task(
        KIND,
        "Blur the photographer's face, then crop the picture to what lies between 10% and 80% of the width, in the "
        "upper 70% of the height.",
        ("cameraman",),
        solution,
        (hidden(moved(PHOTOGRAPHER), of=kept), keeps(moved(AROUND_PHOTOGRAPHER), of=kept)),
    )


def _beside_original() -> Task:
    def solution() -> Solution:
        safe = yield call("pixelate", image="image_1", box=BADGE, blocks=4)
        yield call("side_by_side", image="image_1", other=safe.image, gap=0)
        return "The name badge is unreadable on the right."

    def on_the_right(box: Box) -> Box:
        return 0.5 + box[0] / 2, box[1], 0.5 + box[2] / 2, box[3]

    def twice(given: Given) -> Image.Image:
        made = Image.new("RGB", (2 * given[0].width, given[0].height))
        made.paste(given[0], (0, 0))
        made.paste(given[0], (given[0].width, 0))
        return made

    return Task(
        KIND,
        "Make the small blue name badge on her chest unrecognisable and show me the original and the result side by "
        "side, the original on the left, without a gap.",
        ("astronaut",),
        solution,
        (hidden(on_the_right(BADGE), of=twice), keeps(on_the_right(_wider(BADGE)), of=twice)),
    )


def _then_turned(name: str, box: Box, words: str) -> Task:
    def solution() -> Solution:
        safe = yield call("blur", image="image_1", box=box, radius=0.04)
        yield call("rotate", image=safe.image, angle=90)
        return "Done."

    around = _wider(box)
    kept: Make = lambda given: turned(given[0], 90)  # noqa: E731

    def clockwise(each: Box) -> Box:
        return 1 - each[3], each[0], 1 - each[1], each[2]

    return Task(KIND, words, (name,), solution, (hidden(clockwise(box), of=kept), keeps(clockwise(around), of=kept)))


def _draft() -> Task:
    lower = HALVES["lower"]

    def solution() -> Solution:
        safe = yield call("blur", image="image_1", box=lower, radius=0.02)
        yield call("add_text", image=safe.image, text="DRAFT", position="top right", size=0.15, color="red")
        return "The lower half cannot be read."

    corner: Box = (0.5, 0, 1, 0.35)
    return Task(
        KIND,
        "blur the lower half of the page so that nobody can read it, and write DRAFT in red at the top right",
        ("page",),
        solution,
        (hidden((0, 0.55, 1, 1)), keeps((0, 0.45, 1, 1), corner), writes("DRAFT", corner)),
    )


def _back_in() -> Task:
    def solution() -> Solution:
        mirror = yield call("flip", image="image_1")
        yield call("pixelate", image=mirror.image, box=(1 - FACE[2], FACE[1], 1 - FACE[0], FACE[3]))
        return "Done."

    other: Make = lambda given: mirrored(given[0])  # noqa: E731
    face: Box = (1 - FACE[2], FACE[1], 1 - FACE[0], FACE[3])
    around: Box = (1 - AROUND_FACE[2], AROUND_FACE[1], 1 - AROUND_FACE[0], AROUND_FACE[3])
    return Task(
        KIND,
        "Mirror the photo left to right and make the face unrecognisable.",
        ("astronaut",),
        solution,
        (hidden(face, of=other), keeps(around, of=other)),
    )


TASKS: Final = (
    _and_a_word("blur", "astronaut", "blur the face", FACE, AROUND_FACE, "private"),
    _and_a_word("pixelate", "cameraman", "pixelate the man's face", PHOTOGRAPHER, AROUND_PHOTOGRAPHER, "no name"),
    _then_gray(),
    _all_but("astronaut", AROUND_FACE, "Everything but her head should be blurred."),
    _all_but("coffee", CUP, "blur everything except the cup"),
    _both("cat", EYES, "pixelate", "Make both eyes of the cat unrecognisable, nothing else."),
    _both("astronaut", (FACE, BADGE), "blur", "blur her face and the small blue name badge on her chest"),
    _then_crop(),
    _beside_original(),
    _then_turned("coffee", CUP, "Blur the cup and turn the picture by 90 degrees clockwise."),
    _draft(),
    _back_in(),
)
