"""Sentences that ask for a new picture."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

_DRAW: Final = "(draw|make|create|generate|paint|render|sketch|show me|produce)"
_PICTURE: Final = "(a|one) (new|) {picture}"
_OF: Final = "(of|with|showing|containing)"

DRAW: Final = Intent(
    "generate",
    [
        "(draw|make|create|generate|paint|render|show|sketch|design) {things}",
        "(draw|paint|make|create|generate|show) me {things}",
        "please (draw|make|create|generate|paint|render|show me|sketch) {things}",
        "(draw|make|create|generate|paint|render|show me) {things}(,|) please",
        "(can|could|would|will) you (please|) (draw|make|create|paint|generate|show me|sketch) {things}",
        "(can|could|may) i (have|get|see) {things}(, please|)",
        "(i want|i need|i would like|i'd like|give me|i'd love|get me) {things}",
        "(i want|i would like|i'd like) (to see|you to draw|you to make|you to create|you to paint) {things}",
        "(let me see|let's see|let's draw|let's make) {things}",
        f"{_DRAW} {_PICTURE} {_OF} {{things}}",
        f"(please|can you|could you) (draw|make|create|generate|paint|give me) {_PICTURE} {_OF} {{things}}",
        f"(i want|i need|i would like|i'd like|give me) {_PICTURE} {_OF} {{things}}",
        "(a|) {picture} (of|with|showing) {things}",
        "(new|another) {picture}: {things}",
        "{things}",
        "{things}(,|) please",
        "{picture}: {things}",
        "(draw|make|create|generate) the following: {things}",
        "(make|draw|create) a scene (with|of|containing) {things}",
        "(imagine|picture|visualize) {things}",
        "(how about|what about a {picture} of|now) {things}",
        "{picture} that (has|shows|contains) {things}",
        "(i want|draw|make|give me) a {picture} that (has|shows|contains) {things}",
        "the {picture} should (show|have|contain) {things}",
        "there should be {things} in (the|a) new {picture}",
        "on a (empty|blank|new|fresh) (canvas|page), (draw|put|paint|place) {things}",
        "start (a new|another) {picture} with {things}",
    ],
)
"""`{things}` is a noun phrase or a list of them, with the background if one is asked for."""

ON_BACKGROUND: Final = Intent(
    "generate.background",
    [
        "{things} on {background}",
        "{things}, on {background}",
        "{things} on (a|the) {background} background",
        "{things}(,|) (with|against|over|in front of) a {background} background",
        "{things}, {background} background",
        "{things}. (the background is|make the background|background:|the background should be) {background}",
        "{things} (and|with) the background (in|) {background}",
        "{things} on a {background} (canvas|backdrop|page)",
    ],
)

RELATED: Final[dict[str, Intent]] = {
    "left": Intent(
        "generate.left",
        [
            "{first} (left of|to the left of|on the left of) {second}",
            "{first} with {second} (to|on) its right",
            "{first} on the left side of {second}",
        ],
    ),
    "right": Intent(
        "generate.right",
        [
            "{first} (right of|to the right of|on the right of) {second}",
            "{first} with {second} (to|on) its left",
            "{first} on the right side of {second}",
        ],
    ),
    "above": Intent(
        "generate.above",
        [
            "{first} (above|over|higher than) {second}",
            "{first} with {second} (below|under) it",
            "{first} that is above {second}",
        ],
    ),
    "below": Intent(
        "generate.below",
        [
            "{first} (below|under|underneath|beneath|lower than) {second}",
            "{first} with {second} above it",
            "{first} that is below {second}",
        ],
    ),
}

NONE_OF_THEM: Final = Intent(
    "generate.none",
    [
        "{things}, none of (them|these|which) {word}",
        "{things}(,|) but none of them (is|are|should be) {word}",
        "{things} that are not {word}",
        "{things}(,|) (but|with) no {word} ones",
        "{things} (without|with no) {word} (ones|shapes)",
        "{things}(,|) (all of them|) not {word}",
    ],
)
NOT: Final = Intent(
    "generate.not",
    [
        "{things} that (is not|isn't|must not be|should not be) {word}",
        "{things}(,|) but not {word}",
        "{things}(,|) just not {word}",
        "{things}(,|) (anything but|not) {word}",
        "{things}, it (should not|must not|shouldn't) be {word}",
    ],
)
NO_SHAPES: Final = Intent(
    "generate.no_shapes",
    [
        "{things}, none of (them|these|which) {word}",
        "{things}(,|) but none of them (are|should be) {word}",
        "{things} that are not {word}",
        "{things}(,|) (but|with) no {word}",
        "{things} (without|but without) {word}",
    ],
)
