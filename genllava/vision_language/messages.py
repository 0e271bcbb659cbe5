"""Conversations as a checkpoint's chat template takes them: checked, free of control tokens, in its own form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from jinja2 import TemplateError
from PIL import Image

from genllava.errors import CheckpointError, InvalidRequest
from genllava.vision_language.tool_formats import FORMATS, ToolFormat, response_template_format

Message = Mapping[str, Any]
_ROLES: Final = ("system", "user", "assistant", "tool")
_JOINER: Final = "\u200d"
_PROBE: Final = "Zq7w"
_CALL_ID: Final = "probe0001"  # Mistral's templates want nine letters or digits
_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {"topic": {"type": "string", "description": "What."}, "count": {"type": "integer"}},
            "required": ["topic"],
        },
    },
}
_ARGUMENTS: Final = {"topic": "red kites", "count": 3}
_NOT_RENDERED: Final = (TemplateError, TypeError, ValueError, AttributeError, KeyError, IndexError)
"""What a template raises where it does not take a form of message."""


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
        self.template = getattr(processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)
        if not self.template:
            raise CheckpointError("the processor has no chat template: give one with chat_template=")
        if isinstance(self.template, list):
            self.template = {entry["name"]: entry["template"] for entry in self.template}
        if isinstance(self.template, dict) and "default" not in self.template:
            raise CheckpointError("none of the chat templates is named default: give one with chat_template=")
        if tool_format is not None and tool_format not in FORMATS:
            raise CheckpointError(f"unknown tool_format {tool_format!r}: there are {', '.join(FORMATS)}")
        self.chosen_format = tool_format
        self.media = _longest_first({*_processor_tokens(processor), *media_tokens})
        special = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        self._controls = _longest_first({*self.media, *special, *map(str, self.tokenizer.all_special_tokens)})
        self._fits: dict[tuple[str, bool], bool] = {}

    def render(self, messages: Sequence[Message], tools: Any = None, *, prompt: bool = True) -> str:
        """The conversation as text, with one placeholder for each picture.

        Args:
            messages: as `checked` gives them.
            prompt: end with what begins the assistant's turn.

        Raises:
            InvalidRequest: the template does not take such a conversation.
        """
        try:
            return self._render(self._fitted(messages), tools, prompt)
        except _NOT_RENDERED as error:
            raise InvalidRequest(f"the model's chat template does not take this conversation: {error}") from error

    def _render(self, messages: Sequence[Message], tools: Any = None, prompt: bool = False) -> str:
        template = self.template
        if isinstance(template, dict):
            template = template["tool_use" if tools and "tool_use" in template else "default"]
        return str(
            self.processor.apply_chat_template(
                list(messages), chat_template=template, tools=tools, add_generation_prompt=prompt, tokenize=False
            )
        )

    def neutral(self, value: Any, *, media_only: bool = False) -> Any:
        """Text, or data with text in it, in which no control token is spelled out: a joiner of no width breaks it up.

        Args:
            media_only: leave all but the placeholders of media.
        """
        if isinstance(value, str):
            for token in self.media if media_only else self._controls:
                while token in value:
                    value = value.replace(token, token[0] + _JOINER + token[1:] if len(token) > 1 else "\ufffd")
            return value
        if isinstance(value, Mapping):
            return {self.neutral(k, media_only=media_only): self.neutral(v, media_only=media_only) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.neutral(entry, media_only=media_only) for entry in value]
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
            own = role == "assistant"
            content = message.get("content")
            clean = {key: value for key, value in message.items() if key not in ("content", "tool_calls")}
            clean["content"] = self._content("" if content is None else content, own, pictures)
            if message.get("tool_calls"):
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
                raise InvalidRequest(
                    'content is a string or a list of {"type": "text", "text": str} and {"type": "image", "image": '
                    f"PIL.Image}}, not {type(block).__name__} {kind or ''}".rstrip()
                )
        return blocks

    def _fitted(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages in a form that the template shows.

        A string becomes blocks or blocks a string; a system message goes in front of the first user's words, and a
        tool's result becomes a user's message, where the template has no such role.
        """
        found: list[dict[str, Any]] = []
        instructions = ""
        for message in messages:
            role, content = message["role"], message["content"]
            if role in ("system", "tool") and not self._takes(role, True) and not self._takes(role, False):
                if role == "system":
                    instructions += _text_of(content) + "\n\n"
                    continue
                role = "user"
            if role == "user" and instructions:
                content = [{"type": "text", "text": instructions}, *_blocks_of(content)]
                instructions = ""
            listed = isinstance(content, list)
            if content and not self._takes(role, listed) and self._takes(role, not listed):
                content = self._string_of(content) if listed else _blocks_of(content)
            found.append({**message, "role": role, "content": content})
        return found

    def _takes(self, role: str, listed: bool) -> bool:
        """Whether the template shows what a message of this role says, as blocks or as a string."""
        if (role, listed) not in self._fits:
            content = [{"type": "text", "text": _PROBE}] if listed else _PROBE
            asked: list[Message] = [{"role": "user", "content": [{"type": "text", "text": "a"}] if listed else "a"}]
            probe: Message = {"role": role, "content": content}
            before = {"user": [], "system": [], "assistant": asked, "tool": [*asked, _call()]}[role]
            if role == "tool":
                probe = {**probe, "tool_call_id": _CALL_ID, "name": "look_up"}
            try:
                shown = self._render([*before, probe, *(asked if role == "system" else [])])
                fits = _PROBE in shown and "'type'" not in shown and '"type"' not in shown
            except _NOT_RENDERED:
                fits = False
            self._fits[role, listed] = fits
        return self._fits[role, listed]

    def _string_of(self, blocks: list[dict[str, Any]]) -> str:
        """Blocks as one string, a placeholder on a line of its own for each picture."""
        picture = str(getattr(self.processor, "image_token", None) or "<image>") + "\n"
        return "".join(block["text"] if block["type"] == "text" else picture for block in blocks)

    @cached_property
    def supports_tools(self) -> bool:
        """Whether the template tells the model which tools there are."""
        try:
            asked = self._fitted([{"role": "user", "content": "a"}])
            return "look_up" in self._render(asked, [_TOOL], True)
        except _NOT_RENDERED:
            return False

    @cached_property
    def tool_results_show_images(self) -> bool:
        """Whether the template shows a picture in a tool's result."""
        result = {"role": "tool", "tool_call_id": _CALL_ID, "name": "look_up"}
        text = {"type": "text", "text": _PROBE}
        try:
            asked = self._fitted([{"role": "user", "content": "a"}])
            with_it, without = (
                self._render([*asked, _call(), {**result, "content": content}], [_TOOL])
                for content in ([{"type": "image"}, text], [text])
            )
        except _NOT_RENDERED:
            return False
        return any(with_it.count(token) > without.count(token) for token in self.media)

    @cached_property
    def tool_format(self) -> ToolFormat:
        """The format in which this model writes tool calls: the one that reads a call which the template renders.

        Raises:
            CheckpointError: none does.
        """
        own = FORMATS.get(self.chosen_format or "") or response_template_format(self.tokenizer)
        if own is not None:
            return own
        try:
            asked = self._fitted([{"role": "user", "content": "a"}])
            rendered = self._render([*asked, _call()], [_TOOL])
            rendered = rendered[len(_common(rendered, self._render(asked, [_TOOL], True))) :]
        except _NOT_RENDERED:
            rendered = ""
        for end in sorted(self.tokenizer.all_special_tokens, key=len, reverse=True):
            rendered = rendered.rstrip().removesuffix(str(end))
        for form in FORMATS.values():
            calls = form.parse(rendered, [_TOOL]).calls
            if len(calls) == 1 and calls[0].name == "look_up" and calls[0].arguments == _ARGUMENTS:
                return form
        raise CheckpointError(
            "the chat template has tools, but writes calls in a format that is not known here: name one with "
            f'tool_format= ({", ".join(FORMATS)}), or let the model choose by protocol="choices"'
        )


def _call() -> dict[str, Any]:
    call = {"type": "function", "id": _CALL_ID, "function": {"name": "look_up", "arguments": dict(_ARGUMENTS)}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _processor_tokens(processor: Any) -> set[str]:
    """Tokens that a processor puts media in place of, or around them: `image_token`, `boi_token`, ..."""
    named = {name: value for name, value in vars(processor).items() if name.endswith("_token")}
    named |= {name: getattr(processor, name, None) for name in ("image_token", "video_token", "audio_token")}
    return {str(value) for value in named.values() if value is not None and not isinstance(value, int)} - {""}


def _longest_first(tokens: Iterable[str]) -> list[str]:
    return sorted((token for token in tokens if token), key=lambda token: (-len(token), token))


def _text_of(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(b["text"] for b in content if b["type"] == "text")


def _blocks_of(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _common(one: str, other: str) -> str:
    length = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]
