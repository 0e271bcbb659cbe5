"""Stock models that call tools: a real one, made to write what a test wants, decides on whole turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.layouts.tool_templates import TEMPLATES, speaker
from genllava import Drawing, GenLlavaPipeline, Understanding
from genllava.errors import Cancelled, CheckpointError, InvalidRequest, ModelReplyError
from genllava.image_decoder import ImageDecoder, load_diffusion
from genllava.protocols.verbs import verb_tools
from tests.genllava.forced import SMALL, Forced, Layouts, force, picture, same, some

GENERATE, EDIT = "generate_image", "edit_image"
WORDS = [
    "a sign 'NO PARKING' with \"x**2\" and {braces}",
    "two lines:\n  one\n\n  and the other\t!",
    "the second picture on the wall",
    "東京 — café, \\frac{a}{b}",
]
Assembled = Callable[..., tuple[GenLlavaPipeline, Forced]]


@pytest.fixture
def assembled(layouts: Layouts) -> Assembled:
    """A pipeline with a forced model."""

    def make(vlm: str = "qwen3_vl", decoder: str | None = "sd15", editor: str | None = None, **options: Any) -> Any:
        pipe = layouts.shared(vlm, decoder, editor, **options)
        return pipe, force(pipe)

    return make


def draw(prompt: str) -> tuple[str, dict[str, Any]]:
    return GENERATE, {"prompt": prompt}


def edit(image: str, instruction: str) -> tuple[str, dict[str, Any]]:
    return EDIT, {"image": image, "instruction": instruction}


def offered(prompt: str) -> list[str]:
    """The names of the tools in a prompt of Qwen's."""
    lines = prompt.split("<tools>\n")[-1].split("\n</tools>")[0].splitlines() if "<tools>" in prompt else []
    return [json.loads(line)["function"]["name"] for line in lines]


@pytest.mark.parametrize("vlm", ["qwen3_vl", "mistral3", "pixtral"])
def test_it_answers_and_draws_in_one_reply(assembled: Assembled, vlm: str) -> None:
    pipe, model = assembled(vlm)
    model.script = [model.says("A harbour with boats.", draw(WORDS[0])), "Here it is."]
    conversation = pipe.conversation()
    photo = picture(160, 90)
    answer, drawing, last = conversation.ask("what is on this photo? then draw it as a woodcut", photo, seed=3, **SMALL)
    model.done()
    assert (answer.text, last.text) == ("A harbour with boats.", "Here it is.")
    assert isinstance(drawing, Drawing)
    assert drawing.plan == WORDS[0]
    assert drawing.source is None
    assert same(drawing, pipe.generate(WORDS[0], seed=3, **SMALL))
    assert same(model.shown[0][0], photo), "it sees the photograph at its own size"
    assert "image_1" in model.read[0]
    assert [image.size for image in conversation.images] == [(160, 90), (64, 64)]


@pytest.mark.parametrize("name", some(TEMPLATES, ("qwen3_coder", "llama3", "gemma3_python")))
def test_every_format_of_calls(layouts: Layouts, name: str) -> None:
    model = speaker(name)
    pipe = GenLlavaPipeline(model.model, model.processor, load_diffusion(layouts("sd15")))
    assert pipe.protocol.name == "tool_calls"
    forced = force(pipe)
    forced.script = [forced.says("", draw(WORDS[0])), forced.says("", edit("image_1", WORDS[1])), "Done so."]
    results = pipe("draw, and change it", seed=1, num_inference_steps=2, height=64, width=64).results
    forced.done()
    assert [getattr(result, "plan", result.text) for result in results] == [WORDS[0], WORDS[1], "Done so."]
    assert results[1].source == 1


def test_several_calls_in_one_message(assembled: Assembled) -> None:
    pipe, model = assembled()
    calls = draw("a cat"), draw("a dog"), edit("image_2", "make it blue")
    model.script = [model.says("Three.", *calls), "All done."]
    conversation = pipe.conversation()
    answer, cat, dog, blue, last = conversation.ask("a cat and a dog, and the dog in blue", seed=1, **SMALL)
    assert [answer.text, last.text] == ["Three.", "All done."]
    assert [cat.plan, dog.plan, blue.plan] == ["a cat", "a dog", "make it blue"]
    assert blue.source == 2, "what an earlier call of the same message made can be named"
    assert same(blue, pipe.edit(dog.image, "make it blue", seed=1))
    results = model.read[1].split("Three.")[1]
    assert [f"Done: image_{n} was made." in results for n in (1, 2, 3)] == [True] * 3
    assert [same(*pair) for pair in zip(model.shown[1], (cat, dog, blue), strict=True)] == [True] * 3


