"""The tools in somebody else's agent: `create_agent(model, middleware=[VisualToolsMiddleware()])`."""

from __future__ import annotations

import asyncio
import base64
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool as langchain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from photos import levels, photo, shapes
from PIL import Image
from script import Follows, calls

from genllava.errors import InvalidRequest
from genllava_tools import ToolNameTaken, ToolUnavailable, VisualTool, VisualToolsMiddleware, visual_tool
from genllava_tools.arguments import Picture
from genllava_tools.middleware import picture
from genllava_tools.offers import usual_first
from genllava_tools.registry import available, find
from genllava_tools.tool import package

BOX = [0.1, 0.3, 0.3, 0.7]


def png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def asks(text: str, *images: Image.Image) -> dict[str, Any]:
    """A message of the user."""
    shown = [{"type": "image", "base64": png(image), "mime_type": "image/png"} for image in images]
    return {"messages": [HumanMessage([*shown, {"type": "text", "text": text}])]}


def agent(*script: Any, tools: Any = (), checkpointer: Any = None, **settings: Any) -> tuple[Any, Follows]:
    model = Follows(script=list(script))
    middleware = [VisualToolsMiddleware(**settings)]
    return create_agent(model, tools=list(tools), middleware=middleware, checkpointer=checkpointer), model


def results(state: dict[str, Any]) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def heard(message: Any) -> list[Any]:
    """What a message says to the model: its words, and "(picture)"."""
    blocks = [message.content] if isinstance(message.content, str) else message.content
    return [block if isinstance(block, str) else block.get("text", "(picture)") for block in blocks]


def test_three_tools_in_one_turn_and_an_earlier_picture_in_the_next() -> None:
    made, model = agent(
        calls(("crop", {"image": "image_1", "box": BOX}), ("flip", {"image": "image_1"})),
        calls(("side_by_side", {"image": "image_2", "other": "image_3", "gap": 0})),
        "Here they are.",
        calls(("grayscale", {"image": "image_3"})),
        "Grey.",
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "a"}}
    state = made.invoke(asks("cut, mirror, and put both side by side", shapes()), config)
    assert [(result.status, result.name) for result in results(state)] == [
        ("success", "crop"), ("success", "flip"), ("success", "side_by_side"),
    ]  # fmt: skip
    assert list(state["images"]) == ["image_1", "image_2", "image_3", "image_4"]
    assert (levels(picture(state, "image_2")) == (255, 0, 0)).all()
    assert (levels(picture(state, "image_3")) == levels(shapes())[:, ::-1]).all()
    assert picture(state, "image_4").size == (100 + 200, 100)
    record = state["images"]["image_4"]
    assert (record["tool"], record["arguments"]["other"]) == ("side_by_side", "image_3")
    assert results(state)[0].content == f"{find('crop')(shapes(), box=BOX).text} image_2 was made."
    assert results(state)[0].artifact["images"] == ["image_2"]

    state = made.invoke(asks("and grey"), config)
    assert picture(state, "image_5").mode == "L" or levels(picture(state, "image_5")).ndim == 3
    assert state["images"]["image_5"]["arguments"] == {"image": "image_3"}
    assert state["messages"][-1].content == "Grey."
    assert not model.script


def test_the_model_is_told_names_and_shown_what_was_made() -> None:
    made, model = agent(calls(("crop", {"image": "image_2", "box": BOX})), "Done.")
    state = made.invoke(asks("crop the second", photo("cat"), shapes()))
    first, second = model.heard
    assert heard(first[0]) == ["image_1:", "(picture)", "image_2:", "(picture)", "crop the second"]
    assert [heard(message) for message in second[2:]] == [
        [results(state)[0].content],
        ["Made by your calls:", "image_3, 40x40 pixels:", "(picture)"],
    ]
    shown = Image.open(io.BytesIO(base64.b64decode(second[-1].content[-1]["base64"])))
    assert (levels(shown) == (255, 0, 0)).all()
    assert heard(state["messages"][0]) == ["(picture)", "(picture)", "crop the second"], "the state stays as it was"
    assert len(state["messages"]) == 4


