"""An assembled model in the agent: a real one, made to write what a test wants, decides, answers, draws and edits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from PIL import Image

from genllava import GenLlavaPipeline
from genllava.errors import Cancelled
from genllava.protocols.choices import ANSWER, NOTHING
from genllava.protocols.task_tokens import I2I, I2T, SOI, T2I
from genllava_agent import VisualAgent, create_genllava_agent, events
from genllava_agent.deciders.chat_model import NOTHING_MADE
from tests.genllava.forced import Forced, Layouts, force, picture, same
from tests.genllava.protocols.test_choices import CHANGE, DRAW

Made = tuple[VisualAgent, Forced, GenLlavaPipeline]


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    return Layouts(tmp_path_factory.mktemp("layouts"))


@pytest.fixture
def made(layouts: Layouts) -> Iterator[Callable[..., Made]]:
    """An agent of an assembled pipeline, with its forced model."""
    opened: list[VisualAgent] = []

    def make(vlm: str = "qwen3_vl", script: Any = (), prefers: Any = (), parts: Any = None, **options: Any) -> Made:
        pipe = layouts.shared(vlm, "sd15", "instruct_pix2pix", **(parts or {}))
        model = force(pipe, script, prefers)
        # looking at what was drawn and visual tools have tests of their own
        given = {"seed": 1, "height": 64, "width": 64, "verify": 0, "tools": (), **options}
        opened.append(VisualAgent(pipe, store=":memory:", **given))
        return opened[-1], model, pipe

    yield make
    for agent in opened:
        agent.close()


def draw(prompt: str) -> tuple[str, dict[str, Any]]:
    return "generate_image", {"prompt": prompt}


def edit(image: str, instruction: str) -> tuple[str, dict[str, Any]]:
    return "edit_image", {"image": image, "instruction": instruction}


def kinds(reply: Any) -> list[tuple[str, str]]:
    return [(step.action, step.outcome) for step in reply.steps]


def test_it_answers_and_draws_in_one_message(made: Any) -> None:
    agent, model, pipe = made()
    words = "a woodcut of a sign 'NO PARKING',\nx**2"
    model.script = [model.says("A harbour with boats.", draw(words)), "There is the woodcut."]
    reply = agent("what is on this photo? then draw it as a woodcut", images=[picture(160, 90)])
    model.done()
    assert reply.text == "A harbour with boats.\n\nThere is the woodcut.", "what it answered on the way is not lost"
    assert kinds(reply) == [("generate", "ok"), ("understand", "ok")]
    assert reply.image.size == (64, 64)
    assert same(reply.image, pipe.generate(words, seed=1, height=64, width=64))
    assert (reply.images[0].id, reply.images[0].record.plan) == ("image_2", words)
    assert same(model.shown[0][0], picture(160, 90))
    assert same(model.shown[1][1], reply.image), "it is shown what was made"
    assert "image_1, from the user:" in model.read[0]


def test_several_steps_and_pictures_by_name(made: Any) -> None:
    agent, model, pipe = made()
    calls = draw("a cat"), edit("image_2", "make it blue"), edit("image_1", "at night")
    model.script = [model.says("", *calls), "All three.", model.says("", edit("image_3", "now red")), "Red."]
    thread = agent.thread()
    photo = picture(97, 61)
    reply = thread("a cat, it in blue, and my photo at night", [photo])
    assert [image.id for image in reply.images] == ["image_2", "image_3", "image_4"]
    assert [image.record.parents for image in reply.images] == [(), ("image_2",), ("image_1",)]
    assert reply.images[2].image.size == (97, 61), "an edit has the size of its source, whatever the agent's is"
    seeds = [image.record.seed for image in reply.images]
    assert seeds[0] == 1
    assert len(set(seeds)) == 3
    assert same(reply.images[2].image, pipe.edit(photo, "at night", seed=seeds[2]))
    assert same(reply.images[1].image, pipe.edit(reply.images[0].image, "make it blue", seed=seeds[1]))
    later = thread("the blue one in red")
    model.done()
    assert later.images[0].record.parents == ("image_3",)
    assert later.text == "Red."
    assert "All three." in model.read[-1]


def test_it_ends_without_a_word(made: Any) -> None:
    agent, model, _ = made()
    model.script = [model.says("", draw("a cat")), "", model.says("Here.", draw("a cat")), ""]
    thread = agent.thread()
    for text in ("Done.", "Here."):
        heard = list(thread.stream("a cat"))
        assert heard[-1].reply.text == text
        assert "".join(event.text for event in heard if isinstance(event, events.TextDelta)) == text
    model.done()


def test_what_does_not_fit_goes_back_once(made: Any) -> None:
    agent, model, _ = made()
    broken = '<tool_call>\n{"name": "generate_image", "arguments": \n</tool_call>'
    model.script = [model.says("", edit("image_9", "blue")), broken, "Sorry."]
    model.prefers = ["no"]  # it has not said that it made a picture
    reply = agent("make it blue", images=[picture(32, 32)])
    assert "image of edit must be one of image_1, not 'image_9'" in model.read[1]
    assert kinds(reply) == [("understand", "error"), ("understand", "ok")]
    model.script = [broken, model.says("", draw("a cat")), "Done so."]
    reply = agent("a cat")
    assert kinds(reply) == [("generate", "ok"), ("understand", "ok")]
    assert "<|im_start|>user\nthe arguments are not valid JSON" in model.read[-2]
    model.done()


@pytest.mark.parametrize("task", ["understand", "generate", "edit"])
def test_a_task_that_is_said_is_done(made: Any, task: str) -> None:
    agent, model, pipe = made(script=["A boat."] if task == "understand" else [])
    reply = agent("a red boat", images=[picture(97, 61)], task=task)
    model.done()
    assert kinds(reply) == [(task, "ok")]
    if task == "understand":
        assert reply.text == "A boat."
    elif task == "generate":
        assert same(reply.image, pipe.generate("a red boat", seed=1, height=64, width=64))
    else:
        assert same(reply.image, pipe.edit(picture(97, 61), "a red boat", seed=1))


def test_a_part_of_a_picture(made: Any) -> None:
    agent, model, _ = made()
    model.script = [model.says("", edit("image_2", "make it blue")), "Blue."]
    photo = picture(96, 64)
    reply = agent("make this blue", images=[photo], region=(0, 0, 40, 32))
    model.done()
    assert reply.image.size == (96, 64)
    changed, before = reply.image, photo
    assert same(changed.crop((48, 40, 96, 64)), before.crop((48, 40, 96, 64))), "the rest of the picture stays"
    assert not same(changed.crop((0, 0, 40, 32)), before.crop((0, 0, 40, 32)))
    assert len(model.shown[0]) == 2, "it sees the whole and the part"
    assert "the part of image_1 that the user means" in model.read[0]


def test_what_is_heard_while_it_works(made: Any) -> None:
    agent, model, _ = made(previews=2)
    model.script = [model.says("A harbour.", draw("a cat"), edit("image_1", "blue")), "Done so."]
    heard = list(agent.stream("what? a cat, in blue", images=[picture(97, 61)]))
    names = [type(event).__name__ for event in heard]
    assert names.count("ImageReady") == names.count("PlanWritten") == 2
    shown = [event.image for event in heard if isinstance(event, events.Preview) and event.image is not None]
    assert len(shown) == 4
    assert all(isinstance(image, Image.Image) for image in shown)
    assert abs(shown[-1].width / shown[-1].height - 97 / 61) < 0.3
    text = "".join(event.text for event in heard if isinstance(event, events.TextDelta))
    assert text == heard[-1].reply.text == "A harbour.\n\nDone so."


def test_it_stops_when_it_is_cancelled(made: Any) -> None:
    for patience in (2, 20, 45):
        agent, model, _ = made()
        model.script = [model.says("A harbour.", draw("a cat")), "Done so."]
        asked = [0]

        def cancel(asked: list[int] = asked, patience: int = patience) -> bool:
            asked[0] += 1
            return asked[0] > patience

        thread = agent.thread()
        with pytest.raises(Cancelled):
            thread("a cat", [picture(32, 32)], cancel=cancel)
        assert thread.history() == []
    model.script, model.prefers = ["Hello."], ["no"]
    assert thread("hi").text == "Hello."


@pytest.mark.parametrize("decision", ["approve", "reject", "other words"])
def test_edits_wait_for_the_users_word(made: Any, decision: str) -> None:
    agent, model, pipe = made(approve="edit")
    photo = picture(64, 64)
    model.script = [model.says("", edit("image_1", "make it blue")), "Done so."]
    waiting = agent("blue", images=[photo])
    assert (waiting.pending.action, waiting.pending.image) == ("edit", "image_1")
    assert waiting.pending.instruction == "make it blue"
    if decision == "reject":
        model.script = []
        reply = waiting.thread.reject("not today")
        assert kinds(reply) == [("edit", "rejected")]
        assert reply.images == ()
        return
    words = "make it blue" if decision == "approve" else "make it green"
    reply = waiting.thread.approve() if decision == "approve" else waiting.thread.approve(words)
    model.done()
    assert reply.text == "Done so."
    assert same(reply.image, pipe.edit(photo, words, seed=1))
    assert ("The user changed the instruction to 'make it green'" in model.read[1]) == (decision != "approve")


def test_it_calls_tools_of_the_users(made: Any) -> None:
    called: list[Any] = []

    @tool
    def weather(city: str, days: int = 1) -> str:
        """Tell the weather of a city."""
        called.append((city, days))
        return "Rain."

    agent, model, _ = made(tools=[weather])
    calls = ("weather", {"city": "Łódź", "days": 2}), draw("a rainy street")
    model.script = [model.says("", *calls), "It rains."]
    reply = agent("the weather in Łódź as a picture")
    model.done()
    assert called == [("Łódź", 2)]
    assert kinds(reply) == [("tool", "ok"), ("generate", "ok"), ("understand", "ok")]
    assert "Rain." in model.read[1]
    assert '"name": "weather"' in model.read[0]
    assert reply.text == "It rains."
    agent, model, _ = made("llava15", tools=[weather])
    model.script, model.prefers = ["Paris", "It rains."], ["tell the weather of a city", ANSWER, NOTHING]
    assert agent("the weather in Paris").text == "It rains."
    assert called[-1] == ("Paris", 1)


def test_visual_tools_are_there_for_a_model_that_calls_tools(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them in one turn, through its own chat template; what is offered at once is few, the rest an index."""
    agent, model, pipe = made(tools=None)
    monkeypatch.setattr(pipe.vlm.config.text_config, "max_position_embeddings", 40_000)  # its tokens are letters
    photo, beach = picture(160, 120), picture(200, 100)
    calls = (
        ("crop", {"image": "image_1", "box": [0.25, 0, 0.75, 1]}),
        ("remove_background", {"image": "image_3", "box": [0.1, 0.1, 0.9, 0.9]}),
        ("paste", {"image": "image_2", "other": "image_4", "box": [0.5, 0.2, 1, 1]}),
    )
    model.script = [model.says("", *calls), "There it is."]
    reply = agent("crop the photo to the dog, remove its background, and put it on the beach", images=[photo, beach])
    model.done()
    assert kinds(reply) == [("tool", "ok"), ("tool", "ok"), ("tool", "ok"), ("understand", "ok")], reply.text
    assert [image.record.parents for image in reply.images] == [("image_1",), ("image_3",), ("image_2", "image_4")]
    assert reply.images[0].image.size == (80, 120)
    assert reply.images[1].image.mode == "RGBA"
    assert same(reply.image.crop((0, 0, 100, 100)), beach.crop((0, 0, 100, 100)))
    assert not same(reply.image, beach)
    assert reply.text == "There it is."
    assert '"name": "crop"' in model.read[0]
    assert '"name": "paste"' not in model.read[0], "it stands in the index, and can be called from there"
    assert "paste: Put one picture onto another" in model.read[0]
    assert [model.read[0].count(f'"name": "{name}_image"') for name in ("generate", "edit")] == [1, 1]
    unasked, _, _ = made("llava15", tools=None)
    assert not unasked.parts.decider().tools, "a model that calls no tools is not asked about them"


