"""Conversations as a checkpoint's chat template takes them: checked, free of control tokens, in its own form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from jinja2 import TemplateError
from PIL import Image

from genllava.errors import CheckpointError, InvalidRequest
from genllava.vision_language.prefix_cache import common_prefix
from genllava.vision_language.tool_formats import FORMATS, ToolFormat, response_template_format

Message = Mapping[str, Any]
_ROLES: Final = ("system", "user", "assistant", "tool")
_JOINER: Final = "\u200d"
_NOT_RENDERED: Final = (TemplateError, TypeError, ValueError, AttributeError, KeyError, IndexError)
"""What a template raises where it does not take a form of message."""

_PROBE: Final = "Zq7w"
_PARAMETERS: Final = {"topic": {"type": "string", "description": "What."}, "count": {"type": "integer"}}
_TOOL: Final = {
    "name": "look_up",
    "description": "Looks something up.",
    "parameters": {"type": "object", "properties": _PARAMETERS, "required": ["topic"]},
}
_ARGUMENTS: Final = {"topic": "red kites", "count": 3}
_CALL: Final = {"type": "function", "id": "probe0001", "function": {"name": "look_up", "arguments": _ARGUMENTS}}


class ChatTemplate:
    """A processor's chat template.

    Args:
        processor: from `AutoProcessor`.
        media_tokens: placeholders that stand for media, beside those that the processor names.
        tool_format: name of a format in `FORMATS`, in place of finding it out.

    Raises:
        CheckpointError: there is no chat template, or no such format.
    """

    def __init__(self, processor: Any, media_tokens: Iterable[str] = (), tool_format: str | None = None) -> None:
        self.processor, self.tokenizer = processor, processor.tokenizer
        template = getattr(processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)
        self._templates = template if isinstance(template, dict) else {"default": template}
        if not self._templates.get("default"):
            raise CheckpointError("the processor has no chat template: give one with chat_template=")
        if tool_format is not None and tool_format not in FORMATS:
            raise CheckpointError(f"unknown tool_format {tool_format!r}: there are {', '.join(FORMATS)}")
        self.chosen_format = tool_format
        # Tokens that a processor puts media in place of, or around them: `image_token`, `boi_token`, ...
        named = {name: value for name, value in vars(processor).items() if name.endswith("_token")}
        named |= {name: getattr(processor, name, None) for name in ("image_token", "video_token", "audio_token")}
        media = {str(value) for value in named.values() if value} | set(media_tokens)
        added = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        self.media = sorted(media, key=len, reverse=True)
        self._controls = sorted(media | added | set(map(str, self.tokenizer.all_special_tokens)), key=len, reverse=True)
        self._fits: dict[tuple[str, bool], bool] = {}

    def render(self, messages: Sequence[Message], tools: Any = None, *, prompt: bool = True) -> str:
        """The conversation as text, with one placeholder for each picture.

        Args:
            messages: as `checked` gives them.
            prompt: with the heading behind it that the assistant goes on from.

        Raises:
            InvalidRequest: the template does not take such a conversation.
        """
        try:
            return self._render(self._fitted(messages), tools, prompt)
        except _NOT_RENDERED as error:
            raise InvalidRequest(f"the model's chat template does not take this conversation: {error}") from error

    def _render(self, messages: Sequence[Message], tools: Any = None, prompt: bool = True) -> str:
        chosen = self._templates.get("tool_use" if tools else "default") or self._templates["default"]
        return str(
            self.processor.apply_chat_template(
                list(messages), chat_template=chosen, tools=tools, add_generation_prompt=prompt, tokenize=False
            )
        )

    def neutral(self, value: Any, media_only: bool = False) -> Any:
        """Text, or data with text in it, in which no control token is spelled out: a joiner of no width breaks it up.

        Args:
            media_only: leave all but the placeholders of media.
        """
        if isinstance(value, Mapping):
            return {self.neutral(key, media_only): self.neutral(inner, media_only) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.neutral(inner, media_only) for inner in value]
        for token in (self.media if media_only else self._controls) if isinstance(value, str) else ():
            while token in value:
                value = value.replace(token, token[0] + _JOINER + token[1:] if len(token) > 1 else "\ufffd")
        return value

    def checked(self, messages: Sequence[Message]) -> tuple[list[dict[str, Any]], list[Image.Image]]:
        """Messages that are safe to render, and their pictures in order.

        Control tokens in what users, tools and the system say become harmless text; of the assistant's own words only
        the placeholders of media do.

        Raises:
            InvalidRequest: something is not a message.
        """
        if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
            raise InvalidRequest("a conversation is a list of at least one message")
        found: list[dict[str, Any]] = []
        pictures: list[Image.Image] = []
        for message in messages:
            role = message.get("role") if isinstance(message, Mapping) else None
            if role not in _ROLES:
                raise InvalidRequest(f"a message has one of the roles {', '.join(_ROLES)}, not {role!r}")
            clean = {**message, "content": self._content(message.get("content") or "", role == "assistant", pictures)}
            if "tool_calls" in message:
                clean["tool_calls"] = self.neutral(message["tool_calls"], media_only=True)
            found.append(clean)
        return found, pictures

    def _content(self, content: Any, own: bool, pictures: list[Image.Image]) -> str | list[dict[str, Any]]:
        if isinstance(content, str):
            return str(self.neutral(content, media_only=own))
        blocks: list[dict[str, Any]] = []
        for block in content if isinstance(content, list | tuple) else [content]:
            kind = block.get("type") if isinstance(block, Mapping) else None
            if kind == "text" and isinstance(block.get("text"), str):
                blocks.append({"type": "text", "text": self.neutral(block["text"], media_only=own)})
            elif kind == "image" and isinstance(block.get("image"), Image.Image):
                pictures.append(block["image"].convert("RGB"))
                blocks.append({"type": "image"})
            else:
                forms = '{"type": "text", "text": str} and {"type": "image", "image": PIL.Image}'
                raise InvalidRequest(f"content is a string or a list of {forms}, not {kind or type(block).__name__}")
        return blocks

    def _fitted(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages in a form that the template shows.

        A string becomes blocks or blocks a string; where the template has no such role, a system message goes in front
        of the next user's words, and a tool's result becomes a user's message.
        """
        found: list[dict[str, Any]] = []
        instructions = ""
        for message in messages:
            role, content = message["role"], message["content"]
            if role in ("system", "tool") and not self._takes(role, True) and not self._takes(role, False):
                if role == "system":
                    instructions += "".join(block["text"] for block in _blocks(content)) + "\n\n"
                    continue
                role = "user"
            if role == "user" and instructions:
                content, instructions = [{"type": "text", "text": instructions}, *_blocks(content)], ""
            listed = isinstance(content, list)
            if content and not self._takes(role, listed) and self._takes(role, not listed):
                picture = str(getattr(self.processor, "image_token", None) or "<image>") + "\n"
                content = "".join(block.get("text", picture) for block in content) if listed else _blocks(content)
            found.append({**message, "role": role, "content": content})
        return found

    def _takes(self, role: str, listed: bool) -> bool:
        """Whether the template shows what a message of this role says, as blocks or as a string."""
        if (role, listed) not in self._fits:
            asked: list[Message] = [{"role": "user", "content": _blocks("a") if listed else "a"}]
            before = {"assistant": asked, "tool": [*asked, _call()]}.get(role, [])
            probe = {"role": role, "content": _blocks(_PROBE) if listed else _PROBE, "tool_call_id": _CALL["id"]}
            try:
                shown = self._render([*before, probe, *(asked if role == "system" else [])], prompt=False)
                self._fits[role, listed] = _PROBE in shown and "'type'" not in shown and '"type"' not in shown
            except _NOT_RENDERED:
                self._fits[role, listed] = False
        return self._fits[role, listed]

    def _probe(self, *messages: Message, tools: bool = True, prompt: bool = True) -> str:
        """What the template makes of a question and `messages`; empty where it does not take them."""
        try:
            asked = self._fitted([{"role": "user", "content": "a"}])
            return self._render(
                [*asked, *messages], [{"type": "function", "function": _TOOL}] if tools else None, prompt
            )
        except _NOT_RENDERED:
            return ""

    @cached_property
    def gap(self) -> str:
        """What the template has between the assistant's heading and its words in history, but not in a prompt.

        A model writes it itself (a space, mostly); were it taken for part of the words, history would have it twice.
        """
        written, before = self._answered.partition(_PROBE)[0], self._probe(tools=False)
        return written.removeprefix(before) if written.startswith(before) else ""

    @cached_property
    def after_answer(self) -> str:
        """What the template has behind the assistant's words."""
        return self._answered.partition(_PROBE)[2]

    @cached_property
    def _answered(self) -> str:
        answer = {"role": "assistant", "content": _blocks(_PROBE) if self._takes("assistant", True) else _PROBE}
        return self._probe(answer, tools=False, prompt=False)

    @cached_property
    def supports_tools(self) -> bool:
        """Whether the template tells the model which tools there are."""
        return "look_up" in self._probe()

    @cached_property
    def tool_results_show_images(self) -> bool:
        """Whether the template shows a picture in a tool's result."""
        result = {"role": "tool", "tool_call_id": _CALL["id"], "name": "look_up"}
        with_one = self._probe(_call(), {**result, "content": [{"type": "image"}, *_blocks("a")]})
        without = self._probe(_call(), {**result, "content": _blocks("a")})
        return any(with_one.count(token) > without.count(token) for token in self.media)

    @cached_property
    def tool_format(self) -> ToolFormat:
        """The format in which this model writes tool calls: the one that reads a call which the template renders.

        Raises:
            CheckpointError: none does.
        """
        own = FORMATS.get(self.chosen_format or "") or response_template_format(self.tokenizer)
        if own is not None:
            return own
        written, before = self._probe(_call(), prompt=False), self._probe()
        written = written[common_prefix(written, before) :]
        for end in sorted(map(str, self.tokenizer.all_special_tokens), key=len, reverse=True):
            written = written.rstrip().removesuffix(end)
        for form in FORMATS.values():
            calls = form.parse(written, [_TOOL]).calls
            if [(call.name, call.arguments) for call in calls] == [("look_up", _ARGUMENTS)]:
                return form
        raise CheckpointError(
            "the chat template has tools, but writes calls in a format that is not known here: name one with "
            f'tool_format= ({", ".join(FORMATS)}), or let the model choose by protocol="choices"'
        )


def _call() -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [_CALL]}


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
