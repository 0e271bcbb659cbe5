"""A model of the `genllava` protocol in the agent: it reads what it was trained on, calls tools by name, and draws in
the thread. A real small model is made to write what a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from PIL import Image

from genllava import GenLlavaPipeline
from genllava.protocols.task_tokens import I2I, I2T, SOI, T2I, TOOL
from genllava.vision_language.reading import Prompt
from genllava_agent import VisualAgent, create_genllava_agent, events
from genllava_agent.deciders.finetuned import Finetuned
from genllava_finetune.modeling.encoding import RowEncoder
from tests.genllava.forced import Forced, Layouts, force, picture, same
from tests.genllava.protocols.test_genllava import head_for
from tests.genllava.protocols.test_genllava_context import CLOSE, in_training, say, states_of

Made = tuple[VisualAgent, Forced, GenLlavaPipeline]


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    return Layouts(tmp_path_factory.mktemp("layouts"))


@pytest.fixture(scope="module")
def pipes(layouts: Layouts) -> Any:
    made: dict[str, GenLlavaPipeline] = {}

    def make(vlm: str) -> GenLlavaPipeline:
        if vlm not in made:
            options = {"protocol": "genllava", "bridge": "head", "generation_head": head_for("sd15")}
            made[vlm] = layouts.assemble(vlm, "sd15", "sd15", **options)
            made[vlm].vlm.config.get_text_config().max_position_embeddings = 40_000
        return made[vlm]

    return make


@pytest.fixture
def made(pipes: Any) -> Iterator[Callable[..., Made]]:
    opened: list[VisualAgent] = []

    def make(vlm: str = "llava15", **options: Any) -> Made:
        pipe = pipes(vlm)
        model = force(pipe)
        given = {"seed": 1, "height": 64, "width": 64, "verify": 0, **options}
        opened.append(VisualAgent(pipe, store=":memory:", **given))
        return opened[-1], model, pipe

    yield make
    for agent in opened:
        agent.close()


def calls(model: Forced, name: str, **arguments: Any) -> None:
    model.script.append(json.dumps({"name": name, "arguments": arguments}))
    model.prefers.append(TOOL)


def draws(model: Forced, plan: str) -> None:
    model.script.append(f"{plan}{SOI}")
    model.prefers += [T2I, model.end_token]


def edits(model: Forced, plan: str, image: str = "") -> None:
    model.script.append(f"{plan}{SOI}")
    model.prefers += [I2I, *([f" {image}:"] if image else []), model.end_token]


def says(model: Forced, text: str) -> None:
    model.script.append(text)
    model.prefers += [I2T, model.end_token]


def starts(model: Forced) -> list[str]:
    """The prompts from which a message of the model was begun."""
    return [text for text, offered in zip(model.asked, model.choices, strict=True) if offered[0] == I2T and text]


def row(images: list[Any], *messages: dict[str, Any]) -> dict[str, Any]:
    pixels = [image.convert("RGB") for image in images]
    return {"images": pixels, "messages": list(messages), "source": "t", "license": "CC0-1.0", "id": "t:1"}


def called(key: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": key, "name": name, "arguments": arguments}


def result(key: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "id": key, "text": text}


PICTURE = {"type": "image"}
BOX = [0.25, 0, 0.75, 1]


@pytest.mark.parametrize("vlm", ["llava15", "qwen3_vl"])
def test_what_it_reads_is_what_it_was_trained_on(made: Any, vlm: str) -> None:
    """Word for word, for a thread with pictures of both sides, plans, tools of both kinds, and a verb of the thread;
    and the states at the visual queries are those of training."""
    agent, model, pipe = made(vlm)
    decider = agent.parts.decider()
    assert isinstance(decider, Finetuned)
    assert "crop" in decider.tools, "the visual tools are there"
    thread, photo = agent.thread(), picture(96, 64)
    with states_of(model) as read:
        edits(model, "the same in blue")
        blue = thread("in blue", [photo])
        calls(model, "crop", image="image_2", box=BOX)
        says(model, "Here it is.")
        cropped = thread("crop it")
        calls(model, "measure", image="image_3")
        says(model, "It is small.")
        measured = thread("how large is it?")
        calls(model, "show_image", image="image_1")
        shown = thread("show me the first one")
        model.script += [f"Gladly.{T2I}", f"a dog{SOI}"]
        model.prefers += [I2T, T2I, model.end_token]
        dog = thread("and now a dog")
        says(model, "You are welcome.")
        thread("thanks")
    model.done()
    assert [step.outcome for turn in thread.history() for step in turn.steps].count("ok") == 9
    assert [reply.text for reply in (cropped, measured, dog)] == ["Here it is.", "It is small.", "Gladly."]
    assert blue.text == "image_2: the same in blue."
    assert shown.text == "This is image_1."
    images = [thread.images[name].image for name in ("image_1", "image_2", "image_3", "image_4")]
    assert [image.record.parents for image in thread.images.values()] == [(), ("image_1",), ("image_2",), ()]
    told = [turn.steps[0].text for turn in thread.history()]
    session = row(
        images,
        say("user", PICTURE, "in blue"),
        say("assistant", {"type": "edit", "instruction": "the same in blue", "source": 0}),
        say("user", "crop it"),
        say("assistant", called("c1", "crop", image="image_2", box=BOX)),
        say("tool", result("c1", told[1]), PICTURE),
        say("assistant", "Here it is."),
        say("user", "how large is it?"),
        say("assistant", called("c2", "measure", image="image_3")),
        say("tool", result("c2", told[2])),
        say("assistant", "It is small."),
        say("user", "show me the first one"),
        say("assistant", called("c3", "show_image", image="image_1")),
        say("tool", result("c3", "Done.")),
        say("user", "and now a dog"),
        say("assistant", "Gladly.", {"type": "draw", "prompt": "a dog"}),
        say("user", "thanks"),
        say("assistant", "You are welcome."),
    )
    example = RowEncoder(pipe.parts().vision_language, pipe.generation_head).encode(session)
    assert [example.text[: span.start] for span in example.spans] == starts(model)
    torch.testing.assert_close(torch.cat(read), in_training(pipe, session), **CLOSE)
    assert "system" not in model.asked[-1].partition("in blue")[0]
    assert all(word not in model.asked[-1] for word in ("more_tools", "properties", "description", "was made, to"))


def test_a_turn_reads_only_what_is_new(made: Any) -> None:
    agent, model, pipe = made("qwen3_vl")
    thread = agent.thread()
    edits(model, "the same in blue")
    thread("in blue, please, and nothing else, as it was in the middle of the summer", [picture(96, 64)])
    counts = []
    for _ in range(2):
        draws(model, "a dog")
        pipe.counters.reset()
        thread("a dog")
        counts.append((pipe.counters.prefilled_tokens, pipe.counters.image_encodes))
    whole = len(model.reader.encode([Prompt(model.read[-1], model.shown[-1])])["input_ids"][0])
    assert counts[0][0] == counts[1][0] < whole / 2, (counts, whole)
    assert [images for _, images in counts] == [1, 1], "the picture that was made"
    model.done()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ('{"name": "crop", "argum', "I did not write its call as it must be written"),
        ("[" * 100_00, "I did not write its call as it must be written"),
        ('["crop"]', "I did not write its call as it must be written"),
        ('{"name": "sharpen_it", "arguments": {}}', "there is no tool 'sharpen_it'"),
        ('{"name": "more_tools", "arguments": {"names": ["paste"]}}', "there is no tool 'more_tools'"),
        ('{"name": "crop", "arguments": {"image": "image_1"}}', "crop needs the argument 'box'"),
        ('{"name": "crop", "arguments": {"image": "image_7", "box": [0, 0, 1, 1]}}', "not 'image_7'"),
        ('{"name": "crop", "arguments": {"image": "image_1", "box": "left"}}', "must be of type array"),
        ('{"name": "undo", "arguments": {"turns": "two"}}', "must be of type integer"),
    ],
)
def test_a_call_that_cannot_be_is_one_honest_sentence(made: Any, written: str, why: str) -> None:
    agent, model, _ = made()
    thread = agent.thread()
    model.script, model.prefers = [f"One moment.{TOOL}", written], [I2T, TOOL]
    heard = list(thread.stream("crop it", [picture(32, 32)]))
    model.done()
    reply = heard[-1].reply
    first, _, rest = reply.text.partition("\n\n")
    assert first == "One moment."
    assert rest.startswith("I tried to do this with a tool, and could not: ")
    assert why in rest
    assert "Traceback" not in rest
    assert "".join(event.text for event in heard if isinstance(event, events.TextDelta)) == reply.text
    says(model, "A cat.")
    assert thread("what is it?").text == "A cat."
    assert rest in model.asked[-1], "it knows what was said in its place"


def test_what_a_tool_fails_at_is_said(made: Any) -> None:
    @tool
    def broken(word: str) -> str:
        """Break."""
        raise RuntimeError("no such thing")

    agent, model, _ = made(tools=[broken])
    thread = agent.thread()
    calls(model, "broken", word="x")
    reply = thread("break it")
    model.done()
    assert reply.text == "I could not call broken: RuntimeError: no such thing."
    calls(model, "undo", turns=5)
    assert "cannot take back 5 requests" in thread("undo the last five").text
    model.done()


def test_every_tool_can_be_called(made: Any) -> None:
    """Also those that other models find in an index: it knows them by training."""
    agent, model, _ = made(offered=2)
    calls(model, "paste", image="image_1", other="image_2", box=[0.5, 0.5, 1, 1])
    says(model, "Here it is.")
    reply = agent("put the second one onto the first", images=[picture(64, 64), picture(32, 32, 1)])
    model.done()
    assert reply.images[0].record.parents == ("image_1", "image_2")


def test_pictures_have_the_same_names_after_undo_retry_and_branches(made: Any) -> None:
    agent, model, _ = made(seed=None)
    thread = agent.thread()
    draws(model, "a cat")
    cat = thread("a cat")
    edits(model, "a cat, blue")
    thread("in blue")
    edits(model, "a cat, red", "image_2")
    thread("in red")
    calls(model, "undo", turns=2)
    undone = thread("undo the last two")
    assert undone.text == "I took back: 'in blue', 'in red'."
    assert list(thread.images) == ["image_1"]
    edits(model, "a cat, green")
    green = thread("then in green")
    assert (green.images[0].id, green.images[0].record.parents) == ("image_2", ("image_1",))
    read = " ".join(model.asked[-1].split())
    assert "in blue" not in read.partition("undo the last")[0]
    assert "a cat, red" not in read
    assert f'undo the last two ASSISTANT: {TOOL} {{"name": "undo", "arguments": {{"turns": 2}}}}' in read
    assert "I took back" not in read
    assert "USER: Done. then in green ASSISTANT:" in read
    calls(model, "retry")
    edits(model, "a cat, green again")
    again = thread("try again")
    assert (again.images[0].id, again.images[0].record.parents) == ("image_2", ("image_1",))
    assert not same(again.image, green.image)
    assert "try again" not in model.asked[-1], "the request stands in the place of this one"
    assert model.asked[-1].count("then in green") == 1
    other = thread.branch()
    calls(model, "crop", image="image_2", box=BOX)
    says(model, "Here it is.")
    assert other("crop it").images[0].id == "image_3"
    edits(model, "all of it grey", "image_3")
    assert other("in grey").images[0].record.parents == ("image_3",)
    edits(model, "a cat, at night", "image_1")
    night = thread("the first one at night")
    assert (night.images[0].id, night.images[0].record.parents) == ("image_3", ("image_1",))
    model.done()
    assert same(thread.images["image_1"].image, cat.image)


def test_undo_twice_takes_back_two_requests(made: Any) -> None:
    agent, model, _ = made()
    thread = agent.thread()
    for name in ("cat", "dog", "bird"):
        draws(model, f"a {name}")
        thread(f"a {name}")
    for name in ("bird", "dog"):
        calls(model, "undo")
        assert thread("undo that").text == f"I took back: 'a {name}'."
    assert list(thread.images) == ["image_1"]
    for count in (2, 3):
        calls(model, "redo")
        thread("bring it back")
        assert len(thread.images) == count
    assert [image.record.plan for image in thread.images.values()] == ["a cat", "a dog", "a bird"]
    model.done()


def test_words_of_the_agent_are_not_read(made: Any) -> None:
    """That it stopped, that the user said no, what it calls pictures: the model did not say it."""
    agent, model, _ = made(approve="edit", limits={"images": 1})
    thread = agent.thread()
    edits(model, "in blue")
    thread("blue", [picture(32, 32)])
    model.prefers.clear()
    thread.reject("not today")
    draws(model, "a cat")
    model.prefers[1:] = [T2I]
    model.script.append(f"a dog{SOI}")
    stopped = thread("a cat and a dog")
    assert "I stopped early" in stopped.text
    says(model, "Yes.")
    thread("is it a cat?")
    model.done()
    assert "stopped early" not in model.asked[-1]
    assert "I did not edit" not in model.asked[-1]
    assert "from the user" not in model.asked[-1]


def test_tasks_that_are_said(made: Any) -> None:
    agent, model, pipe = made()
    thread, photo = agent.thread(), picture(64, 64)
    model.script = ["A boat."]
    assert thread("what is it?", [photo], task="understand").text == "A boat."
    model.script = [f"a red boat on the sea{SOI}"]
    reply = thread("a boat", task="generate")
    assert reply.images[0].record.plan == "a red boat on the sea"
    assert isinstance(reply.image, Image.Image)
    says(model, "Red.")
    thread("which colour?")
    model.done()
    assert f"{I2T} A boat." in model.asked[-1]
    assert f"{T2I} a red boat on the sea{SOI}" in model.asked[-1], "what it planned"
    assert pipe.config["bridge"] == "head"


def test_a_long_thread_goes_on(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what no longer fits, the first turns are left out, seldom, and pictures keep their names."""
    agent, model, pipe = made()
    monkeypatch.setattr(pipe.vlm.config.get_text_config(), "max_position_embeddings", 900)
    thread, firsts = agent.thread(), list[int]()
    for number in range(1, 13):
        if number == 1:
            draws(model, "a cat")
        else:
            edits(model, f"a cat, number {number}", f"image_{number - 1}" if number > 2 else "")
        reply = thread(f"request {number}, please")
        assert (reply.images[0].id, reply.stopped) == (f"image_{number}", "")
        first = model.asked[-1].partition("request ")[2].partition(",")[0]
        firsts.append(int(first))
    model.done()
    assert firsts[0] == 1 < firsts[-1]
    assert len(set(firsts)) < 7, firsts


