"""Sentences that ask about a picture.

`{here}` is empty, `in the picture` or `in image 2`; `{picture}` is `the picture` or `image 2`; `{np}` and `{nps}` are
nouns with their adjectives, `{the}`, `{one}` and `{other}` whole phrases for single objects.
"""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

_TELL: Final = "(tell me|please tell me|can you tell me|could you tell me|do you know|i want to know|i wonder)"
_SEE: Final = "(is there|do you see|can you see|can you find|do you spot|can you spot|does {picture} have|does {picture} show|does {picture} contain)"

COUNT: Final = Intent(
    "ask.count",
    [
        "how many {nps} (are there|do you see|can you see|can you count|are shown|are visible|do you count|can you find) {here}",
        "how many {nps} {here}",
        "how many {nps} does {picture} (have|contain|show)",
        "(count|please count|can you count|could you count|would you count) (the|all the|) {nps} {here}",
        "(what is|what's|give me|find|state) the (number|count|total number) of {nps} {here}",
        "(number|count) of {nps} {here}",
        f"{_TELL} how many {{nps}} (there are|you see) {{here}}",
        "{here}(,|) how many {nps} (are there|do you see|can you count)",
        "{nps} {here}: how many",
        "(there are|i see) how many {nps} {here}",
    ],
)
COUNT_LIKE: Final = Intent(
    "ask.count_like",
    [
        "how many of the {things} {here} are {predicate}",
        "how many {things} {here} are {predicate}",
        "how many {predicate} ones are there {here}",
    ],
)
EXIST: Final = Intent(
    "ask.exist",
    [
        f"{_SEE} a {{np}} {{here}}",
        "is there (any|even one|at least one|some) {np} {here}",
        "(are there|do you see|can you see|can you find|do you spot) any {nps} {here}",
        "any {nps} {here}",
        "(is one|is a) {np} (present|visible|shown|to be seen) {here}",
        "does {picture} (have|contain|show|include) (a|any|at least one) {np}",
        f"{_TELL} (if|whether) there is a {{np}} {{here}}",
        "{here}(,|) is there a {np}",
        "is a {np} (present|visible|shown|there|in there) {here}",
        "there is a {np} {here}, (right|isn't there|correct)",
    ],
)
COLOR_OF: Final = Intent(
    "ask.color",
    [
        "what might be the {color} of {the} {here}",
        "(what|which) {color} is {the} {here}",
        "what {color} does {the} have {here}",
        "(what is|what's|tell me|name|give me|state) the {color} of {the} {here}",
        "{color} of {the} {here}",
        "{the} {here} (is|has) (what|which) {color}",
        "{here}(,|) what {color} is {the}",
        "(in what|in which) {color} is {the} (drawn|painted|shown) {here}",
        f"{_TELL} (what|which) {{color}} {{the}} {{here}} is",
        f"{_TELL} the {{color}} of {{the}} {{here}}",
        "how is {the} {here} colored",
        "{the} {here}: (what|which) {color}",
        "(and|so|please,) what {color} is {the} {here}",
        "(could you name|can you name|please name|can you give me|can you see) the {color} of {the} {here}",
        "what {color} was {the} {here} (drawn|painted|given) in",
        "(say|report|describe) the {color} of {the} {here}",
    ],
)
SHAPE_OF: Final = Intent(
    "ask.shape",
    [
        "(what|which) shape is {the} {here}",
        "what (kind of|sort of|type of) shape is {the} {here}",
        "what is {the} {here}",
        "what's {the} {here}",
        "what shape does {the} have {here}",
        "(what is|what's|tell me|name|give me|state) the shape of {the} {here}",
        "shape of {the} {here}",
        "{the} {here} is (what|which) shape",
        "{here}(,|) (what|which) shape is {the}",
        "(is {the} {here} a circle, a square or what|what form has {the} {here})",
        f"{_TELL} what shape {{the}} {{here}} (is|has)",
        f"{_TELL} the shape of {{the}} {{here}}",
        "(identify|name) {the} {here}",
        "(what do you call|how would you call) {the} {here}",
        "what geometric (shape|figure) is {the} {here}",
        "(and|so|please,) what shape is {the} {here}",
        "(could you name|can you name|please name|can you give me|can you see) the shape of {the} {here}",
        "(say|report|describe) the shape of {the} {here}",
    ],
)
SIZE_OF: Final = Intent(
    "ask.size",
    [
        "(what|which) size is {the} {here}",
        "what size does {the} have {here}",
        "how (big|large) is {the} {here}",
        "is {the} {here} (large or small|small or large|big or small|small or big|big or little|tiny or big)",
        "(what is|what's|tell me|give me|state) the size of {the} {here}",
        "size of {the} {here}",
        "{the} {here}: (big or small|large or small|small or large)",
        "{here}(,|) (how big|how large|what size) is {the}",
        f"{_TELL} (how big|how large|what size) {{the}} {{here}} is",
        f"{_TELL} (if|whether) {{the}} {{here}} is (large or small|big or small|small or large)",
        f"{_TELL} the size of {{the}} {{here}}",
    ],
)
WHERE_IS: Final = Intent(
    "ask.where",
    [
        "where is {the} {here}",
        "where's {the} {here}",
        "where (do you see|can i find|can you see|would i find|do i find) {the} {here}",
        "where {here} is {the}",
        "(what is|what's|tell me|give me|state) the (position|location|place) of {the} {here}",
        "(position|location) of {the} {here}",
        "(in what|in which|at what|at which) (place|position|part|spot) is {the} {here}",
        "(locate|find|please locate|can you locate|point to) {the} {here}",
        "where is {the} (located|placed|positioned|drawn|sitting) {here}",
        "{here}(,|) where is {the}",
        f"{_TELL} where {{the}} {{here}} is",
        "in which (corner|part) of {picture} is {the}",
    ],
)
_LEFT: Final = "(left of|to the left of|on the left of|on the left side of)"
_RIGHT: Final = "(right of|to the right of|on the right of|on the right side of)"
_ABOVE: Final = "(above|higher than|over|higher up than)"
_BELOW: Final = "(below|lower than|under|beneath|lower down than)"
_WORDS: Final = {"left": _LEFT, "right": _RIGHT, "above": _ABOVE, "below": _BELOW}
RELATION: Final[dict[str, Intent]] = {
    relation: Intent(
        f"ask.relation.{relation}",
        [
            f"is {{one}} {words} {{other}} {{here}}",
            f"is {{one}} (located|placed|positioned) {words} {{other}} {{here}}",
            f"{_TELL} (if|whether) {{one}} is {words} {{other}} {{here}}",
            f"{{one}} is {words} {{other}} {{here}}, (right|isn't it|correct|true or false)",
            f"(is it true|is it right|would you say) that {{one}} is {words} {{other}} {{here}}",
            f"{{here}}(,|) is {{one}} {words} {{other}}",
        ],
    )
    for relation, words in _WORDS.items()
}
RELATION_WHAT: Final[dict[str, Intent]] = {
    relation: Intent(
        f"ask.relation_what.{relation}",
        [
            f"what is {words} {{the}} {{here}}",
            f"what's {words} {{the}} {{here}}",
            f"what (do you see|can you see|lies|can be seen|is there) {words} {{the}} {{here}}",
            f"(which|what) {{thing}} is {words} {{the}} {{here}}",
            f"(tell me|can you tell me|name) what is {words} {{the}} {{here}}",
            f"{{here}}(,|) what is {words} {{the}}",
            f"is there anything {words} {{the}} {{here}}, and what is it",
        ],
    )
    for relation, words in _WORDS.items()
}
MORE: Final = Intent(
    "ask.more",
    [
        "are there more {nps} than {others} {here}",
        "(do you see|can you see|does {picture} have|does {picture} show) more {nps} than {others} {here}",
        f"{_TELL} (if|whether) there are more {{nps}} than {{others}} {{here}}",
        "more {nps} than {others} {here}",
        "(is it true that|is it right that) there are more {nps} than {others} {here}",
        "(is the number of|are) {nps} {here} (greater|more|higher) than (the number of|) {others}",
        "do {nps} outnumber {others} {here}",
        "{here}(,|) are there more {nps} than {others}",
    ],
)
FEWER: Final = Intent(
    "ask.fewer",
    [
        "are there (fewer|less) {nps} than {others} {here}",
        "(do you see|can you see|does {picture} have|does {picture} show) fewer {nps} than {others} {here}",
        f"{_TELL} (if|whether) there are fewer {{nps}} than {{others}} {{here}}",
        "fewer {nps} than {others} {here}",
        "(is it true that|is it right that) there are fewer {nps} than {others} {here}",
        "{here}(,|) are there fewer {nps} than {others}",
    ],
)
EQUALLY_MANY: Final = Intent(
    "ask.equally_many",
    [
        "are there as many {nps} as {others} {here}",
        "are there (equally many|the same number of) {nps} and {others} {here}",
        "is the number of {nps} {here} (equal to|the same as) the number of {others}",
        f"{_TELL} (if|whether) there are as many {{nps}} as {{others}} {{here}}",
        "{here}(,|) are there as many {nps} as {others}",
        "as many {nps} as {others} {here}",
    ],
)
SAME: Final = Intent(
    "ask.same",
    [
        "(are|is) {one} and {other} {here} the same {quality}",
        "(do|does) {one} and {other} {here} have the same {quality}",
        "(do|does) {one} and {other} share (a|the|their) {quality} {here}",
        "is the {quality} of {one} the same as (that of|the {quality} of) {other} {here}",
        "does {one} have the same {quality} as {other} {here}",
        "is {one} the same {quality} as {other} {here}",
        "{one} and {other} {here}: same {quality}",
        f"{_TELL} (if|whether) {{one}} and {{other}} {{here}} have the same {{quality}}",
        "{here}(,|) are {one} and {other} (of|) the same {quality}",
    ],
)
LARGER: Final = Intent(
    "ask.larger",
    [
        "is {one} {larger} than {other} {here}",
        "(is it true|would you say|is it right) that {one} is {larger} than {other} {here}",
        f"{_TELL} (if|whether) {{one}} is {{larger}} than {{other}} {{here}}",
        "{one} is {larger} than {other} {here}, (right|isn't it|true or false)",
        "{here}(,|) is {one} {larger} than {other}",
        "{one} {larger} than {other} {here}",
    ],
)
BOTH: Final = Intent(
    "ask.both",
    [
        f"{_SEE} (both|) a {{np}} and a {{other}} {{here}}",
        f"{_TELL} (if|whether) there is a {{np}} and a {{other}} {{here}}",
        "{here}(,|) is there a {np} and also a {other}",
        "are a {np} and a {other} both (there|present|visible|shown) {here}",
        "is there a {np} as well as a {other} {here}",
    ],
)
EITHER: Final = Intent(
    "ask.either",
    [
        f"{_SEE} (either|) a {{np}} or a {{other}} {{here}}",
        f"{_TELL} (if|whether) there is a {{np}} or a {{other}} {{here}}",
        "{here}(,|) is there a {np} or a {other}",
        "is a {np} or a {other} (there|present|visible|shown) {here}",
        "is there at least one of these {here}: a {np}, a {other}",
    ],
)
OTHER_THAN: Final = Intent(
    "ask.other_than",
    [
        f"{_SEE} a {{np}} (that is not|that isn't|which is not|which isn't) {{color}} {{here}}",
        f"{_TELL} (if|whether) there is a {{np}} that is not {{color}} {{here}}",
        "is there (any|at least one) {np} {here} that is not {color}",
        "are there any {nps} {here} that are not {color}",
        "{here}(,|) is there a {np} that is not {color}",
        "do any {nps} {here} have another color than {color}",
    ],
)
ALL_ARE: Final = Intent(
    "ask.all_are",
    [
        "are all (the|) {nps} {here} {predicate}",
        "is (every|each) {np} {here} {predicate}",
        "(is it true|is it right|would you say) that all {nps} {here} are {predicate}",
        f"{_TELL} (if|whether) all {{nps}} {{here}} are {{predicate}}",
        "{here}(,|) are all {nps} {predicate}",
        "are the {nps} {here} all {predicate}",
    ],
)
BACKGROUND: Final = Intent(
    "ask.background",
    [
        "(what|which) {color} is the {ground} {here}",
        "what {color} does the {ground} {here} have",
        "what {color} {ground} does {picture} have",
        "what is the {ground} {color} {here}",
        "(what is|what's|tell me|name|give me|state) the {color} of the {ground} {here}",
        "(what is|what's|tell me|name) the {ground} {color} {here}",
        "{ground} {color} {here}",
        "{color} of the {ground} {here}",
        "{here}(,|) (what|which) {color} is the {ground}",
        "how is the {ground} {here} colored",
        f"{_TELL} (what|which) {{color}} the {{ground}} {{here}} is",
        "on what {color} {ground} (are|is) (the things|everything|it all) (drawn|painted) {here}",
        "what is behind the {things} {here}",
        "(and|so|please,) what {color} is the {ground} {here}",
        "(could you|can you|please) (name|tell me|give me) the {color} of the {ground} {here}",
        "the {ground} {here}: (what|which) {color}",
    ],
)
CAPTION_SHORT: Final = Intent(
    "ask.caption_short",
    [
        "(briefly describe|describe briefly|shortly describe|sum up) {picture}",
        "describe {picture} (briefly|in short|in a few words|in brief|shortly|in one short sentence)",
        "(can|could) you (please|) describe {picture} (briefly|in a few words|in short)",
        "(give|write|make) (me|) (a|one) (short|brief) (caption|description|summary) (for|of) {picture}",
        "(short|brief) (caption|description|summary) (of|for) {picture}",
        "what is {here} in (short|a few words|brief)",
        "in (short|brief|a few words), what (does {picture} show|do you see {here}|is {here})",
        "(summarize|caption) {picture} (briefly|in a few words)",
        "a (short|brief) (caption|description) of {picture}, please",
        "what {things} are {here}, (briefly|in short)",
    ],
)
CAPTION_FULL: Final = Intent(
    "ask.caption_full",
    [
        "(describe|please describe|caption|explain) {picture}",
        "(describe|please describe) {picture} (in detail|fully|completely|in full)",
        "(can|could|would) you describe (everything {here}|{picture}|{picture} in detail)",
        "(what do you see|what can you see|what is shown|what is there to see) {here}",
        "what does {picture} (show|contain|depict|look like)",
        "what's {here}",
        "what is {here}",
        "(tell me|say) (what you see|everything you see|all you see|what there is) {here}",
        "(give|write) (me|) a (full|detailed|complete) (caption|description) (of|for) {picture}",
        "(full|detailed|complete) (caption|description) of {picture}",
        "(list|name) (everything|all the {things}|all {things}) {here}",
        "what {things} are {here} and where",
        "{here}(,|) what do you see",
        "(tell me about|look at) {picture}",
    ],
)