def test_pictures_of_earlier_turns_by_name(assembled: Assembled) -> None:
    pipe, model = assembled(editor="instruct_pix2pix")
    one, two = picture(97, 61, 1), picture(61, 97, 2)
    model.script = [
        "I see.",
        "And this.",
        model.says("", edit("image_1", "at night")),
        "So.",
        model.says("", edit("image_3", "by day")),
        "There.",
    ]
    conversation = pipe.conversation()
    conversation.ask("look", one)
    conversation.ask("and look", two)
    night, _ = conversation.ask("the first one at night", seed=5)
    day, _ = conversation.ask("back again", seed=6)
    model.done()
    assert (night.source, day.source) == (1, 3)
    assert night.decoder == "StableDiffusionInstructPix2PixPipeline"
    assert night.image.size == day.image.size == one.size
    assert same(night, pipe.edit(one, "at night", seed=5))
    assert same(day, pipe.edit(night.image, "by day", seed=6))
    assert len(conversation.images) == 4


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("vlm", ["qwen3_vl", "mistral3"])
def test_the_prompt_is_the_models_own_words(
    assembled: Assembled, monkeypatch: pytest.MonkeyPatch, vlm: str, words: str
) -> None:
    pipe, model = assembled(vlm)
    heard: list[Any] = []
    generate = ImageDecoder.generate

    def listen(self: Any, prompts: Any, **options: Any) -> Any:
        heard.extend(prompts)
        return generate(self, prompts, **options)

    monkeypatch.setattr(ImageDecoder, "generate", listen)
    model.script = [model.says("", draw(words)), "Done."]
    pipe(words, seed=1, **SMALL)
    assert heard == [words]
    if vlm == "qwen3_vl":
        assert words in model.read[0], "and the user's words reach the model as they are"


WRONG = [
    (("fly", {}), "There is no tool 'fly'. Those that can be called now: generate_image, edit_image."),
    ((GENERATE, {}), "generate_image needs the argument 'prompt'."),
    ((GENERATE, {"prompt": " "}), "prompt of generate_image must not be empty."),
    ((GENERATE, {"prompt": 7}), "prompt of generate_image must be of type string, not 7."),
    ((GENERATE, {"prompt": "a", "size": 4}), "generate_image has no argument 'size': it takes prompt."),
    (edit("image_9", "blue"), "image of edit_image must be one of image_1, not 'image_9'."),
    (edit("photo.jpg", "blue"), "image of edit_image must be one of image_1, not 'photo.jpg'."),
]


