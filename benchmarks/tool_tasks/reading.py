"""Tasks that read words on photographs and find faces."""

from __future__ import annotations

from typing import Final

from PIL import Image

from benchmarks.tool_tasks.checks import (
    Box,
    Given,
    Make,
    chooses,
    has_size,
    hidden,
    keeps,
    part,
    says,
    shows,
)
from benchmarks.tool_tasks.cut import mirrored
from benchmarks.tool_tasks.drawn import RED, framed, writes
from benchmarks.tool_tasks.hide import AROUND_FACE, FACE
from benchmarks.tool_tasks.sources import SIGNS
from benchmarks.tool_tasks.task import Check, Solution, Task, boxes, call

KIND: Final = "read and find faces"
HEADLINE: Final[Box] = (0, 0, 1, 0.21)
BELOW: Final[Box] = (0, 0.75, 1, 1)


def quoted(words: str) -> list[str]:
    """What `read_text` tells between quotation marks, line by line."""
    return words.split('"')[1::2]


def _written_below(name: str) -> Task:
    text = SIGNS[name][2]

    def solution() -> Solution:
        read = yield call("read_text", image="image_1")
        yield call("add_text", image="image_1", text=quoted(read.words)[0], position="bottom", size=0.12)
        return f"It says {quoted(read.words)[0]}."

    return Task(
        KIND,
        "Read the sign and write what it says at the bottom of the picture.",
        (name,),
        solution,
        (writes(text, BELOW), keeps(BELOW), says(*text.lower().replace("-", " ").split())),
        ("read_text",),
    )


def _caption_strip(name: str) -> Task:
    text = SIGNS[name][2]
    strip: Box = (0, 1 / 1.25 - 0.01, 1, 1)

    def solution() -> Solution:
        read = yield call("read_text", image="image_1")
        card = yield call("pad", image="image_1", bottom=0.25, color="black")
        yield call("add_text", image=card.image, text=quoted(read.words)[0], position="bottom", size=0.12)
        return "The words stand below."

    def card(given: Given) -> Image.Image:
        made = Image.new("RGB", (given[0].width, given[0].height + round(0.25 * given[0].height)))
        made.paste(given[0])
        return made

    return Task(
        KIND,
        "Add a black strip below the picture (a quarter of its height) and write in it, in white, what is on the sign.",
        (name,),
        solution,
        (keeps(strip, of=card), writes(text, strip, of=card)),
        ("read_text",),
    )


def _headline() -> Task:
    def solution() -> Solution:
        top = yield call("crop", image="image_1", box=HEADLINE)
        read = yield call("read_text", image=top.image)
        return f"The headline is: {quoted(read.words)[0]}"

    return Task(
        KIND,
        "Cut the headline off the page (the upper 21%) and tell me what it says.",
        ("page",),
        solution,
        (shows(lambda given: part(given[0], HEADLINE)), says("region", "based", "segmentation")),
        ("read_text",),
    )


def _mirror_writing() -> Task:
    def solution() -> Solution:
        other = yield call("flip", image="image_1")
        read = yield call("read_text", image=other.image, box=HEADLINE)
        return f"It says: {quoted(read.words)[0]}"

    return Task(
        KIND,
        "This page was scanned the wrong way round, left and right are exchanged. Mirror it and read the headline.",
        ("page, mirrored",),
        solution,
        (shows(lambda given: mirrored(given[0])), says("region", "segmentation")),
        ("read_text",),
    )


def _which_sign(*names: str, wanted: int, question: str) -> Task:
    def solution() -> Solution:
        said = []
        for at in range(len(names)):
            read = yield call("read_text", image=f"image_{at + 1}")
            said.append(quoted(read.words)[0])
        found = said.index(SIGNS[names[wanted]][2])
        yield call("grayscale", image=f"image_{found + 1}")
        return f"image_{found + 1}. The signs say {' and '.join(said)}."

    others = [f"image_{at + 1}" for at in range(len(names)) if at != wanted]
    words = [word for name in names for word in SIGNS[name][2].lower().replace("-", " ").split()]
    gray: Make = lambda given: given[wanted].convert("L")  # noqa: E731
    return Task(
        KIND,
        f"{question} Name only that one and give it to me in black and white. And tell me what all the signs say.",
        names,
        solution,
        (chooses(f"image_{wanted + 1}", others), shows(gray), says(*words)),
        ("read_text",),
    )


def _word_framed() -> Task:
    def solution() -> Solution:
        read = yield call("read_text", image="image_1")
        at = ["CLOSED" in line for line in quoted(read.words)].index(True)
        yield call("draw_boxes", image="image_1", boxes=[boxes(read.words)[at]], color="red")
        return "That is the line."

    return Task(
        KIND,
        "Draw a red box around the line on the sign that says when it is closed.",
        ("cat, sign",),
        solution,
        (framed((0.52, 0.19, 0.93, 0.29), RED),),
        ("read_text",),
    )


def _unreadable(name: str) -> Task:
    def solution() -> Solution:
        read = yield call("read_text", image="image_1")
        left, top, right, bottom = boxes(read.words)[0]
        yield call("pixelate", image="image_1", box=(left - 0.01, top - 0.01, right + 0.01, bottom + 0.01), blocks=6)
        return f"{quoted(read.words)[0]} cannot be read any more."

    box, text = SIGNS[name][1:3]
    inner = (box[0] + 0.05, box[1] + 0.05, box[2] - 0.05, box[3] - 0.05)
    return Task(
        KIND,
        "What does the sign say? Make it unreadable.",
        (name,),
        solution,
        (hidden(inner, left=0.6), keeps(box), says(*text.lower().split())),
        ("read_text",),
    )


# --- faces, which a cascade of scikit-image finds ---


def _face_found(then: str) -> Task:
    def solution() -> Solution:
        faces = yield call("find_faces", image="image_1")
        box = boxes(faces.words)[0]
        if then == "blur":
            yield call("blur", image="image_1", box=box, radius=0.03)
        else:
            face = yield call("crop", image="image_1", box=box)
            yield call("resize", image=face.image, width=256)
        return "Done."

    if then == "blur":
        checks: tuple[Check, ...] = (hidden(FACE), keeps(AROUND_FACE))
        return Task(KIND, "Find the face on this photo and blur it.", ("astronaut",), solution, checks)
    face = lambda given: part(given[0], (0.34, 0.13, 0.534, 0.325))  # noqa: E731
    checks = (has_size(256), shows(face, 25))
    return Task(
        KIND,
        "Cut the face out of this photo, forehead to chin, and make it 256 pixels wide.",
        ("astronaut",),
        solution,
        checks,
    )


TASKS: Final = (
    _written_below("coffee, sign"),
    _written_below("motorcycle, sign"),
    _caption_strip("rocket, sign"),
    _headline(),
    _mirror_writing(),
    _which_sign("coffee, sign", "moon, sign", wanted=1, question="On which of these does a sign say NO ENTRY?"),
    _which_sign(
        "rocket, sign", "motorcycle, sign", wanted=1, question="Which of these shows something that is for sale?"
    ),
    _word_framed(),
    _unreadable("motorcycle, sign"),
    _face_found("blur"),
    _face_found("crop"),
)