def test_other_words_of_the_user_are_what_is_drawn_and_read(made: Any) -> None:
    agent, model, pipe = made(approve="edit")
    photo = picture(32, 32)
    edits(model, "in blue")
    with states_of(model) as read:
        waiting = agent("blue", images=[photo])
        reply = waiting.thread.approve("all of it green")
    model.done()
    session = row(
        [photo, reply.image],
        say("user", PICTURE, "blue"),
        say("assistant", {"type": "edit", "instruction": "all of it green", "source": 0}),
    )
    torch.testing.assert_close(torch.cat(read), in_training(pipe, session), **CLOSE)
    assert f"{I2I} image_1: all of it green{SOI}" in model.asked[-1]


def test_words_are_streamed_as_messages(made: Any) -> None:
    _, model, pipe = made()
    graph = create_genllava_agent(pipe, (), seed=1, height=64, width=64, verify=0, artifacts=":memory:")
    model.script = [" A cat. "]
    model.prefers = [I2T, model.end_token]
    asked: Any = {"messages": [HumanMessage("what is it?")]}
    parts = [part for part, _ in graph.stream(asked, stream_mode="messages") if isinstance(part, AIMessageChunk)]
    assert "".join(part.text for part in parts) == "A cat."
    assert len(parts) > 2, "piece by piece"
    model.done()


def test_where_nothing_is_kept_the_messages_say_it_all(made: Any) -> None:
    """Without a thread a reply has its pictures in it, and the next run reads them where they were made."""
    _, model, pipe = made()
    graph = create_genllava_agent(pipe, (), seed=1, height=64, width=64, verify=0, artifacts=":memory:")
    draws(model, "a cat")
    said = graph.invoke({"messages": [HumanMessage("a cat")]})["messages"]
    edits(model, "a cat, blue")
    graph.invoke({"messages": [*said, HumanMessage("in blue")]})
    model.done()
    drawn = starts(model)[1]
    assert starts(model)[2].startswith(drawn), "the first turn is read as it was said"
    assert "Done: image_1 was made." in drawn
