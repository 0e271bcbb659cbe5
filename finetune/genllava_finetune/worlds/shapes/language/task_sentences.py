"""Sentences of longer tasks: how several requests are strung together, and how one picture is named beside another."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

_SLOTS: Final = ("{a}", "{b}", "{c}", "{d}", "{e}")
MAX_STEPS: Final = len(_SLOTS)
_POLITE: Final = "(please|can you|could you|i want you to|i'd like you to|would you)"
_COUNTED: Final = {2: "two", 3: "three", 4: "four", 5: "five"}


def _strung(count: int, opening: str, between: str, last: str, closing: str = "") -> str:
    """A pattern with `count` slots, the same between all but the last two."""
    *first, end = _SLOTS[:count]
    return f"{opening}{between.join(first)}{last}{end}{closing}"


def _ordered(count: int) -> list[str]:
    """Patterns that leave no doubt that one thing comes after the other."""
    slots = _SLOTS[:count]
    numbered = [f"{number}{{}} {slot}" for number, slot in enumerate(slots, 1)]
    number = _COUNTED[count]
    return [
        _strung(count, "", ", ", ", (then|and then|and finally|finally|and at the end) "),
        _strung(count, "", ", then ", ", (then|and then|and finally|finally|and after that) "),
        _strung(count, "", ". then ", ". (then|finally,|and then|after that,|lastly,) "),
        _strung(count, "", ". ", ". (then|finally,|and then|last,|now) "),
        _strung(count, "", ". ", ". "),
        _strung(count, "", "; ", "; (then|finally|) "),
        _strung(count, "(first|first,|first of all,) ", ", then ", ", (then|and then|and finally|and last) "),
        _strung(count, "(first|first,|to begin,) ", ". (after that|next), ", ". (then|finally,|after that,) "),
        _strung(count, f"{_POLITE} ", ", ", ", (and then|then|and finally|and after that) "),
        _strung(count, f"{_POLITE} ", ", then ", "(,|) (and then|and finally|then) "),
        _strung(count, f"{_POLITE} ", ". then ", ". (then|finally|and then) "),
        _strung(count, "", " and then ", "(,|) (and then|and finally|and after that) "),
        _strung(count, "", ", after that ", ", (and finally|and last|after that|and then) "),
        _strung(count, "", ", then ", ", then ", "(,|) please"),
        _strung(count, "", ". (once that is done|when that is done|next|now)(,|) ", ". (then|finally|at the end)(,|) "),
        _strung(count, f"(do|i want|i need) {number} (things|steps): ", ", ", ", (then|and then|and finally) "),
        _strung(count, "(do this|do the following|in this order|one after the other): ", ", ", ", (then|and then|) "),
        _strung(count, "(start like this:|begin with this:) ", ". then ", ". (then|and then|finally) "),
        " ".join(numbered).replace("{}", "."),
        " ".join(numbered).replace("{}", "."),
        ", ".join(f"step {text}" for text in numbered).replace("{}", ":"),
    ]


def _listed(count: int) -> list[str]:
    """Patterns that end in a mere `and`: of two changes that would ask for a single picture."""
    return [
        _strung(count, "", ", ", "(,|) and "),
        _strung(count, f"{_POLITE} ", ", ", "(,|) and "),
        _strung(count, "", ", then ", "(,|) and "),
        _strung(count, "(first|first,) ", ", then ", " and "),
        _strung(count, "", ". ", " and "),
    ]


IN_ORDER: Final = {count: Intent(f"tasks.order.{count}", _ordered(count)) for count in _COUNTED}
IN_ANY_WAY: Final = {count: Intent(f"tasks.any.{count}", [*_ordered(count), *_listed(count)]) for count in _COUNTED}
"""By number of steps; slots `{a}`, `{b}` and so on."""

ANSWERED: Final = Intent(
    "tasks.answered",
    [
        "tell me {question}",
        "tell me {question}",
        "(tell me|say|answer|answer me): {question}",
        "{question}?",
        "{question}?",
    ],
)
"""A question among other requests."""

WHAT_IS_AT: Final = Intent(
    "tasks.what_is_at",
    [
        "what is {at} the {position} {here}",
        "what's {at} the {position} {here}",
        "what (do you see|can you see|is there|stands|lies) {at} the {position} {here}",
        "(which|what) {thing} is {at} the {position} {here}",
        "what {here} is {at} the {position}",
    ],
)

DRAW_SHORT: Final = Intent(
    "tasks.draw",
    [
        "(draw|make|create|generate|paint|sketch) {things}",
        "draw {things}",
        "(draw|paint|make|create|show) me {things}",
        "(draw|make|create|generate|paint) (a|a new|another) {picture} (of|with|showing) {things}",
        "(start|begin) (a new|another) {picture} with {things}",
        "(put|place|draw) {things} on a (new|fresh|blank|second) (canvas|page)",
    ],
)
"""Bare imperatives for new pictures, which can be strung together."""

BORROW: Final = Intent(
    "tasks.borrow",
    [
        "(put|place|set|use) {source}'s {word_background} (behind|in|for) {target}",
        "(put|place|set|use) the {word_background} of {source} (behind|in|for) {target}",
        "give {target} the (same|) {word_background} (of|from|as) {source}",
        "give {target} {source}'s {word_background}",
        "(take|copy) the {word_background} of {source} (for|to|into) {target}",
        "(change|set|switch) the {word_background} of {target} to (that of|the one of|the {word_background} of) {source}",
        "(change|set|turn) {target}'s {word_background} (to|into) {source}'s",
        "make the {word_background} of {target} (like|the same as|the same as in) {source}",
        "(paint|color|colour) the {word_background} of {target} like (that of|the one of) {source}",
        "(put|show|place) {target} on the {word_background} of {source}",
    ],
)
"""The background of one picture behind what another shows."""