@pytest.mark.parametrize("show", ["tool", "no"])
def test_where_the_model_sees_what_was_made(show: Any) -> None:
    made, model = agent(
        calls(("flip", {"image": "image_1"}), ("flip", {"image": "image_1"})), "Done.", show=show, most_shown=1
    )
    made.invoke(asks("mirror it twice", shapes()))
    said = [heard(message) for message in model.heard[1][2:]]
    flipped = find("flip")(shapes()).text
    if show == "no":
        assert said == [[f"{flipped} image_2 was made."], [f"{flipped} image_3 was made."]]
    else:
        assert said == [
            [f"{flipped} image_2 was made."],
            [f"{flipped} image_3 was made.", "image_3, 200x100 pixels:", "(picture)"],
        ], "the newest one"


def test_a_thread_goes_on_in_another_process_and_keeps_each_picture_once(tmp_path: Path) -> None:
    config: Any = {"configurable": {"thread_id": "a"}}
    place = str(tmp_path / "threads.sqlite")
    noise = Image.effect_noise((100, 100), 90).convert("RGB")
    message = HumanMessage([{"type": "image_url", "image_url": {"url": address(noise)}}])
    with SqliteSaver.from_conn_string(place) as saver:
        made, _ = agent(*[calls(("flip", {"image": f"image_{at}"})) for at in range(1, 9)], "Done.", checkpointer=saver)
        files = [record["file"] for record in made.invoke({"messages": [message]}, config)["images"].values()]
    with SqliteSaver.from_conn_string(place) as saver:
        made, _ = agent(calls(("crop", {"image": "image_2", "box": [0, 0, 0.5, 1]})), "Done.", checkpointer=saver)
        state = made.invoke(asks("crop what you made first"), config)
        assert (levels(picture(state, "image_10")) == levels(noise)[:, ::-1][:, :50]).all()
        assert [record["file"] for record in state["images"].values()][:9] == files
        assert len(list(made.get_state_history(config))) > 30
    with sqlite3.connect(place) as opened:
        kept = b"".join(row[0] for row in opened.execute("select checkpoint from checkpoints"))
        written = b"".join(row[0] for row in opened.execute("select value from writes where channel = 'images'"))
    distinct = {record["file"] for record in state["images"].values()}
    assert sum(map(written.count, distinct)) == len(state["images"]) == 10, "each once"
    assert sum(map(kept.count, distinct)) <= 9, "what a tool made is in one checkpoint, until it has a name"


def address(image: Image.Image) -> str:
    return f"data:image/png;base64,{png(image)}"


def test_another_threads_pictures_are_refused() -> None:
    made, _ = agent(
        calls(("flip", {"image": "image_1"})), "Done.", calls(("flip", {"image": "image_2"})), "I cannot.",
        checkpointer=InMemorySaver(),
    )  # fmt: skip
    made.invoke(asks("mirror it", shapes()), {"configurable": {"thread_id": "a"}})
    state = made.invoke(asks("mirror it", photo("cat")), {"configurable": {"thread_id": "b"}})
    (result,) = results(state)
    assert result.status == "error"
    assert result.content == "no picture 'image_2': there are image_1"
    assert picture(state, "image_1").size == (451, 300)
    with pytest.raises(InvalidRequest, match="there are image_1"):
        picture(state, "image_2")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": png(shapes()), "mime_type": "image/png"},
        {"type": "image", "url": address(shapes())},
        {"type": "image", "source_type": "base64", "data": png(shapes()), "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": address(shapes())}},
        {"type": "image_url", "image_url": address(shapes())},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png(shapes())}},
    ],
    ids=["standard", "data URL", "version 0", "OpenAI", "OpenAI, text", "Anthropic"],
)
def test_pictures_in_every_form(block: dict[str, Any]) -> None:
    made, model = agent(calls(("crop", {"image": "image_1", "box": BOX})), "Done.")
    state = made.invoke({"messages": [HumanMessage([{"type": "text", "text": "crop it"}, block])]})
    assert (levels(picture(state, "image_2")) == (255, 0, 0)).all()
    assert heard(model.heard[0][0]) == ["crop it", "image_1:", "(picture)"]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"type": "image", "url": "https://example.com/cat.png"}, "not fetched"),
        ({"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/cat.png"}}, "not fetched"),
        ({"type": "image", "file_id": "file-1"}, "file id"),
        ({"type": "image", "base64": "bm8gcGljdHVyZQ==", "mime_type": "image/png"}, "not a PNG"),
        ({"type": "image", "base64": "!!!", "mime_type": "image/png"}, "damaged"),
    ],
)
def test_pictures_that_tools_cannot_take_are_told(block: dict[str, Any], reason: str) -> None:
    made, model = agent("I see it, and cannot crop it.")
    message = HumanMessage([block, {"type": "image", "base64": png(shapes()), "mime_type": "image/png"}])
    state = made.invoke({"messages": [message]})
    said = heard(model.heard[0][0])
    assert said[0].startswith("This picture has no name")
    assert reason in said[0]
    assert said[1:] == ["(picture)", "image_1:", "(picture)"]
    assert list(state["images"]) == ["image_1"]
    assert "refused_images" not in state


