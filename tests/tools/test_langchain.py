"""The tools as LangChain tools, called as any LangChain program would."""

from __future__ import annotations

import asyncio
import typing
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from photos import levels, photo, shapes
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_agent.deciders.offers import picture_arguments, tool_spec
from genllava_tools import ToolUnavailable, UnknownTool, as_langchain, find, visual_tool, visual_tools
from genllava_tools.arguments import Picture
from genllava_tools.registry import built_in
from genllava_tools.tool import package, takes_several

BOX = (0.1, 0.3, 0.3, 0.7)


def test_words_are_the_content_and_pictures_the_artifact() -> None:
    tool = as_langchain(find("crop"))
    given = {"image": shapes(), "box": [0.1, 0.3, 0.3, 0.7]}
    assert tool.invoke(given) == find("crop")(**given).text
    call: Any = {"name": "crop", "args": given, "id": "call_1", "type": "tool_call"}
    message = tool.invoke(call)
    assert isinstance(message, ToolMessage)
    assert message.content == find("crop")(**given).text
    (image,) = message.artifact["images"]
    assert (levels(image) == (255, 0, 0)).all()
    assert as_langchain(find("measure")).invoke({**call, "args": {"image": shapes()}}).artifact["data"]["width"] == 200


def test_awaited_it_is_the_same() -> None:
    for name, arguments in (("crop", {"box": BOX}), ("palette", {}), ("rotate", {"angle": 90})):
        tool = as_langchain(find(name))
        call: Any = {"name": name, "args": {"image": shapes(), **arguments}, "id": "1", "type": "tool_call"}
        here, awaited = tool.invoke(call), asyncio.run(tool.ainvoke(call))
        assert here.content == awaited.content
        assert here.artifact["data"] == awaited.artifact["data"]
        assert [image.tobytes() for image in here.artifact["images"]] == [
            image.tobytes() for image in awaited.artifact["images"]
        ]


@pytest.mark.parametrize("tool", built_in(), ids=lambda tool: tool.name)
def test_what_a_chat_model_is_offered(tool: Any) -> None:
    made = as_langchain(tool)
    assert (made.name, made.description) == (tool.name, tool.description)
    offered = convert_to_openai_tool(made)["function"]
    assert offered["name"] == tool.name
    assert offered["description"] == tool.description
    assert offered["parameters"]["properties"] == tool.schema()["properties"]
    assert set(offered["parameters"]["required"]) == set(tool.schema()["required"])
    hints = typing.get_type_hints(made.func)
    for name in tool.pictures:
        kind: Any = list[Image.Image] if takes_several(tool, name) else Image.Image
        assert hints[name] == (kind if name in tool.schema()["required"] else kind | None)


@pytest.mark.parametrize("tool", built_in(), ids=lambda tool: tool.name)
def test_what_our_agent_offers(tool: Any) -> None:
    made = as_langchain(tool)
    single = [n for n in tool.pictures if n in tool.schema()["required"] and not takes_several(tool, n)]
    assert set(single) <= set(picture_arguments(made))
    spec = tool_spec(made, ["image_1", "image_2"])["function"]
    for name in single:
        assert spec["parameters"]["properties"][name]["enum"] == ["image_1", "image_2"]
    assert set(spec["parameters"]["required"]) == set(tool.schema()["required"])


def test_errors_are_raised_with_what_to_give() -> None:
    with pytest.raises(InvalidRequest, match="no argument `bbox`: it takes image, box"):
        as_langchain(find("crop")).invoke({"image": shapes(), "bbox": [0, 0, 1, 1]})
    with pytest.raises(InvalidRequest, match=r"`image` must be a picture.*'image_1'"):
        as_langchain(find("crop")).invoke({"image": "image_1", "box": BOX})


def test_models_that_write_thousandths_or_pixels() -> None:
    for dialect, box in (("0-1000", [100, 300, 300, 700]), ("pixels", [20, 30, 60, 70])):
        (tool,) = visual_tools(["crop"], dialect=dialect)  # type: ignore[arg-type]
        call: Any = {"name": "crop", "args": {"image": shapes(), "box": box}, "id": "1", "type": "tool_call"}
        assert (levels(tool.invoke(call).artifact["images"][0]) == (255, 0, 0)).all()


def test_choosing_tools(own_tools: None) -> None:
    assert [tool.name for tool in visual_tools(["rotate", "crop"])] == ["rotate", "crop"]
    assert {tool.name for tool in visual_tools()} >= {tool.name for tool in built_in() if not tool.missing}
    marks = {tool.name for tool in visual_tools(kinds=["mark"])}
    assert "draw_boxes" in marks
    assert "crop" not in marks
    with pytest.raises(UnknownTool):
        visual_tools(["no_such_tool"])
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"names": "crop"}, "names='crop' is one name: give a list"),
        ({"kinds": ["marks"]}, "are none: give a list of look, change, mark, control, draw"),
        ({"kinds": "mark"}, "are none: give a list of"),
        ({"dialect": "0-100"}, "is none: give one of 0-1, 0-1000, pixels"),
    ]
    for arguments, said in wrong:
        with pytest.raises(InvalidRequest, match=said):
            visual_tools(**arguments)

    @visual_tool(kind="look", needs=[package("no_such_package", "pip install it")])
    def read_signs(image: Picture) -> str:
        """Read."""
        return ""

    assert "read_signs" not in {tool.name for tool in visual_tools()}
    with pytest.raises(ToolUnavailable, match="pip install it"):
        visual_tools(["read_signs"])


def test_a_photograph_through_a_chain_of_tools() -> None:
    tools, image = {tool.name: tool for tool in visual_tools()}, photo("coffee")
    for name, arguments in (("crop", {"box": (0.2, 0, 0.8, 1)}), ("grayscale", {}), ("rotate", {"angle": 90})):
        call: Any = {"name": name, "args": {"image": image, **arguments}, "id": "1", "type": "tool_call"}
        image = tools[name].invoke(call).artifact["images"][0]
    expected = photo("coffee").crop((120, 0, 480, 400)).convert("L").transpose(Image.Transpose.ROTATE_270)
    assert abs(levels(image.convert("L")) - levels(expected)).max() <= 1
