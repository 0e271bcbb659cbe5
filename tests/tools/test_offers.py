"""At most so many tools are offered at once, and the others can be asked for by name."""

from __future__ import annotations

import pytest

from genllava.errors import InvalidRequest
from genllava_tools.offers import USUAL, asked_for, choose, first_sentence, usual_first
from genllava_tools.registry import tools

MANY = {f"tool_{at}": f"Does thing {at}. At length." for at in range(50)}


def test_few_tools_are_all_offered() -> None:
    offer = choose({"crop": "Crop.", "flip": "Flip."})
    assert offer.names == ("crop", "flip")
    assert offer.more_tools is None


def test_of_many_the_first_are_offered_and_the_others_stand_in_an_index_of_a_line_each() -> None:
    offer = choose(MANY, at_most=12)
    assert offer.names == tuple(f"tool_{at}" for at in range(11)), "with more_tools it is 12"
    assert offer.more_tools is not None
    lines = offer.more_tools["description"].splitlines()[1:]
    assert lines == [f"tool_{at}: Does thing {at}." for at in range(11, 50)]
    names = offer.more_tools["parameters"]["properties"]["names"]
    assert names["items"]["enum"] == [f"tool_{at}" for at in range(11, 50)]
    assert names["maxItems"] == 11


def test_what_was_asked_for_is_offered_and_the_newest_stays_longest() -> None:
    offer = choose(MANY, ["tool_40", "tool_30"], at_most=4)
    assert offer.names == ("tool_0", "tool_30", "tool_40")
    later = choose(MANY, ["tool_40", "tool_30", "tool_41", "tool_40", "tool_42"], at_most=4)
    assert later.names == ("tool_40", "tool_41", "tool_42")
    assert "tool_30" in later.others


def test_what_a_model_asks_for_is_checked() -> None:
    assert asked_for({"names": ["tool_3", "tool_4"]}, MANY) == ["tool_3", "tool_4"]
    assert asked_for({"names": "tool_3"}, MANY) == ["tool_3"]
    for wrong in ({}, {"names": []}, {"names": 3}, {"names": ["tool_3", "saw"]}):
        with pytest.raises(InvalidRequest, match="tool_0"):
            asked_for(wrong, MANY)
    with pytest.raises(InvalidRequest, match="at least two"):
        choose(MANY, at_most=1)


def test_the_usual_tools_exist_and_come_first() -> None:
    every = {tool.name: tool.description for tool in tools()}
    ordered = usual_first(every)
    assert ordered == every
    assert list(ordered)[:3] == ["zoom_in", "crop", "measure"]
    assert len(USUAL) == 11


def test_a_line_of_the_index() -> None:
    assert first_sentence("Cut\n a part out. Then more.") == "Cut a part out."
    assert first_sentence("Gives: a, b") == "Gives."
    assert first_sentence("word " * 40, 20) == "word word word word…"