def test_a_model_without_tools_chooses(made: Any) -> None:
    agent, model, pipe = made("llava15")
    model.script = ["A harbour.", "a woodcut of a harbour", "make it blue"]
    model.prefers = [ANSWER, DRAW, CHANGE, "image_2", NOTHING]
    photo = picture(160, 90)
    reply = agent("what is it? draw it as a woodcut, in blue", images=[photo])
    model.done()
    assert reply.text == "A harbour."
    assert kinds(reply) == [("generate", "ok"), ("edit", "ok"), ("understand", "ok")]
    assert reply.images[0].record.plan == "a woodcut of a harbour"
    seed = reply.images[1].record.seed
    assert same(reply.images[1].image, pipe.edit(reply.images[0].image, "make it blue", seed=seed))
    assert same(model.shown[0][0], photo)


def test_task_tokens_of_a_finetuned_model(made: Any) -> None:
    agent, model, pipe = made("qwen3_vl", parts={"protocol": "genllava"})
    model.script = [f"A cat.{T2I}", f"a woodcut of 'X'{SOI}", f"make it blue{SOI}", "Blue now."]
    model.prefers = [I2T, T2I, I2I, " image_2:", I2T, model.end_token]
    reply = agent("what? a woodcut, in blue", images=[picture(64, 64)])
    model.done()
    assert reply.text == "A cat.\n\nBlue now."
    assert [image.record.plan for image in reply.images] == ["a woodcut of 'X'", "make it blue"]
    seed = reply.images[1].record.seed
    assert same(reply.image, pipe.edit(reply.images[0].image, "x", plan="make it blue", seed=seed))
    model.script = [f"a dog, planned{SOI}"]
    reply = agent("a dog", task="generate")
    assert reply.images[0].record.plan == "a dog, planned", "what the user wants drawn, the model plans"