def test_what_goes_wrong_is_a_result_with_an_error(own_tools: None) -> None:
    @visual_tool(kind="look")
    def break_down(image: Picture) -> str:
        """Break."""
        raise ZeroDivisionError("zero")

    made, _ = agent(
        calls(
            ("crop", {"image": "image_1", "box": [0.5, 0.9, 0.7, 0.1]}),
            ("crop", {"image": "image_1"}),
            ("crop", {"image": ["image_1"], "box": BOX}),
            ("break_down", {"image": "image_1"}),
            ("grid", {"images": ["image_1", "/etc/passwd"]}),
        ),
        "It did not work.",
    )
    state = made.invoke(asks("crop it", shapes()))
    assert [result.status for result in results(state)] == ["error"] * 5
    said = [result.content for result in results(state)]
    assert "upside down" in said[0]
    assert "`box` is missing" in said[1]
    assert "must be a picture" in said[2]
    assert "no fault of its arguments" in said[3]
    assert "no picture '/etc/passwd'" in said[4]
    assert list(state["images"]) == ["image_1"]


def test_so_many_are_offered_and_others_can_be_asked_for() -> None:
    made, model = agent(
        "Hello.",
        calls(("more_tools", {"names": ["palette", "draw_arrow"]})),
        calls(("palette", {"image": "image_1"})),
        "Red.",
        calls(("more_tools", {"names": ["saw"]})),
        "No.",
        at_most=5,
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "a"}}
    made.invoke(asks("hello"), config)
    needs_none = [tool.name for tool in available() if not {*tool.pictures} & {*tool.schema()["required"]}]
    assert model.offered == [] or offered(model, 0) == needs_none, "without a picture there is nothing to crop"
    model.offered.clear()
    state = made.invoke(asks("which colours?", shapes()), config)
    assert offered(model, 0) == [*list(usual_first({tool.name: "" for tool in available()}))[:4], "more_tools"]
    assert {"palette", "draw_arrow"} <= set(offered(model, 1))
    assert len(offered(model, 1)) == 5
    index = next(tool.description for tool in model.offered[0] if tool.name == "more_tools")
    assert "palette: Find the main colours" in index
    assert "zoom_in" not in index
    assert results(state)[0].content == "You can call these now: palette, draw_arrow."
    assert "#ff0000" in results(state)[1].content
    state = made.invoke(asks("saw it"), config)
    assert {"palette", "draw_arrow"} <= set(offered(model, 3)), "they stay in the thread"
    assert results(state)[-1].status == "error"
    assert "no tool 'saw'" in results(state)[-1].content
    assert "asked_tools" not in state


def offered(model: Follows, at: int) -> list[str]:
    return [tool.name for tool in model.offered[at]]


def test_beside_other_tools() -> None:
    @langchain_tool
    def camera() -> list[dict[str, Any]]:
        """Take a photograph."""
        return [{"type": "image", "base64": png(shapes()), "mime_type": "image/png"}]

    @langchain_tool
    def weather(city: str) -> str:
        """The weather in a city."""
        if city == "nowhere":
            raise LookupError(city)
        return f"Sun in {city}."

    made, model = agent(
        calls(("camera", {}), ("weather", {"city": "Rome"})),
        calls(("crop", {"image": "image_1", "box": BOX})),
        "Done.",
        calls(("weather", {"city": "nowhere"})),
        tools=[camera, weather],
    )
    state = made.invoke(asks("photograph, and crop it"))
    assert offered(model, 0)[:2] == ["camera", "weather"]
    assert [result.content for result in results(state)][1] == "Sun in Rome."
    assert heard(model.heard[1][2]) == ["image_1:", "(picture)"]
    assert (levels(picture(state, "image_2")) == (255, 0, 0)).all()
    with pytest.raises(LookupError):
        made.invoke(asks("and nowhere?"))


