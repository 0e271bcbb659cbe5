"""Chat templates with tools, one for each format in which models write calls, on a small random model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.layouts.tokenizers import byte_level
from benchmarks.layouts.vision_language import llava_of
from genllava.vision_language import VisionLanguage


@dataclass(frozen=True, slots=True)
class ToolTemplate:
    """How one family renders tools and calls.

    Attributes:
        form: the name of the format, in `genllava.vision_language.FORMATS`.
        call: Jinja that renders the calls of `message`.
        special: special tokens of its tokenizer.
        ends: the token that ends an answer.
        plain: added tokens that are not special.
    """

    form: str
    call: str
    special: tuple[str, ...] = ()
    ends: str = "<|im_end|>"
    plain: tuple[str, ...] = ()


_EACH: Final = "{% for call in message.tool_calls %}"
_ITEMS: Final = "{% for key, value in call.function.arguments.items() %}"
TEMPLATES: Final = {
    "hermes": ToolTemplate(
        "hermes",
        _EACH + '{{ \'\\n<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' + '
        "call.function.arguments | tojson + '}\\n</tool_call>' }}{% endfor %}",
        plain=("<tool_call>", "</tool_call>"),
    ),
    "qwen3_coder": ToolTemplate(
        "qwen_xml",
        _EACH
        + "{{ '\\n<tool_call>\\n<function=' + call.function.name + '>\\n' }}"
        + _ITEMS
        + "{{ '<parameter=' + key + "
        "'>\\n' + (value if value is string else value | tojson) + '\\n</parameter>\\n' }}{% endfor %}"
        "{{ '</function>\\n</tool_call>' }}{% endfor %}",
        plain=("<tool_call>", "</tool_call>"),
    ),
    "mistral_v3": ToolTemplate(
        "mistral",
        "{{ '[TOOL_CALLS] [' }}" + _EACH + '{{ \'{"name": "\' + call.function.name + \'", "arguments": \' + '
        "call.function.arguments | tojson + ', \"id\": \"' + call.id + '\"}' + (']' if loop.last else ', ') }}"
        "{% endfor %}",
        special=("[TOOL_CALLS]",),
        ends="</s>",
    ),
    "mistral_v11": ToolTemplate(
        "mistral",
        _EACH + "{{ '[TOOL_CALLS]' + call.function.name + '[ARGS]' + call.function.arguments | tojson }}{% endfor %}",
        special=("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"),
        ends="</s>",
    ),
    "llama3": ToolTemplate(
        "llama",
        "{% if message.tool_calls | length != 1 %}{{ '<|python_tag|>' }}{% endif %}" + _EACH + '{{ \'{"name": "\' + '
        "call.function.name + '\", \"parameters\": ' + call.function.arguments | tojson + '}' }}"
        "{{ '' if loop.last else '; ' }}{% endfor %}",
        special=("<|python_tag|>", "<|eom_id|>"),
        ends="<|eot_id|>",
    ),
    "gemma3_python": ToolTemplate(
        "pythonic",
        "{{ '```tool_code\\n' }}"
        + _EACH
        + "{{ call.function.name + '(' }}"
        + _ITEMS
        + "{{ key + '=' + value | tojson + "
        "('' if loop.last else ', ') }}{% endfor %}{{ ')\\n' }}{% endfor %}{{ '```' }}",
        ends="<end_of_turn>",
    ),
    "llama_pythonic": ToolTemplate(
        "pythonic",
        "{{ '[' }}" + _EACH + "{{ call.function.name + '(' }}" + _ITEMS + "{{ key + '=' + value | tojson + "
        "('' if loop.last else ', ') }}{% endfor %}{{ ')' + ('' if loop.last else ', ') }}{% endfor %}{{ ']' }}",
        ends="<|eot_id|>",
    ),
    "gemma4": ToolTemplate(
        "gemma4",
        _EACH + "{{ '<|tool_call>call:' + call.function.name + '{' }}" + _ITEMS + "{{ key + ':' + ('<|\"|>' + value + "
        "'<|\"|>' if value is string else value | tojson) + ('' if loop.last else ',') }}{% endfor %}"
        "{{ '}<tool_call|>' }}{% endfor %}",
        special=("<|tool_call>", "<tool_call|>", '<|"|>'),
        ends="<turn|>",
    ),
    "function_gemma": ToolTemplate(
        "function_gemma",
        _EACH
        + "{{ '<start_function_call>call:' + call.function.name + '{' }}"
        + _ITEMS
        + "{{ key + ':' + ('<escape>' + "
        "value + '<escape>' if value is string else value | tojson) + ('' if loop.last else ',') }}{% endfor %}"
        "{{ '}<end_function_call>' }}{% endfor %}",
        special=("<start_function_call>", "<end_function_call>", "<escape>"),
        ends="<end_of_turn>",
    ),
}
"""By family."""

UNREADABLE: Final = "{% for call in message.tool_calls %}{{ '(call ' + call.function.name + ')' }}{% endfor %}"
"""Calls without their arguments, which nothing can read."""

RESPONSE_TEMPLATE: Final = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|start|>assistant\n",
    "fields": {
        "content": {"content": "text", "repeats": True, "join": ""},
        "tool_calls": {
            "open": "<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
    },
}
"""How transformers' own parser of responses would read Hermes' format."""


def _template(call: str, ends: str) -> str:
    return (
        "{% if tools %}{{ 'Tools:' }}{% for tool in tools %}{{ '\\n' + tool | tojson }}{% endfor %}"
        "{{ '\\n\\n' }}{% endif %}"
        "{% for message in messages %}{{ '<|start|>' + message.role + '\\n' }}{% if message.content is string %}"
        "{{ message.content }}{% else %}{% for block in message.content %}"
        "{{ '<image>' if block.type == 'image' else block.text }}{% endfor %}{% endif %}{% if message.tool_calls %}"
        + call
        + "{% endif %}{{ '"
        + ends
        + "' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}"
    )


def speaker(name: str, template: str | None = None) -> VisionLanguage:
    """A small random LLaVA that speaks in the format of `name`.

    Args:
        template: Jinja that renders calls, in place of the family's own.
    """
    family = TEMPLATES[name]
    return VisionLanguage.from_pretrained(_written(name), chat_template=_template(template or family.call, family.ends))


@cache
def _written(name: str) -> Path:
    family = TEMPLATES[name]
    special = ["<|end|>", "<|start|>", family.ends, "<image>", *family.special]
    words: Any = byte_level(special, eos=family.ends, pad="<|end|>", plain=family.plain, image_token="<image>")
    folder = Path(tempfile.mkdtemp(prefix="genllava-layout-"))
    llava_of(folder, words, _template(family.call, family.ends))
    return folder