def test_limits_hold(made: Any) -> None:
    agent, model, _ = made(limits={"images": 1})
    model.script = [model.says("", draw("a cat"), draw("a dog")), "One."]
    reply = agent("two")
    assert len(reply.images) == 1
    assert "1 picture" in reply.stopped
    agent, model, _ = made(limits={"tokens": 30})
    model.script = [model.says("", draw("a cat"))]
    assert "30 tokens" in agent("a cat").stopped


def test_as_a_chat_model(made: Any) -> None:
    agent, model, _ = made()
    model.script = [model.says("A harbour.", draw("a cat")), "Done so."]
    chat = agent.chat_model()
    pictures = [{"type": "text", "text": "what? then a cat"}]
    message = chat.invoke([SystemMessage("Be brief."), HumanMessage(content=pictures)])
    model.done()
    assert message.text == "A harbour.\n\nDone so."
    assert [block["type"] for block in message.content_blocks] == ["text", "image"]
    assert "Be brief." in model.read[0], "its system message is read"
    assert "ignored" not in message.response_metadata
    usage = message.usage_metadata
    written = len(model.tokenizer("A harbour. Done so. a cat")["input_ids"])
    assert usage["output_tokens"] >= written
    assert usage["input_tokens"] > 50
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    model.script = [model.says("A boat.", draw("a dog")), "Done."]
    chunks = list(chat.stream("a dog"))
    assert "".join(chunk.text for chunk in chunks) == "A boat.\n\nDone."


