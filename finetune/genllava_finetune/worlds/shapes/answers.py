"""What the assistant says about a scene: short, in one fixed form, so that it can be checked word for word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from genllava_finetune.worlds.grammar import fill
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import AnswerCheck
from genllava_finetune.worlds.shapes.language.words import NUMBER, PLURAL
from genllava_finetune.worlds.shapes.plan import place_last, write_plan
from genllava_finetune.worlds.shapes.scene import Scene, Thing

YES, NO, NOTHING = "Yes.", "No.", "Nothing."
_END: Final = re.compile(r"[\s.!?]+$")


def name_of(what: Description) -> str:
    """`large red star at the top`, without an article; `shape` where none is named."""
    words = [word for word in (what.size, what.color, what.shape or "shape") if word]
    return " ".join(words) + (f" at the {what.position}" if what.position else "")


def names_of(what: Description) -> str:
    """`large red stars at the top`."""
    words = [word for word in (what.size, what.color, PLURAL[what.shape] if what.shape else "shapes") if word]
    return " ".join(words) + (f" at the {what.position}" if what.position else "")


def yes_no(truth: bool) -> str:
    return YES if truth else NO


def count(what: Description, number: int) -> str:
    """`There are two red circles.`"""
    if number == 1:
        return f"There is one {name_of(what)}."
    return f"There are {NUMBER[number]} {names_of(what)}."


def existence(what: Description, there: bool) -> str:
    """`Yes, there is a red star.` or `No, there is no red star.`"""
    if there:
        return fill("Yes, there is a {what}.", {"what": name_of(what)})
    return f"No, there is no {name_of(what)}."


def attribute(what: Description, thing: Thing, name: str) -> str:
    """`The star is red.`, `The star is at the top left.`, `It is a circle.`"""
    if name == "shape":
        return f"It is a {thing.shape}."
    value = f"at the {thing.position}" if name == "cell" else getattr(thing, name)
    return f"The {name_of(what)} is {value}."


def absence(what: Description) -> str:
    """`There is no red star.`"""
    return f"There is no {name_of(what)}."


def several(what: Description, things: Sequence[Thing], name: str) -> str:
    """`There are two stars: one red, one blue.`"""
    values = [f"at the {thing.position}" if name == "cell" else getattr(thing, name) for thing in things]
    listed = ", ".join(f"one {value}" for value in values)
    return f"There are {NUMBER[len(things)]} {names_of(what)}: {listed}."


def appearance(thing: Thing) -> str:
    """`A large red circle.`"""
    return f"A {thing.size} {thing.color} {thing.shape}."


def background(scene: Scene) -> str:
    return f"The background is {scene.background}."


def full_caption(scene: Scene) -> str:
    """`A large green circle at the top left, a small blue star at the bottom, on white.`"""
    plan = write_plan(scene, phrase=place_last)
    return f"{plan[0].upper()}{plan[1:]}."


def short_caption(scene: Scene) -> str:
    """`A circle, a star and a circle on white.`"""
    names = [f"a {thing.shape}" for thing in scene.things] or ["nothing"]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed[0].upper()}{listed[1:]} on {scene.background}."


def normalize_answer(text: str) -> str:
    """Lower case, single spaces, no end mark."""
    return _END.sub("", " ".join(text.lower().split()))


def is_right(check: AnswerCheck, text: str) -> bool:
    """Whether `text` is one of the accepted answers, up to case, spaces and end mark."""
    return normalize_answer(text) in map(normalize_answer, check.accepted)