@pytest.mark.parametrize(("wrong", "why"), WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_a_call_that_does_not_fit_goes_back_once(assembled: Assembled, wrong: Any, why: str) -> None:
    pipe, model = assembled()
    model.script = [model.says("", wrong), model.says("", draw("a cat")), "Done."]
    conversation = pipe.conversation()
    drawing, last = conversation.ask("a cat", picture(64, 48), seed=1, **SMALL)
    model.done()
    assert f"<tool_response>\nNot done: {why}\n</tool_response>" in model.read[1]
    assert (drawing.plan, last.text) == ("a cat", "Done.")


def test_what_is_no_call_goes_back_once(assembled: Assembled) -> None:
    pipe, model = assembled()
    broken = '<tool_call>\n{"name": "generate_image", "arguments": {"prompt": \n</tool_call>'
    model.script = [f"Sure. {broken}", model.says("", draw("a cat")), "Done."]
    words, drawing, last = pipe("a cat", seed=1, **SMALL).results
    assert (words.text, drawing.plan, last.text) == ("Sure.", "a cat", "Done.")
    told = model.read[1].split("<|im_start|>user")[-1]
    assert "could not be read" in told
    assert '{"name": "generate_image", "arguments": {"prompt":' in told, "it is shown what it wrote"


def test_wrong_twice_is_an_error_and_nothing_is_changed(assembled: Assembled) -> None:
    pipe, model = assembled()
    conversation = pipe.conversation()
    model.script = ["Hello."]
    conversation.ask("hi", picture(64, 48))
    before = [*conversation.messages], [*conversation.images]
    model.script = [model.says("", draw("a cat"), ("fly", {})), model.says("Oh.", ("fly", {}))]
    with pytest.raises(ModelReplyError, match="no tool 'fly'"):
        conversation.ask("fly", picture(32, 32), seed=1, **SMALL)
    model.done()
    assert (conversation.messages, conversation.images) == before
    model.script = ["Fine."]
    assert [result.text for result in conversation.ask("go on")] == ["Fine."]
    assert "fly" not in model.read[-1].split("</tools>")[1]


def test_nothing_of_a_message_is_done_where_a_call_does_not_fit(assembled: Assembled) -> None:
    pipe, model = assembled()
    model.script = [model.says("", draw("a cat"), ("fly", {})), "Then not."]
    (last,) = pipe("go", seed=1, **SMALL).results
    assert last.text == "Then not."
    assert model.read[1].count("Not done: There is no tool 'fly'") == 2


def test_no_more_calls_than_max_steps(assembled: Assembled) -> None:
    pipe, model = assembled()
    conversation = pipe.conversation()
    again = model.says("More.", draw("a dog"))
    model.script = [model.says("", draw("one"), draw("two"), draw("three")), again, again]
    results = conversation.ask("draw for ever", seed=1, max_steps=2, **SMALL)
    model.done()
    assert [getattr(result, "plan", result.text) for result in results] == ["one", "two", "More.", "More."]
    assert "Not done: at most 2 calls of a turn are carried out." in model.read[1]
    model.script = ["Hello."]
    conversation.ask("hi")
    calls = [call for message in conversation.messages for call in message.get("tool_calls", [])]
    assert len(calls) == 4, "the last one, which nobody answered, is no part of the conversation"


def test_pictures_are_shown_where_the_template_shows_them(assembled: Assembled) -> None:
    pipe, model = assembled("qwen3_vl")
    model.script = [model.says("", draw("a cat")), "Done."]
    pipe("a cat", seed=1, **SMALL)
    result = model.read[1].split("<tool_response>")[1].split("</tool_response>")[0]
    assert "<|image_pad|>" in result

    pipe, model = assembled("mistral3")
    model.script = [model.says("", draw("a cat")), "Done."]
    drawing = pipe("a cat", seed=1, **SMALL).results[0]
    after = model.read[1].split("[TOOL_RESULTS]")[1]
    assert after == "Done: image_1 was made.[/TOOL_RESULTS][INST]image_1:[IMG][/INST]"
    assert same(model.shown[1][0], drawing)


def test_a_template_with_strict_turns_shows_pictures_with_the_next_request(layouts: Layouts) -> None:
    from benchmarks.layouts.templates import MISTRAL

    strict = (
        "{% set ns = namespace(index=0) %}{% for message in messages if message.role == 'user' or (message.role == "
        "'assistant' and not message.tool_calls) %}{% if (message.role == 'user') != (ns.index % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{% set ns.index = ns.index + 1 %}{% endfor %}"
    )
    pipe = layouts.assemble("mistral3", "sd15", chat_template=strict + MISTRAL)
    model = force(pipe)
    wrong = model.says("", ("fly", {}))
    model.script = [wrong, model.says("", draw("a cat")), "Done.", "A cat."]
    conversation = pipe.conversation()
    drawing, _ = conversation.ask("a cat", seed=1, **SMALL)
    assert model.shown[2] == []
    conversation.ask("what is it?")
    assert model.read[3].endswith("Done.</s>[INST]image_1:[IMG]what is it?[/INST]")
    assert same(model.shown[3][0], drawing)


def test_nothing_is_read_twice(assembled: Assembled) -> None:
    pipe, model = assembled(editor="instruct_pix2pix")
    conversation = pipe.conversation()
    model.script = ["A boat.", model.says("", edit("image_1", "at night")), "Done.", "Night."]
    pipe.counters.reset()
    conversation.ask("what is it?", picture(64, 64))
    for text in ("at night, please", "and now?"):
        conversation.ask(text, seed=1)
    model.done()
    assert pipe.counters.image_encodes == 2
    read, written = pipe.counters.prefilled_tokens, pipe.counters.decoded_tokens
    model.script = ["Night."]
    pipe.counters.reset()
    pipe.protocol.reply(conversation.messages[:-1], verb_tools(2))
    assert read <= pipe.counters.prefilled_tokens <= read + written, "all four calls read what one reads"


def test_branch_and_rollback(assembled: Assembled) -> None:
    pipe, model = assembled()
    conversation = pipe.conversation()
    model.script = ["Hello.", model.says("", draw("a cat")), "One.", model.says("", draw("a dog")), "Two."]
    conversation.ask("hi")
    other, mark = conversation.branch(), conversation.mark()
    conversation.ask("a cat", seed=1, **SMALL)
    other.ask("a dog", seed=1, **SMALL)
    assert len(conversation.images) == len(other.images) == 1
    assert not same(conversation.images[0], other.images[0])
    assert "a cat" not in model.read[-1]
    conversation.rollback(mark)
    assert (len(conversation.images), len(conversation.messages)) == (0, 3)
    model.script = ["Nothing."]
    conversation.ask("what did we draw?")
    assert "a cat" not in model.read[-1]


def test_several_pictures_of_one_call(assembled: Assembled) -> None:
    pipe, model = assembled()
    calls = draw("a cat"), edit("image_2", "make it blue")
    model.script = [model.says("", *calls), "Done."]
    results = pipe("two cats", seed=1, num_images_per_prompt=2, **SMALL).results
    assert [getattr(result, "plan", None) for result in results] == ["a cat"] * 2 + ["make it blue"] * 2 + [None]
    assert "Done: image_1, image_2 were made." in model.read[1]
    assert len(model.shown[1]) == 4


def test_options_of_a_turn_go_to_the_verbs_that_take_them(assembled: Assembled) -> None:
    pipe, model = assembled(editor="instruct_pix2pix", image_guidance_scale=1.2)
    assert pipe.generate("a cat", seed=1, **SMALL).image is not None, "what only the editor takes is left out"
    calls = draw("a cat"), edit("image_1", "make it blue")
    model.script = [model.says("", *calls), "Done."]
    conversation = pipe.conversation()
    drawing, edited, _ = conversation.ask(
        "a cat, then blue", picture(97, 61), seed=1, image_guidance_scale=1.9, guidance_scale=3.0, **SMALL
    )
    assert (drawing.image.size, edited.image.size) == ((64, 64), (97, 61)), "a size is that of new pictures"
    want = pipe.edit(picture(97, 61), "make it blue", seed=1, image_guidance_scale=1.9, guidance_scale=3.0)
    assert same(edited, want)
    for wrong in ({"strenth": 1}, {"control_image": picture(8, 8)}):
        with pytest.raises(InvalidRequest, match=next(iter(wrong))):
            conversation.ask("hi", **wrong)


def test_what_cannot_be_done_is_not_offered(assembled: Assembled) -> None:
    for parts, tools in (
        (("sd15", None), [GENERATE, EDIT]),
        ((None, "instruct_pix2pix"), [EDIT]),
        (("instruct_pix2pix", None), [EDIT]),
        ((None, None), []),
    ):
        pipe, model = assembled("qwen3_vl", *parts)
        model.script = ["Hello."]
        pipe("hi", picture(32, 32))
        assert offered(model.read[0]) == tools
        assert ("draw and edit" in model.read[0]) == bool(tools)
    assert pipe.understand(None, "hi", max_new_tokens=1) if model.script.append("x") else True
    with pytest.raises(InvalidRequest, match="decoder="):
        pipe.generate("a cat")


def test_it_stops_when_it_is_cancelled(assembled: Assembled) -> None:
    pipe, model = assembled()
    for patience in (0, 3, 14):
        model.script = [model.says("Yes.", draw("a cat")), "Done."]
        conversation, asked = pipe.conversation(), [0]

        def cancel(asked: list[int] = asked, patience: int = patience) -> bool:
            asked[0] += 1
            return asked[0] > patience

        with pytest.raises(Cancelled):
            conversation.ask("a cat", picture(32, 32), cancel=cancel, seed=1, **SMALL)
        assert len(conversation.messages) == 1
        assert conversation.images == []
    model.script = ["Hello."]
    assert [result.text for result in conversation.ask("hi")] == ["Hello."]


def test_words_are_heard_as_they_come(assembled: Assembled) -> None:
    pipe, model = assembled()
    model.script = [model.says("A harbour with boats.", draw("a cat")), "Here it is."]
    heard: list[str] = []
    pipe.conversation().ask("draw", seed=1, on_text=heard.append, **SMALL)
    first, last = heard.index("A harbour with boats."), heard.index("Here it is.")
    assert all("A harbour with boats.".startswith(text) for text in heard[: first + 1])
    assert len(heard) > 5
    assert heard[last:] == ["Here it is."]
    assert not any("tool_call" in text for text in heard)


def test_sampling_reaches_the_model(assembled: Assembled) -> None:
    pipe, model = assembled()
    model.script = ["Hello there, this is long."]
    (answer,) = pipe.conversation().ask("hi", sampling={"max_new_tokens": 3})
    assert isinstance(answer, Understanding)
    assert answer.text in ("Hel", "Hello") or len(answer.text) < 8
    model.script = ["Hello."]
    with pytest.raises(InvalidRequest, match="temprature"):
        pipe.conversation().ask("hi", sampling={"temprature": 1.0})


def test_a_template_without_tools_or_with_unknown_calls_says_so(layouts: Layouts) -> None:
    with pytest.raises(CheckpointError, match=r"renders no tools.*protocol='choices'"):
        layouts.assemble("llava15", "sd15", protocol="tool_calls")
    with pytest.raises(CheckpointError, match="unknown tool_format 'smoke'"):
        layouts.assemble("qwen3_vl", "sd15", tool_format="smoke")
    from benchmarks.layouts.tool_templates import UNREADABLE

    model = speaker("hermes", UNREADABLE)
    with pytest.raises(CheckpointError, match="tool_format="):
        GenLlavaPipeline(model.model, model.processor, load_diffusion(layouts("sd15")))
    assert GenLlavaPipeline(model.model, model.processor, protocol="choices").protocol.name == "choices"
    assert GenLlavaPipeline(model.model, model.processor).protocol.name == "tool_calls", (
        "without a decoder none is called"
    )