def test_nothing_is_read_twice(made: Any) -> None:
    agent, model, pipe = made()
    model.script = [model.says("", draw("a cat")), "One.", "Two.", "Three."]
    model.prefers = ["no", "no"]
    thread = agent.thread()
    pipe.counters.reset()
    photo = picture(64, 64)
    thread("a cat", [photo])
    thread("and?")
    before = pipe.counters.prefilled_tokens
    thread("so?")
    aside = len(model.tokenizer(model.asked[-1])["input_ids"])  # whether it said that it made a picture
    assert pipe.counters.prefilled_tokens - before - aside < 60
    assert pipe.counters.image_encodes == 2, "each picture once"


CLAIMED = "I have drawn a cat and saved it as image/cat.png."


def test_what_it_claims_to_have_made(made: Any) -> None:
    """It is asked about its own words where nothing was made, and only then."""
    agent, model, _ = made()
    model.script, model.prefers = [CLAIMED, "Hello!"], ["yes", "no"]
    heard = list(agent.stream("draw a cat"))
    assert heard[-1].reply.text == f"{CLAIMED}\n\n{NOTHING_MADE}"
    assert "".join(event.text for event in heard if isinstance(event, events.TextDelta)) == heard[-1].reply.text
    assert CLAIMED in model.asked[0]
    assert agent("hello").text == "Hello!"
    model.done()
    model.script = [model.says("", draw("a cat")), CLAIMED]
    assert agent("draw a cat").text == CLAIMED, "it was made, and nobody asks"
    agent, model, _ = made(check_claims=False)
    model.script = [CLAIMED]
    assert agent("draw a cat").text == CLAIMED
    model.done()