def test_two_tools_of_one_name() -> None:
    @langchain_tool
    def crop(text: str) -> str:
        """Shorten a text."""
        return text[:10]

    made, _ = agent("Hello.", tools=[crop])
    with pytest.raises(ToolNameTaken, match=r"VisualToolsMiddleware\(tools=\[...\]\)"):
        made.invoke(asks("hello"))
    model = Follows(script=[calls(("crop", {"text": "a long text of words"})), "Done."])
    made = create_agent(model, tools=[crop], middleware=[VisualToolsMiddleware(["flip", "rotate"])])
    assert results(made.invoke(asks("shorten", shapes())))[0].content == "a long tex"


def test_some_tools_and_ones_own(own_tools: None) -> None:
    @visual_tool(kind="look", needs=[package("nowhere_to_be_found", "pip install nowhere")])
    def guess(image: Picture) -> str:
        """Guess what a picture shows."""
        return "a cat"

    @visual_tool(kind="look")
    def darkest(image: Picture) -> dict[str, int]:
        """Find the darkest level in a picture."""
        return {"darkest": int(levels(image).min())}

    assert isinstance(darkest, VisualTool)
    with pytest.raises(ToolUnavailable, match="pip install nowhere"):
        VisualToolsMiddleware(["guess"])
    with pytest.raises(InvalidRequest, match="no tool 'saw'"):
        VisualToolsMiddleware(["saw"])
    with pytest.raises(InvalidRequest, match="at least two"):
        VisualToolsMiddleware(at_most=1)
    model = Follows(script=[calls(("darkest", {"image": "image_1"})), "0."])
    made = create_agent(model, tools=[], middleware=[VisualToolsMiddleware(["crop", darkest])])
    state = made.invoke(asks("how dark?", shapes()))
    assert sorted(offered(model, 0)) == ["crop", "darkest"]
    assert results(state)[0].content == '{"darkest": 0}'
    assert results(state)[0].artifact["data"] == {"darkest": 0}


def test_boxes_in_the_models_own_way() -> None:
    made, model = agent(calls(("crop", {"image": "image_1", "box": [20, 30, 60, 70]})), "Done.", dialect="pixels")
    state = made.invoke(asks("crop it", shapes()))
    assert picture(state, "image_2").size == (40, 40)
    (crop,) = [tool for tool in model.offered[0] if tool.name == "crop"]
    assert "in pixels" in crop.args_schema["properties"]["box"]["description"]
    assert "image_1" in crop.args_schema["properties"]["image"]["description"]


def test_awaited_it_is_the_same() -> None:
    def script() -> list[Any]:
        return [
            calls(("crop", {"image": "image_1", "box": BOX}), ("flip", {"image": "image_9"})),
            calls(("more_tools", {"names": ["palette"]})),
            "Done.",
        ]

    here, _ = agent(*script())
    there, _ = agent(*script())
    one = here.invoke(asks("crop it", shapes()))
    other = asyncio.run(there.ainvoke(asks("crop it", shapes())))
    said, awaited = ([(each.content, each.status) for each in results(state)] for state in (one, other))
    assert said == awaited
    assert {name: record["file"] for name, record in one["images"].items()} == {
        name: record["file"] for name, record in other["images"].items()
    }


def test_transparent_and_thin_pictures() -> None:
    made, _ = agent(
        calls(("crop", {"image": "image_1", "box": [0, 0, 1, 0.01]})),
        calls(("flip", {"image": "image_2"})),
        calls(("segment", {"image": "image_1", "point": [0.2, 0.5]})),
        calls(("cut_out", {"image": "image_1", "mask": "image_3"})),
        "Done.",
    )
    state = made.invoke(asks("cut", shapes()))
    said = results(state)
    assert picture(state, "image_2").size == (200, 1)
    assert said[1].status == "error"
    assert "long and thin" in said[1].content
    cut = picture(state, "image_4")
    assert cut.mode == "RGBA"
    assert cut.getpixel((cut.width // 2, cut.height // 2)) == (255, 0, 0, 255)


def test_a_call_in_a_history_without_the_middleware_is_left_alone() -> None:
    made, model = agent("Hello.")
    history = [
        HumanMessage("crop it"),
        AIMessage("", tool_calls=[{"name": "crop", "args": {}, "id": "1"}]),
        ToolMessage("Cropped.", tool_call_id="1", name="crop", artifact={"images": "none"}),
        HumanMessage("hello"),
    ]
    state = made.invoke({"messages": history})
    assert [message.content for message in model.heard[0]] == ["crop it", "", "Cropped.", "hello"]
    assert not state.get("images")
