"""Bodies of `/v1/chat/completions`, as OpenAI has them, and what is sent back.

What a request says besides is taken and has no effect: `temperature`, `max_tokens` and the like.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

Name = Annotated[str, Field(min_length=1, max_length=256)]


class ImageUrl(BaseModel):
    """Where a picture is: in the request itself, as a data URL."""

    url: str


class TextPart(BaseModel):
    """Words in a message."""

    type: Literal["text"] = "text"
    text: str


class ImagePart(BaseModel):
    """A picture in a message."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class CalledFunction(BaseModel):
    """What was called, with its arguments as JSON."""

    name: Name
    arguments: str


class ToolCall(BaseModel):
    """A call of one of the caller's tools."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """One message of a conversation.

    Attributes:
        role: who says it.
        content: words, or words and pictures.
        tool_calls: of an assistant's message.
        tool_call_id: which call a tool's message answers.
        images: pictures of an assistant's message, as replies of this server have them.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    images: list[ImagePart] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Message:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of a tool needs tool_call_id, the call that it answers")
        if self.role != "assistant" and self.content is None:
            raise ValueError(f"a message of the role {self.role} needs content")
        return self

    @property
    def text(self) -> str:
        """Its words."""
        if isinstance(self.content, str):
            return self.content
        return "\n\n".join(part.text for part in self.content or () if isinstance(part, TextPart))

    @property
    def pictures(self) -> list[str]:
        """The addresses of its pictures."""
        inside = self.content if isinstance(self.content, list) else []
        parts = [part for part in [*inside, *(self.images or ())] if isinstance(part, ImagePart)]
        return [part.image_url.url for part in parts]


class ToolFunction(BaseModel, extra="allow"):
    """A function that may be called: its name, and its JSON schema."""

    name: Name


class Tool(BaseModel):
    """A tool of the caller."""

    type: Literal["function"]
    function: ToolFunction


class StreamOptions(BaseModel):
    """What a stream has besides."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request for a reply.

    Attributes:
        model: see `/v1/models`.
        messages: the conversation.
        stream: whether the reply comes piece by piece.
        stream_options: see `StreamOptions`.
        tools, tool_choice, parallel_tool_calls: the caller's, for what decides here if that calls tools.
        stop: the text ends before the first of these.
        seed: of the pictures that are made.
        user: whose thread it is said on, which then remembers; without one nothing is kept.
    """

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    user: Name | None = None
    n: int | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None

    @field_validator("n")
    @classmethod
    def _one(cls, n: int | None) -> int | None:
        if n not in (None, 1):
            raise ValueError("one reply is given to a request: leave n out, or ask several times")
        return n

    @field_validator("logprobs")
    @classmethod
    def _no_logprobs(cls, logprobs: bool | None) -> bool | None:
        if logprobs:
            raise ValueError("probabilities of tokens are not given: leave it out")
        return logprobs

    @field_validator("response_format")
    @classmethod
    def _text(cls, response_format: dict[str, Any] | None) -> dict[str, Any] | None:
        if response_format is not None and response_format.get("type") != "text":
            raise ValueError("replies are text: leave it out, or give a tool with the schema")
        return response_format

    @field_validator("modalities")
    @classmethod
    def _no_sound(cls, modalities: list[str] | None) -> list[str] | None:
        if modalities is not None and not {"text", "image"}.issuperset(modalities):
            raise ValueError("replies are text and image")
        return modalities


class Usage(BaseModel):
    """Tokens of the conversation up to the reply, and those of the reply."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Reply(BaseModel):
    """The assistant's message; pictures are in it as links in the content, and as parts."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    tool_calls: list[ToolCall] | None = None
    images: list[ImagePart] | None = None


class Choice(BaseModel):
    """The reply, and why it ends."""

    index: int = 0
    message: Reply
    finish_reason: str


class About(BaseModel):
    """What OpenAI's form has no place for.

    Attributes:
        seed: of the pictures of the reply.
        steps: what was done, each with what was decided and what came of it.
        ignored: what in the messages was not read.
    """

    seed: int | None = None
    steps: list[dict[str, Any]] = Field(default_factory=list)
    ignored: list[str] = Field(default_factory=list)


class ChatCompletion(BaseModel):
    """A whole reply."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    genllava: About


class DeltaCall(ToolCall):
    """A call in a stream, with its place among the calls of the reply."""

    index: int


class Delta(BaseModel):
    """What a piece adds to the reply."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[DeltaCall] | None = None
    images: list[ImagePart] | None = None


class DeltaChoice(BaseModel):
    """A piece of the reply; the last one says why it ends."""

    index: int = 0
    delta: Delta
    finish_reason: str | None = None


class ChatCompletionChunk(BaseModel):
    """A piece of a reply."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[DeltaChoice]
    usage: Usage | None = None
    genllava: About | None = None