def test_words_on_the_way(made: Any) -> None:
    """All that is said in a turn is told as it is written, and is the reply; the model reads each piece once."""
    agent, model, _ = made()
    broken = '<tool_call>\n{"name": "generate_image", "arguments": \n</tool_call>'
    model.script = [
        model.says("First a cat.", draw("a cat")),
        f"Now a dog.\n{broken}",
        model.says("A dog, then.", draw("a dog")),
        "There they are.",
    ]
    thread = agent.thread()
    heard = list(thread.stream("a cat and a dog"))
    model.done()
    reply = heard[-1].reply
    assert reply.text == "First a cat.\n\nNow a dog.\n\nA dog, then.\n\nThere they are."
    assert "".join(event.text for event in heard if isinstance(event, events.TextDelta)) == reply.text
    assert len(reply.images) == 2
    model.script, model.prefers = ["Thanks."], ["no"]
    thread("well done")
    assert [model.read[-1].count(piece) for piece in ("First a cat.", "A dog, then.", "There they are.")] == [1, 1, 1]


def test_words_before_a_limit_are_not_lost(made: Any) -> None:
    agent, model, _ = made(limits={"images": 1})
    model.script = [model.says("A harbour.", draw("a cat"), draw("a dog"))]
    heard = list(agent.stream("what is it? a cat, a dog"))
    text = "".join(event.text for event in heard if isinstance(event, events.TextDelta))
    assert heard[-1].reply.text.startswith(f"{text}\n\nI stopped early (the limit of 1 picture)")
    assert text == "A harbour."


def test_words_are_streamed_as_messages(made: Any, layouts: Layouts) -> None:
    _, model, pipe = made()
    graph = create_genllava_agent(pipe, (), seed=1, height=64, width=64, verify=0, artifacts=":memory:")
    model.script = [model.says("A harbour.", draw("a cat")), "Done so."]
    said: dict[str, str] = {}
    chunks = 0
    for chunk, _ in graph.stream({"messages": [HumanMessage("what? a cat")]}, stream_mode="messages"):
        if isinstance(chunk, AIMessageChunk):
            chunks += 1
            said[str(chunk.id)] = said.get(str(chunk.id), "") + chunk.text
    assert list(said.values()) == ["A harbour.", "Done so."]
    assert chunks > 2, "piece by piece"
    model.script, model.prefers = ["Hello!"], ["no"]
    parts = list(graph.stream({"messages": [HumanMessage("hello")]}, stream_mode="messages"))
    assert "".join(part.text for part, _ in parts if isinstance(part, AIMessageChunk)) == "Hello!"


def test_the_same_plan_twice(made: Any) -> None:
    agent, model, pipe = made()
    model.script = [model.says("", draw("a cat"), draw("a cat")), model.says("", draw("a cat")), "Three cats."]
    reply = agent("three cats")
    model.done()
    assert [image.record.plan for image in reply.images] == ["a cat"] * 3
    assert len({image.record.key for image in reply.images}) == 3, "another picture each time"
    for image in reply.images:
        assert same(image.image, pipe.generate("a cat", seed=image.record.seed, height=64, width=64))


@pytest.mark.parametrize("right", [True, False])
def test_it_looks_at_what_it_drew(made: Any, right: bool) -> None:
    agent, model, _ = made(verify=1)
    model.script = [model.says("", draw("a cat")), "There is a cat.", "Here it is."]
    model.prefers = ["yes" if right else "no"]
    reply = agent("a cat")
    model.done()
    assert "There is a cat." in model.asked[0]
    assert ("There is a cat." in reply.steps[0].unsure) == (not right)
    assert reply.steps[0].verified
    assert ("It may not be right" in model.read[-1]) == (not right)


@pytest.mark.parametrize("name", ["qwen3_vl", "llava15"])
def test_what_templates_are_given(made: Any, name: str) -> None:
    """Pictures in messages of the user alone, and each result right behind its call, in the order of the calls."""
    agent, model, _ = made(name, approve="generate")
    if name == "llava15":
        model.script, model.prefers = ["a cat", "Done."], [DRAW, ANSWER, NOTHING]
    else:
        model.script = [model.says("", draw("a cat"), draw("a dog")), "Done."]
    thread = agent.thread()
    thread("two", [picture(64, 64)])
    reply = thread.approve("a blue cat")
    model.done()
    assert reply.text == "Done."
    if name == "qwen3_vl":
        first, second = model.read[-1].index("'a blue cat'"), model.read[-1].index("This was not done")
        assert first < second
