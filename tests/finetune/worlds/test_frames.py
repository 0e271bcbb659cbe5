"""Sentence frames: any world fills them, and what they lack is found out when they are read."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from genllava_finetune.worlds.frames import instruction, load_frames
from genllava_finetune.worlds.grammar import fill
from genllava_finetune.worlds.shapes.language.words import PARTS

FILES = sorted(
    file.name.removesuffix(".yaml") for file in (resources.files("genllava_finetune.worlds") / "frames").iterdir()
)
ANIMALS = {"kind": "animal", "exact_kind": "species", "kinds": "a cat or a dog", "noun": "animal", "nouns": "animals"}


@pytest.mark.parametrize("name", FILES)
def test_every_pattern_of_a_file_expands_to_forms(name: str) -> None:
    frames = load_frames(name, PARTS)
    assert frames
    for intent in frames.values():
        forms = intent.forms()
        assert forms
        for form in forms:
            assert re.search(r"[<>\[\]#|()]", form) is None, f"{intent.name}: {form}"
            assert form


def test_another_world_says_it_in_its_own_words() -> None:
    asked = load_frames("questions", ANIMALS)["ask.kind"].forms()
    assert "what animal is {the} {here}" in asked
    assert "is {the} {here} a cat or a dog" in asked
    assert not any("shape" in form for form in asked)
    change = instruction(load_frames("instructions", ANIMALS), "edit.add")
    assert "add another animal: {new}" in change.short.forms()
    assert fill("please add {new}", {"new": "a owl"}) == "please add an owl"
    assert "please add {new}" in change.all.forms()
    assert "please add {new}" not in change.short.forms()


def test_requests_of_one_message_are_counted() -> None:
    frames = load_frames("tasks")
    assert "1. {a} 2. {b} 3. {c} 4. {d}" in frames["tasks.order.4"].forms()
    assert "do three things: {a}, {b}, then {c}" in frames["tasks.order.3"].forms()
    assert "first {a}, then {b}" in frames["tasks.order.2"].forms()
    assert set(frames["tasks.order.3"].forms()) < set(frames["tasks.any.3"].forms())
    assert "{a} and {b}" in frames["tasks.any.2"].forms()
    assert "{a} and {b}" not in frames["tasks.order.2"].forms()


def test_words_that_a_world_lacks_are_named() -> None:
    with pytest.raises(KeyError, match="kind"):
        load_frames("questions", {"noun": "animal"})
