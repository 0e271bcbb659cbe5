"""What `benchmarks.shapes_record` asks: sampled from the generators of the shapes domain, and typed by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from PIL import Image

from benchmarks.shapes_record import Record
from genllava_finetune.worlds.shapes.dialogue import Dialogue, Turn
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.splits import RESEARCH, sample_scene
from genllava_finetune.worlds.shapes.suites import SAMPLES
from genllava_finetune.worlds.shapes.understanding import FAMILIES

_QUESTIONS: Final = (
    *(f"questions.{family}" for family in FAMILIES),
    "questions/attr_combo", "questions/count", "questions/relation", "questions/template", "outside",
)  # fmt: skip
_DRAWINGS: Final = (
    "generation", "generation", "generation/attr_combo", "generation/count", "generation/relation",
    "generation/template", "outside/template",
)  # fmt: skip
_EDITS: Final = (
    "editing", "editing", "editing/attr_combo", "editing/edit_combo", "editing/template", "impossible", "outside",
)  # fmt: skip
_CONVERSATIONS: Final = ("conversation", "conversation/template", "conversation/turns", "tasks", "tasks/template")
_EACH: Final = 100
_LONG: Final = 60
_LENGTHS: Final = range(2, 6)

_WIDE: Final = (160, 100)
"""Size of the picture `w` below."""

_TYPED: Final[tuple[tuple[tuple[str, str], ...], ...]] = (
    (("How many shapes are there?", "a"), ("and how many of them are large?", "")),
    (("what do you see", "a"), ("is there a circle in it?", ""), ("and a star?", "")),
    (("Which picture has more shapes, the first or the second?", "ab"),),
    (("describe image 2", "ab"), ("now the first one", "")),
    (("make the background black\nthen remove the smallest shape\nand tell me how many are left", "a"),),
    (("1. draw a red circle\n2. draw a blue square\n3. how many shapes are in the first picture?", ""),),
    (("- a small green triangle at the bottom, on white\n- make it orange\n- what colour is it?", ""),),
    (("1) describe the picture 2) make the background gray", "b"),),
    (('draw "a large yellow star" at the center', ""), ('now change "yellow" to "red"', "")),
    (("please draw ‘a tiny cyan diamond’ on a black background", ""),),
    (("draw two red circles and a blue square; then count the circles; then make the square green", ""),),
    (("a purple cross -> make it small -> put it at the top left", ""),),
    (("Draw a big red circle, on beige!!!", ""), ("bigger", ""), ("make it blue instead", "")),
    (("draw me something nice", ""),),
    (("draw a red circle and a red circle next to it", ""), ("which one is on the left?", "")),
    (("remove the elephant", "a"), ("then remove everything", "")),
    (("draw a cat on a mat", ""), ("ok, then a pink square in the middle", ""), ("what is that?", "")),
    (("what is the capital of france?", ""),),
    (("thanks, that was great", ""), ("bye", "")),
    (("What's the weather like in this picture?", "a"),),
    (("MAKE EVERYTHING GREEN", "c"),),
    (("swap the two shapes", "c"), ("swap them back", "")),
    (("take the first picture and give it the background of the second", "ab"),),
    (("is the background of image_1 the same as that of image_2?", "ab"),),
    (("Draw a white circle on white", ""), ("draw a circle", "")),
    (("draw five squares", ""), ("draw four squares then", ""), ("how many are there", "")),
    (("colour the picture’s biggest thing red — and say where it is", "b"),),
    (("add a star", "b"), ("add another star", ""), ("and another", ""), ("and one more", "")),
    (("draw a green square at the top right. draw an orange star at the bottom left. compare them", ""),),
    (("undo", "a"), ("make the background white", ""), ("undo that", "")),
    (("what is in the third picture?", "ab"),),
    (("edit image 1: make the background beige", "ab"), ("now do the same to image 2", "")),
    (("draw a cyan triangle; no, wait, a pink one", ""),),
    (("is there anything left of the largest shape?", "b"), ("what is above it?", "")),
    (("what is in the picture?", "w"), ("how many shapes?", "")),
    (("draw a small red square at the top left and a large blue circle at the bottom right, on gray", ""),
     ("move the square to the center", ""), ("what is where now?", ""), ("remove the circle", "")),
    (("draw image 3", ""), ("draw the same again", "")),
    (("* describe it\n* recolor the first shape purple\n* describe it again", "c"),),
    (("no shapes at all, just a black background", ""),),
    (("  how   many\tshapes , please ?? ", "a"), ("tell me the colours of all shapes, separated by commas", "")),
)  # fmt: skip


def sample() -> Record:
    """The record with nothing asked yet: the same on every machine."""
    record = Record()
    for verb, names in (("understand", _QUESTIONS), ("generate", _DRAWINGS), ("edit", _EDITS)):
        for number in range(_EACH):
            name = names[number % len(names)]
            pictures = None if verb == "understand" else verb == "edit"
            turn = _dialogue(name, f"{verb}:{number}", pictures=pictures).turns[0]
            shown = [record.show(render(scene)) for scene in turn.images]
            record.requests.append({"verb": verb, "text": turn.user, "pictures": shown, "seed": number})
    for number in range(_LONG):
        dialogue = _dialogue(_CONVERSATIONS[number % len(_CONVERSATIONS)], f"conversation:{number}", lengths=_LENGTHS)
        record.conversations.append(
            [
                {
                    "text": _typed(turn, number // len(_CONVERSATIONS)),
                    "pictures": [record.show(render(scene)) for scene in turn.images],
                    "seed": number,
                }
                for turn in dialogue.turns
            ]
        )
    shapes = _pictures()
    for number, messages in enumerate(_TYPED):
        record.conversations.append(
            [
                {"text": text, "pictures": [record.show(shapes[name]) for name in names], "seed": number}
                for text, names in messages
            ]
        )
    return record


def _dialogue(name: str, seed: str, *, pictures: bool | None = None, lengths: Sequence[int] = range(1, 2)) -> Dialogue:
    """One of a suite's kind; `pictures`: whether any come with its first message, None if that does not matter."""
    rng = random.Random(f"record:{name}:{seed}")
    while True:
        dialogue = SAMPLES[name](rng, "dev")
        if dialogue is None or len(dialogue.turns) not in lengths:
            continue
        if pictures is None or bool(dialogue.turns[0].images) == pictures:
            return dialogue


def _typed(turn: Turn, style: int) -> str:
    """A message; one of several requests in one of the ways in which people type lists."""
    if len(turn.asked) < 2 or style % 6 > 3:
        return turn.user
    if style % 6 == 0:
        return "\n".join(f"{number}. {text}" for number, text in enumerate(turn.asked, 1))
    if style % 6 == 1:
        return "\n".join(f"- {text}" for text in turn.asked)
    if style % 6 == 2:
        return "Please:\n\n" + "\n".join(f"“{text}”" for text in turn.asked)
    return "; ".join(f'"{text}"' for text in turn.asked)


def _pictures() -> dict[str, Image.Image]:
    """Those that are shown with what was typed by hand, by name."""
    rng = random.Random("record:typed")
    counts: dict[str, int] = {"a": 3, "b": 2, "c": 2, "w": 1}
    drawn = {name: render(sample_scene(rng, "dev", count, withhold=RESEARCH)) for name, count in counts.items()}
    wide = Image.new("RGB", _WIDE, drawn["w"].getpixel((0, 0)))
    side = _WIDE[1] // 2
    wide.paste(drawn["w"].resize((side, side), Image.Resampling.LANCZOS), (side, side // 2))
    return drawn | {"w": wide}
