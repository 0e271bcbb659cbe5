"""What tools answer in conversations of the things world."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.requests.tool_results import tool_result
from genllava_finetune.worlds.things.requests.tools import Call
from genllava_tools.registry import find


def test_what_a_tool_cannot_do_is_said_in_its_own_words() -> None:
    images = [Image.new("RGB", (512, 256), "red"), Image.new("RGB", (240, 240), "blue")]
    with pytest.raises(InvalidRequest) as caught:
        find("compare")(images[0], other=images[1])
    text, made = tool_result(random.Random(0), Call("compare", {"image": "image_1", "other": "image_2"}), images)
    assert (text, made) == (str(caught.value), None)


def test_pictures_of_tools_are_theirs() -> None:
    image = Image.effect_noise((240, 240), 60).convert("RGB")
    text, made = tool_result(random.Random(0), Call("flip", {"image": "image_1"}), [image])
    assert made is not None
    assert made.tobytes() == find("flip")(image).image.tobytes()
    assert text
