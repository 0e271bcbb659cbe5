"""Tool calls in every format: found out from a template, written by a model, read, streamed, broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.layouts import tool_templates
from genllava.errors import CheckpointError, InvalidRequest
from genllava.vision_language import FORMATS, VisionLanguage

from .forcing import writes

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "draw",
            "description": "Draws a picture.",
            "parameters": {
                "type": "object",
                "properties": {
                    "prompt": {"type": "string"},
                    "count": {"type": "integer"},
                    "options": {"type": "object"},
                    "loud": {"type": "boolean"},
                },
            },
        },
    },
    {"type": "function", "function": {"name": "stop", "description": "", "parameters": {"type": "object"}}},
]
NESTED = {"prompt": 'a "red" sign,\n{NO PARKING}: ü', "count": 2, "options": {"sizes": [1, 2.5, {"deep": None}]}}
REPLIES = {
    "hermes": (
        'Sure.\n<tool_call>\n{"name": "draw", "arguments": {"prompt": "a \\"red\\" sign,\\n{NO PARKING}: ü", '
        '"count": 2, "options": {"sizes": [1, 2.5, {"deep": null}]}}}\n</tool_call>\n'
        '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'
    ),
    "qwen_xml": (
        'Sure.\n<tool_call>\n<function=draw>\n<parameter=prompt>\na "red" sign,\n{NO PARKING}: ü\n</parameter>\n'
        '<parameter=count>\n2\n</parameter>\n<parameter=options>\n{"sizes": [1, 2.5, {"deep": null}]}\n</parameter>\n'
        "</function>\n</tool_call>\n<tool_call>\n<function=stop>\n</function>\n</tool_call>"
    ),
    "mistral": (
        'Sure.[TOOL_CALLS]draw[ARGS]{"prompt": "a \\"red\\" sign,\\n{NO PARKING}: ü", '
        '"count": 2, "options": {"sizes": [1, 2.5, {"deep": null}]}}[TOOL_CALLS]stop[ARGS]{}'
    ),
    "mistral_list": (
        'Sure.[TOOL_CALLS] [{"name": "draw", "arguments": {"prompt": "a \\"red\\" sign,\\n{NO PARKING}: ü", '
        '"count": 2, "options": {"sizes": [1, 2.5, {"deep": null}]}}, "id": "abcdefghi"}, {"name": "stop", '
        '"arguments": {}}]'
    ),
    "llama": (
        'Sure.<|python_tag|>{"name": "draw", "parameters": {"prompt": "a \\"red\\" sign,\\n{NO PARKING}: ü", '
        '"count": 2, "options": {"sizes": [1, 2.5, {"deep": null}]}}}; {"name": "stop", "parameters": {}}'
    ),
    "pythonic": (
        "Sure.\n```tool_code\n[draw(prompt='a \"red\" sign,\\n{NO PARKING}: ü', count=2, "
        "options={'sizes': [1, 2.5, {'deep': None}]}), stop()]\n```"
    ),
    "gemma4": (
        'Sure.<|tool_call>call:draw{prompt:<|"|>a "red" sign,\n{NO PARKING}: ü<|"|>,count:2,'
        "options:{sizes:[1,2.5,{deep:null}]}}<tool_call|><|tool_call>call:stop{}<tool_call|>"
    ),
    "function_gemma": (
        'Sure.<start_function_call>call:draw{prompt:<escape>a "red" sign,\n{NO PARKING}: ü<escape>,count:2,'
        "options:{sizes:[1,2.5,{deep:null}]}}<end_function_call><start_function_call>call:stop{}<end_function_call>"
    ),
}
BROKEN = {
    "hermes": ['<tool_call>\n{"name": "draw", "arguments": {"prompt": "a}\n</tool_call>', '<tool_call>{"name": "dr'],
    "qwen_xml": ["<tool_call>\ndraw a cat\n</tool_call>"],
    "mistral": ['[TOOL_CALLS]draw[ARGS]{"prompt": ', "[TOOL_CALLS]", '[TOOL_CALLS][{"name": "draw"'],
    "llama": ['{"name": "draw", "parameters": {"prompt": ', '<|python_tag|>{"nam'],
    "pythonic": ["```tool_code\ndraw(prompt=\n```", "```tool_code\ndraw(prompt=open('x'))\n```", "[draw(1, "],
    "gemma4": ["<|tool_call>call:draw{prompt:<tool_call|>", "<|tool_call>call:draw<tool_call|>", "<|tool_call>"],
    "function_gemma": ["<start_function_call>call:draw{prompt:<escape>a"],
}


@pytest.mark.parametrize("case", REPLIES)
def test_two_calls_after_words(case: str) -> None:
    parsed = FORMATS[case.removesuffix("_list")].parse(REPLIES[case], TOOLS)
    assert [(call.name, call.arguments) for call in parsed.calls] == [("draw", NESTED), ("stop", {})]
    assert not parsed.invalid
    assert REPLIES[case][: parsed.start].strip() == "Sure."
    assert len({call.id for call in parsed.calls}) == 2
    assert all(len(call.id) == 9 and call.id.isalnum() for call in parsed.calls)


@pytest.mark.parametrize("form", FORMATS)
def test_words_are_words(form: str) -> None:
    for text in ("A plain answer.", '{"a": 1}', "[1, 2]", "{broken", "x < y and call:me {maybe}", "", "`draw(a)`"):
        parsed = FORMATS[form].parse(text, TOOLS)
        assert (parsed.start, parsed.calls, parsed.invalid) == (None, [], [])
        assert FORMATS[form].shown(text + " so") in (0, len(text) + 3)


@pytest.mark.parametrize("form", BROKEN)
def test_broken_calls_say_why(form: str) -> None:
    for text in BROKEN[form]:
        parsed = FORMATS[form].parse(text, TOOLS)
        assert not parsed.calls
        assert [call.reason.startswith("This tool call could not be read: ") for call in parsed.invalid] == [True]
        assert parsed.start == 0


def test_a_broken_call_beside_a_sound_one() -> None:
    text = '<tool_call>{"name": 3}</tool_call><tool_call>{"name": "stop", "arguments": "{}"}</tool_call>'
    text += '<tool_call>{"name": "stop", "arguments": [1]}</tool_call>'
    parsed = FORMATS["hermes"].parse(text, TOOLS)
    assert [call.name for call in parsed.calls] == ["stop"]
    assert ["no tool name" in parsed.invalid[0].reason, "not an object" in parsed.invalid[1].reason] == [True, True]
    assert parsed.invalid[0].text == '{"name": 3}'


def test_marks_within_strings_end_nothing() -> None:
    text = '<tool_call>{"name": "draw", "arguments": {"prompt": "</tool_call><tool_call>"}}</tool_call>'
    assert [call.arguments for call in FORMATS["hermes"].parse(text, TOOLS).calls] == [
        {"prompt": "</tool_call><tool_call>"}
    ]
    text = '[TOOL_CALLS]draw{"prompt": "[TOOL_CALLS]stop{}"}'
    assert [call.name for call in FORMATS["mistral"].parse(text, TOOLS).calls] == ["draw"]


def test_smaller_forms() -> None:
    def calls(form: str, text: str) -> list[tuple[str, dict[str, Any]]]:
        return [(call.name, call.arguments) for call in FORMATS[form].parse(text, TOOLS).calls]

    assert calls("llama", '{"name": "draw", "parameters": {"count": 1}}<|eot_id|>') == [("draw", {"count": 1})]
    assert calls("llama", '<|python_tag|>draw.call(prompt="a")<|eom_id|>') == [("draw", {"prompt": "a"})]
    assert calls("pythonic", "[draw(prompt='a', loud=true), stop()]") == [
        ("draw", {"prompt": "a", "loud": True}),
        ("stop", {}),
    ]
    assert calls("pythonic", "```tool_code\nprint(default_api.draw('a', 2))\n```") == [
        ("draw", {"prompt": "a", "count": 2})
    ]
    assert calls("mistral", '[TOOL_CALLS]draw[CALL_ID]abc123def[ARGS]{"count": 1}') == [("draw", {"count": 1})]
    assert calls("hermes", '<tool_call>{"name": "draw", "arguments": {"prompt": "two\nlines"}}') == [
        ("draw", {"prompt": "two\nlines"})
    ]
    values = "<parameter=prompt>12</parameter><parameter=loud>True</parameter><parameter=count>many</parameter>"
    assert calls("qwen_xml", f"<tool_call><function=draw>{values}</function></tool_call>") == [
        ("draw", {"prompt": "12", "loud": True, "count": "many"})
    ]


@pytest.mark.parametrize("name", tool_templates.TEMPLATES)
def test_the_format_is_found_in_the_template(name: str) -> None:
    """And what the model then writes in it is read, and words only are streamed."""
    model = tool_templates.speaker(name)
    form = tool_templates.TEMPLATES[name].form
    assert model.supports_tools
    assert model.tool_format.name == form
    text = REPLIES["mistral_list" if name == "mistral_v3" else form]
    seen: list[str] = []
    talk = [{"role": "user", "content": "draw a sign"}]
    reply = model.chat(talk, tools=TOOLS, on_text=seen.append, **writes(model, text))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("draw", NESTED), ("stop", {})]
    assert reply.text == "Sure."
    assert reply.raw == text
    assert all("Sure.".startswith(shown) for shown in seen)
    assert seen[-1] == "Sure."
    calls = [
        {"type": "function", "id": c.id, "function": {"name": c.name, "arguments": c.arguments}}
        for c in reply.tool_calls
    ]
    history = [*talk, {"role": "assistant", "content": reply.text, "tool_calls": calls}]
    history += [{"role": "tool", "tool_call_id": c.id, "name": c.name, "content": "done"} for c in reply.tool_calls]
    plain = model.chat(history, tools=TOOLS, **writes(model, "Here it is {1}."))
    assert (plain.text, plain.tool_calls, plain.invalid) == ("Here it is {1}.", [], [])
    broken = model.chat(talk, tools=TOOLS, **writes(model, BROKEN[form][0]))
    assert len(broken.invalid) == 1
    assert not broken.tool_calls


def test_without_tools_nothing_is_taken_for_a_call() -> None:
    model = tool_templates.speaker("hermes")
    reply = model.chat([{"role": "user", "content": "a"}], **writes(model, REPLIES["hermes"]))
    assert (reply.tool_calls, reply.text) == ([], REPLIES["hermes"])


def test_the_tokenizer_s_own_reader_of_responses() -> None:
    model = tool_templates.speaker("hermes")
    model.tokenizer.response_template = tool_templates.RESPONSE_TEMPLATE
    assert model.tool_format.name == "response_template"
    talk = [{"role": "user", "content": "draw a sign"}]
    seen: list[str] = []
    reply = model.chat(talk, tools=TOOLS, on_text=seen.append, **writes(model, REPLIES["hermes"]))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("draw", NESTED), ("stop", {})]
    assert reply.text == seen[-1] == "Sure."
    assert not any("tool_call>" in text for text in seen)


def test_a_template_whose_format_nobody_reads(spoken: Callable[[str], VisionLanguage]) -> None:
    model = tool_templates.speaker("hermes", template=tool_templates.UNREADABLE)
    assert model.supports_tools
    talk = [{"role": "user", "content": "a"}]
    assert model.chat(talk, max_new_tokens=2).text is not None
    with pytest.raises(CheckpointError, match=r"tool_format=.*choices"):
        model.chat(talk, tools=TOOLS, max_new_tokens=2)
    named = VisionLanguage(model.model, model.processor, tool_format="hermes")
    assert named.chat(talk, tools=TOOLS, **writes(named, REPLIES["hermes"])).tool_calls
    with pytest.raises(InvalidRequest, match="no tools"):
        spoken("llava15").chat(talk, tools=TOOLS)
