"""Rows of a world: valid, the same for the same seed and number, and of the shares that were asked for."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from genllava.errors import InvalidRequest
from genllava_finetune.data.rows import Draw, Edit, Row, Text, read_row, row_dict
from genllava_finetune.worlds.base import known_worlds, load_world
from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes.dialogue import EditCheck
from genllava_finetune.worlds.shapes.editing import is_held_out_edit
from genllava_finetune.worlds.shapes.edits import Changed
from genllava_finetune.worlds.shapes.mixture import sample_training_dialogue
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.plan import read_plan
from genllava_finetune.worlds.shapes.splits import SETTINGS, has_held_out_count, has_held_out_pair, split_of

SHARES = ("understanding", "generation", "editing", "conversations", "outside", "tools")
NONE = dict.fromkeys(SHARES, 0.0)


def made(row: Row) -> list[Draw | Edit]:
    blocks = itertools.chain.from_iterable(message.content for message in row.messages)
    return [block for block in blocks if isinstance(block, Draw | Edit)]


def test_a_row_depends_on_seed_and_number_alone() -> None:
    world = load_world("shapes")
    first = list(world.rows(3, count=12))
    for number, row in enumerate(world.rows(3, start=7, count=5), 7):
        assert row_dict(row)["messages"] == row_dict(first[number])["messages"]
        assert [each.tobytes() for each in row.images] == [each.tobytes() for each in first[number].images]
    assert len({row.id for row in first}) == 12
    other = [row.messages for row in world.rows(4, count=12)]
    assert other != [row.messages for row in first]
    assert [row.id for row in itertools.islice(world.rows(3), 3)] == [row.id for row in first[:3]]


def test_rows_are_valid_and_every_plan_says_what_its_picture_shows() -> None:
    kinds = Counter[str]()
    for row in load_world("shapes").rows(5, count=150):
        assert read_row(row_dict(row)) == row
        assert {image.size for image in row.images} <= {(128, 128)}
        for block in made(row):
            kinds[block.type] += 1
            plan = block.prompt if isinstance(block, Draw) else block.instruction
            assert block.image is not None
            assert parse(row.images[block.image]).scene == read_plan(plan) is not None, plan
    assert min(kinds["draw"], kinds["edit"]) > 20


def test_an_edit_keeps_the_pixels_that_it_does_not_change() -> None:
    options = {**NONE, "editing": 1, "varied": 1.0, "edit_text": "instruction"}
    changed = 0
    for row in load_world("shapes").rows(6, count=40, options=options):
        asked = [each.content for each in row.messages if each.role == "user"]
        users = [block.text for content in asked for block in content if isinstance(block, Text)]
        for block in made(row):
            assert isinstance(block, Edit)
            assert block.instruction in users
            assert block.image is not None
            source, target = row.images[block.source], row.images[block.image]
            corners = [(0, 0), (127, 0), (0, 127), (127, 127)]
            same = [source.getpixel(xy) == target.getpixel(xy) for xy in corners]
            assert all(same) or not any(same), "the background changes everywhere or nowhere"
            changed += 1
    assert changed > 25


@pytest.mark.parametrize("kind", SHARES)
def test_shares_choose_what_is_learnt(kind: str) -> None:
    rows = list(load_world("shapes").rows(8, count=16, options={**NONE, kind: 1, "size": 48}))
    tasks = Counter(block.type for row in rows for block in made(row))
    said = [block for row in rows for each in row.messages if each.role == "assistant" for block in each.content]
    if kind in ("understanding", "outside", "tools"):
        assert not tasks
    if kind == "generation":
        assert tasks == {"draw": 16}
    if kind == "editing":
        assert set(tasks) == {"edit"}
        assert sum(isinstance(block, Text) for block in said) < len(said) / 2
    if kind == "tools":
        assert any(row.tools for row in rows)
        assert any(block.type == "tool_call" for block in said)
    else:
        assert {image.size for row in rows for image in row.images} == {(48, 48)}


@pytest.mark.parametrize("setting", ["nothing", "research"])
def test_what_is_withheld_is_a_setting(setting: str) -> None:
    """By default everything is shown that the frozen suites of the research setting withhold."""
    pairs, counts = Counter[bool](), Counter[bool]()
    options = {**NONE, "generation": 1, "conversations": 1, "withhold": setting}
    for row in load_world("shapes").rows(2, count=250, options=options):
        for block in made(row):
            scene = read_plan(block.prompt if isinstance(block, Draw) else block.instruction)
            assert scene is not None
            assert split_of(scene) == "train", "test scenes are withheld in any setting"
            pairs[has_held_out_pair(scene)] += 1
            counts[has_held_out_count(scene)] += 1
    assert (pairs[True] > 20, counts[True] > 1) == (setting == "nothing",) * 2
    assert pairs[False] > 100


def test_research_draws_no_withheld_form_and_the_default_does() -> None:
    for setting, some in SETTINGS.items():
        rng = random.Random(4)
        drawn = [sample_training_dialogue(rng, "questions", withhold=some) for _ in range(60)]
        forms = [turn.form for dialogue in drawn if dialogue is not None for turn in dialogue.turns]
        assert any(map(is_held_out_form, forms)) == (setting == "nothing")
        edits = [sample_training_dialogue(rng, "edit", withhold=some) for _ in range(300)]
        checks = [turn.check for dialogue in edits if dialogue is not None for turn in dialogue.turns]
        asked = [each.changed for each in checks if isinstance(each, EditCheck) and isinstance(each.changed, Changed)]
        held_out = [is_held_out_edit(each.source, each.operations) for each in asked]
        assert any(held_out) == (setting == "nothing")


def test_what_is_wrong_is_named() -> None:
    assert known_worlds() == ["shapes", "things"]
    with pytest.raises(InvalidRequest, match="there is no world 'shape': shapes"):
        load_world("shape")
    world = load_world("shapes")
    with pytest.raises(InvalidRequest, match=r"world shapes: sizes: .*options: split, withhold, size"):
        world.rows(0, options={"sizes": 64})
    with pytest.raises(InvalidRequest, match="size: Input should be greater than or equal to 32"):
        world.rows(0, options={"size": 16})
    with pytest.raises(InvalidRequest, match="all shares are 0"):
        world.rows(0, options=NONE)
