"""Sentences that ask for a change of a picture.

`{it}` is the object (or all objects) meant, `{its}` the same in the possessive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

_POLITE: Final = (
    "(please|can you|could you|would you|could you please|can you please"
    "|now|i want you to|i'd like you to|just|ok,|let's)"
)


class Instruction:
    """The forms of one operation: short imperatives, and everything people wrap around them.

    Attributes:
        short: bare imperatives, which can be strung together.
        all: the imperatives, the polite ones, and `others`.
    """

    def __init__(self, kind: str, imperatives: Sequence[str], others: Sequence[str]) -> None:
        self.short = Intent(f"edit.{kind}.short", imperatives)
        polite = [f"{_POLITE} {pattern}" for pattern in imperatives]
        after = [f"{pattern}(,|) please" for pattern in imperatives[:2]]
        self.all = Intent(f"edit.{kind}", [*imperatives, *imperatives, *polite, *after, *others])


RECOLOR: Final = Instruction(
    "recolor",
    [
        "(make|turn|paint|color|colour) {it} {color}",
        "(recolor|recolour|repaint|dye) {it} (in|) {color}",
        "(change|set|switch) the {word_color} of {it} to {color}",
        "(change|set|switch) {its} {word_color} to {color}",
        "change {it} to {color}",
        "(fill|paint) {it} (with|in) {color}",
        "give {it} (a {color} {word_color}|the {word_color} {color})",
    ],
    [
        "{it} (should|must|has to|needs to) (be|become|turn) {color}",
        "i want {it} (to be|in) {color}",
        "i (would like|'d like) {it} (to be|in) {color}",
        "{it}(:|) {color}(, please|)",
        "can {it} be {color}",
        "let {it} be {color}",
        "(use|apply) {color} for {it}",
        "{it} in {color}(, please|)",
        "what if {it} (was|were) {color}",
        "{it} would be (nicer|better) in {color}",
    ],
)

RESIZE: Final[dict[str, Instruction]] = {
    "large": Instruction(
        "resize",
        [
            "make {it} (bigger|larger|big|large)",
            "(enlarge|grow|scale up|expand) {it}",
            "increase (the size of {it}|{its} size)",
            "(change|set) (the size of {it}|{its} size) to (large|big)",
            "turn {it} into a (large|big) one",
            "make {it} (a lot|much|a bit|) (bigger|larger)",
        ],
        [
            "{it} (should|must|has to|needs to) be (bigger|larger|big|large)",
            "i want {it} (to be|) (bigger|larger)",
            "i'd like {it} (to be|) (bigger|larger)",
            "{it} is too small",
            "(bigger|larger)(:|) {it}",
            "{it} (bigger|larger)(, please|)",
            "can {it} be (bigger|larger)",
            "let {it} grow",
        ],
    ),
    "small": Instruction(
        "resize",
        [
            "make {it} (smaller|small|tiny|little)",
            "(shrink|scale down|reduce) {it}",
            "(reduce|decrease) (the size of {it}|{its} size)",
            "(change|set) (the size of {it}|{its} size) to (small|tiny)",
            "turn {it} into a (small|tiny) one",
            "make {it} (a lot|much|a bit|) smaller",
        ],
        [
            "{it} (should|must|has to|needs to) be (smaller|small|tiny)",
            "i want {it} (to be|) (smaller|small)",
            "i'd like {it} (to be|) (smaller|small)",
            "{it} is too (big|large)",
            "smaller(:|) {it}",
            "{it} smaller(, please|)",
            "can {it} be smaller",
            "let {it} shrink",
        ],
    ),
}

REPLACE: Final = Instruction(
    "replace",
    [
        "(change|turn|convert|transform|make) {it} into {new}",
        "(replace|substitute) {it} (with|by) {new}",
        "(change|switch) {it} to {new}",
        "(swap|exchange) {it} for {new}",
        "put {new} (in place of|instead of) {it}",
        "make {it} {new}",
        "(change|set) the shape of {it} to {new}",
    ],
    [
        "{it} (should|must) (be|become) {new}",
        "i want {new} (instead of|in place of) {it}",
        "i'd (like|rather have) {new} (instead of|in place of) {it}",
        "{new} instead of {it}(, please|)",
        "i want {it} to (be|become) {new}",
        "instead of {it}, (i want|draw|put|make) {new}",
        "let {it} be {new}",
        "can {it} be {new}",
    ],
)
REPLACE_ALL: Final = Instruction(
    "replace",
    [
        "(change|turn|convert|transform|make) {it} into {new}",
        "(replace|substitute) {it} (with|by) {new}",
        "(change|switch) {it} to {new}",
        "(swap|exchange) {it} for {new}",
        "put {new} (in place of|instead of) {it}",
    ],
    [
        "i want {new} (instead of|in place of) {it}",
        "{new} instead of {it}(, please|)",
        "i want {it} to (be|become) {new}",
    ],
)

REMOVE: Final = Instruction(
    "remove",
    [
        "(remove|delete|erase|drop) {it}",
        "(get rid of|take away|take out|throw out|throw away|wipe out) {it}",
        "(cut|rub) out {it}",
        "(remove|delete|erase|take) {it} (from|out of) the {picture}",
        "(clear|eliminate|hide) {it}",
        "make {it} (disappear|vanish|go away)",
    ],
    [
        "{it} (should|must|has to|needs to) (go|disappear|be removed|be deleted)",
        "i (don't|do not) want {it} (in the {picture}|any more|anymore|)",
        "i want {it} (gone|removed|deleted|out)",
        "i'd like {it} (gone|removed|deleted|out)",
        "(the {picture} without|everything except|everything but) {it}(, please|)",
        "without {it}(, please|)",
        "show the (same|) {picture} without {it}",
        "i don't need {it} (any more|anymore|)",
        "{it} (away|out)(, please|)",
        "lose {it}",
    ],
)

MOVE: Final = Instruction(
    "move",
    [
        "(move|shift|bring|drag) {it} to the {position}",
        "(move|put|place) {it} {at} the {position}",
        "(put|move|place) {it} {at} the {position} of the {picture}",
        "(change|set) the position of {it} to (the|) {position}",
        "(send|slide|take|carry) {it} to the {position}",
        "let {it} (go|move) to the {position}",
    ],
    [
        "{it} (should|must) be {at} the {position}",
        "{it} (should|must|has to) (go|move) to the {position}",
        "i want {it} {at} the {position}",
        "i'd like {it} (to be|) {at} the {position}",
        "{it} to the {position}(, please|)",
        "{it} belongs {at} the {position}",
        "i want {it} (moved|placed) {at} the {position}",
    ],
)

SHIFT: Final = Instruction(
    "move",
    [
        "(move|shift|push|slide|nudge) {it} {way}",
        "(move|shift|push|slide) {it} (one step|one place|a step|a bit|a little) {way}",
        "(move|shift) {it} {way} by one",
    ],
    [
        "{it} should (be|go|move) (further|more) {way}",
        "i want {it} (further|more) {way}",
        "{it} (one step|a bit) {way}(, please|)",
    ],
)
WAYS: Final = {
    "left": ("left", "to the left"),
    "right": ("right", "to the right"),
    "up": ("up", "upwards", "up", "higher"),
    "down": ("down", "downwards", "down", "lower"),
}

SWAP: Final = Instruction(
    "swap",
    [
        "(swap|switch|exchange) {one} and {other}",
        "(swap|switch|exchange) {one} with {other}",
        "(swap|switch|exchange) the (positions|places) of {one} and {other}",
        "(let|have|make) {one} and {other} (swap|switch|trade|change) (places|positions)",
        "put {one} where {other} is and {other} where {one} is",
        "make {one} (swap|switch|trade|change) places with {other}",
        "interchange {one} and {other}",
    ],
    [
        "{one} and {other} should (swap|switch|trade|change|exchange) (places|positions)",
        "i want {one} and {other} (swapped|to swap places|to change places|to trade places)",
        "i'd like {one} and {other} swapped",
        "{one} and {other}(:|) (swap|switch) them",
        "take {one} and {other} and (swap|switch|exchange) them",
    ],
)

ADD: Final = Instruction(
    "add",
    [
        "add {new}",
        "add {new} (to the|to this|in the) {picture}",
        "(put|place|insert|include) {new} (in|into) the {picture}",
        "(draw|paint) {new} (into|onto|in) the {picture}(, too|)",
        "also (draw|paint|add|put in|include) {new}",
        "(put|place) in {new}",
        "add another (object|shape|thing): {new}",
        "(add|insert|put in) {new} too",
    ],
    [
        "i (want|need) {new} in the {picture} (too|as well)",
        "i'd (like|love) {new} in the {picture} (too|as well)",
        "there should also be {new} in the {picture} (too|as well)",
        "the {picture} (needs|should also have|should also show) {new}",
        "{new} is (still|) missing",
        "complete the {picture} with {new}",
        "(and|plus) {new}",
        "we (still|also) need {new}",
    ],
)
ADD_AT: Final = Instruction(
    "add",
    [
        "(add|put|place|insert) {new} {at} the {position}",
        "(add|put|place|insert) {new} {at} the {position} of the {picture}",
        "{at} the {position}(,|) (add|put|place|insert) {new}",
        "(add|insert) {new}, {position}",
    ],
    [
        "i want {new} {at} the {position} (too|as well)",
        "there should also be {new} {at} the {position}",
        "(also|and) {new} {at} the {position}",
        "{at} the {position} there should also be {new}",
        "i'd like {new} added {at} the {position}",
    ],
)

BACKGROUND: Final = Instruction(
    "background",
    [
        "(make|turn|paint|color|colour) the {word_background} {color}",
        "(change|set|switch) the {word_background} (to|into) {color}",
        "(change|set) the {word_color} of the {word_background} to {color}",
        "(use|choose|put in|give it|take) a {color} {word_background}",
        "(recolor|repaint|fill) the {word_background} (in|with) {color}",
        "(put|place|show) (it|everything|it all) on (a {color} {word_background}|{color})",
        "(replace|swap) the {word_background} (with|for) (a|) {color} (one|)",
    ],
    [
        "the {word_background} (should|must|has to|needs to) (be|become) {color}",
        "i want (a {color} {word_background}|the {word_background} (to be|) {color})",
        "i'd like (a {color} {word_background}|the {word_background} (to be|in) {color})",
        "{color} {word_background}(,|) please",
        "{word_background}(:|) {color}",
        "(how about|with) a {color} {word_background}(, please|)",
        "(the same|the same {picture}|this|it) on {color}(, please|)",
        "can the {word_background} be {color}",
    ],
)
