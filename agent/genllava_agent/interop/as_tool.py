"""The agent as a LangChain tool, for agents that plan by themselves and leave pictures to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.prebuilt import InjectedState
from pydantic import BaseModel, Field

from genllava.errors import GenLlavaError, ImageRejected, InvalidRequest
from genllava_agent.background import in_background
from genllava_agent.errors import UnknownImage
from genllava_agent.messages import image_block, picture_file, picture_files
from genllava_agent.records import image_number
from genllava_agent.session import CALLBACKS

if TYPE_CHECKING:
    from genllava_agent.pictures import ThreadImages
    from genllava_agent.reply import Reply
    from genllava_agent.settings import TurnSettings

DESCRIPTION: Final = (
    "Answers questions about pictures, draws pictures from words, and edits pictures as told. Pictures it knows are "
    "called image_1, image_2, ...; the results say which. "
)
REMEMBERS: Final = "It remembers this conversation, and nothing else of yours."
FORGETS: Final = "Where this conversation is not kept, it knows only the pictures that a call brings."
_NAME: Final = re.compile(r"image_([1-9][0-9]{0,5})")
_ATTACHED: Final = re.compile(r"attached_([1-9][0-9]{0,2})")


class Talk(Protocol):
    """A thread of an agent."""

    name: str
    images: ThreadImages

    def __call__(self, text: str, images: Any = None, **options: Any) -> Reply:
        """Ask, and wait for the reply."""

    def discard(self) -> None:
        """Forget the turn that has not ended."""


class Agent(Protocol):
    """What a tool needs of the agent that it stands for."""

    def thread(self, name: str | None = None) -> Any:
        """A thread by name; a new one if no name is given."""

    def settings_with(self, options: dict[str, Any]) -> TurnSettings:
        """The settings of a turn that is given some of its own."""


class ToolRequest(BaseModel):
    """What the tool is called with."""

    request: str = Field(description="What to answer, draw or change, in plain words; pictures by name, as in image 2.")
    images: list[str] = Field(
        default_factory=list,
        description="Pictures that the request is about, if not the latest one: image_K as an earlier result named "
        "it, attached_K for the K-th picture that the user attached to this conversation, or a base64 data URL.",
    )
    messages: Annotated[list[Any] | None, InjectedState("messages")] = None


def agent_tool(
    agent: Agent,
    *,
    name: str = "genllava",
    description: str | None = None,
    thread: str | None = None,
    pictures: bool = False,
    **options: Any,
) -> BaseTool:
    """A tool that asks `agent`.

    Its calls go to one thread of the agent: to `thread`, or to one that belongs to the caller's `thread_id`. Where
    there is neither, every call begins anew, and knows only the pictures that come with it; its results say so.

    The content of its result is text, its artifact a summary in plain data: the thread, the pictures' names and plans,
    the steps. Requests that cannot be served come back as an error message, for the caller to correct.

    Args:
        description: what the caller's model is told of it.
        pictures: whether results show pictures as content blocks as well, for callers whose API takes pictures in
            results (Anthropic's and Google's do; OpenAI's chat completions refuse them).
        **options: of every turn, see `TurnSettings`.

    Raises:
        InvalidRequest: an option that does not exist, or approvals, for which a tool cannot wait.
    """
    if agent.settings_with(options).approve:
        raise InvalidRequest("a tool cannot wait for approval: give as_tool(approve=()), and approve calls of the tool")

    def ask(
        config: RunnableConfig, request: str, images: Sequence[str], messages: list[Any] | None,
        cancel: Callable[[], bool] | None,
    ) -> tuple[Any, dict[str, Any]]:  # fmt: skip
        listening = ensure_config().get("callbacks")  # of this call; those of `config` are its caller's
        heard = CALLBACKS.set(listening if isinstance(listening, BaseCallbackManager) else None)
        try:
            named = thread or _thread_of(config)
            talk: Talk = agent.thread(named)
            text, shown = _request(talk, request, images, messages or [])
            reply = talk(text, shown, cancel=cancel, **options)
            if reply.pending is not None:  # the caller can say it better, but not answer
                talk.discard()
                again = f"{reply.pending.text} Say it in other words: nothing of this request was kept."
                reply = replace(reply, text=again, images=(), steps=())
            note = "" if named is not None else " Nothing of this is remembered: the next call begins anew."
            return _content(reply, pictures, note), _artifact(reply)
        except GenLlavaError as error:
            raise ToolException(str(error)) from error
        finally:
            CALLBACKS.reset(heard)

    def call(
        config: RunnableConfig, request: str, images: list[str] | None = None, messages: list[Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return ask(config, request, images or [], messages, None)

    async def acall(
        config: RunnableConfig, request: str, images: list[str] | None = None, messages: list[Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return await in_background(lambda cancel: ask(config, request, images or [], messages, cancel))

    return StructuredTool.from_function(
        call,
        acall,
        name=name,
        description=description or f"{DESCRIPTION}{REMEMBERS} {FORGETS if thread is None else ''}".strip(),
        args_schema=ToolRequest,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _thread_of(config: RunnableConfig) -> str | None:
    """The thread that belongs to a caller's; None if the caller has none."""
    caller = (config.get("configurable") or {}).get("thread_id")
    return None if caller is None else "tool-" + hashlib.sha256(str(caller).encode()).hexdigest()[:16]


def _request(
    talk: Talk, request: str, images: Sequence[str], messages: Sequence[BaseMessage]
) -> tuple[str, list[bytes]]:
    """The words for the agent, and the pictures that it does not know yet.

    Raises:
        UnknownImage, ImageRejected.
    """
    known = list(talk.images)
    named: list[str] = []
    shown: list[bytes] = []
    attached = [data for message in messages if isinstance(message, HumanMessage) for data in picture_files(message)]
    for image in images:
        if _NAME.fullmatch(image):
            if image not in known:
                raise UnknownImage(f"there is no {image} in this conversation: {', '.join(known) or 'none so far'}")
            named.append(image)
        elif match := _ATTACHED.fullmatch(image):
            if int(match[1]) > len(attached):
                raise UnknownImage(f"there is no {image}: the user attached {len(attached)} pictures")
            shown.append(attached[int(match[1]) - 1])
        elif image.startswith("data:"):
            shown.append(picture_file({"type": "image", "url": image}))
        else:
            raise ImageRejected(f"{image[:40]!r} is no picture: image_K, attached_K, or a base64 data URL")
    text = _NAME.sub(r"image \1", request)
    numbers = [f"image {image_number(name)}" for name in named if f"image {image_number(name)}" not in text]
    if numbers and (shown or named != known[-1:]):
        text = f"in {' and '.join(numbers)}, {text}"
    return text, shown


def _content(reply: Reply, pictures: bool, note: str) -> Any:
    unnamed = [made for made in reply.images if made.id not in reply.text]
    notes = [f"{made.id}: {made.record.plan or 'a new picture'}." for made in unnamed]
    text = " ".join([reply.text, *notes]) + note
    if not pictures:
        return text
    return [{"type": "text", "text": text}, *(image_block(made.image, made.id) for made in reply.images)]


def _artifact(reply: Reply) -> dict[str, Any]:
    return {
        "thread": reply.thread.name,
        "turn": reply.turn,
        "text": reply.text,
        "images": [made.record.model_dump(mode="json", exclude_defaults=True) for made in reply.images],
        "steps": [step.model_dump(mode="json", exclude_defaults=True) for step in reply.steps],
        "question": None if reply.pending is None else reply.pending.model_dump(mode="json", exclude_defaults=True),
        "stopped": reply.stopped,
        "seed": reply.seed,
    }
