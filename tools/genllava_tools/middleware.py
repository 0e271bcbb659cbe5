"""The visual tools for anyone's LangChain agent.

    from langchain.agents import create_agent
    from genllava_tools.middleware import VisualToolsMiddleware

    agent = create_agent(model, tools=[], middleware=[VisualToolsMiddleware()])
    state = agent.invoke({"messages": [HumanMessage([photo_block, "Crop it to the dog."])]})
    picture(state, "image_2")                                   # what a tool made, as a PIL image

Pictures in messages of the user and in results of other tools get names, image_1 and so on, and the model gives these
to the tools; what a tool makes gets a name too, and is shown to the model behind the results. Read are all forms in
which LangChain's messages carry pictures with their bytes. Addresses are not fetched, and the model is told so.

The pictures are in the state of the agent (`images`), as the bytes of files, and so in its checkpoints: when they are
made, and not again at each step (LangGraph's `DeltaChannel`). A thread knows its own pictures only, and deleting it
deletes them. What the model is shown is no part of the messages in the state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NotRequired

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.channels import DeltaChannel
from langgraph.runtime import Runtime
from langgraph.types import Command
from PIL import Image

from genllava.errors import GenLlavaError, ImageRejected, InvalidRequest
from genllava.images import load_image
from genllava_tools.coordinates import Dialect
from genllava_tools.errors import ToolFailed, ToolNameTaken
from genllava_tools.langchain_tools import as_langchain
from genllava_tools.message_pictures import (
    IMAGES,
    ImageRecord,
    Images,
    Show,
    named_in,
    opened,
    picture_file,
    pictures_in,
    place_of,
    told,
)
from genllava_tools.offers import AT_MOST, MORE_TOOLS, asked_for, choose, usual_first
from genllava_tools.picture_files import png_bytes
from genllava_tools.registry import usable
from genllava_tools.tool import Kind, VisualTool

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        AgentState,
        ModelRequest,
        ModelResponse,
        OmitFromSchema,
        ToolCallRequest,
    )
except ModuleNotFoundError as error:
    remedy = "VisualToolsMiddleware needs langchain: pip install 'genllava[langchain]'"
    raise ModuleNotFoundError(remedy, name=error.name) from error

_SNAPSHOT: Final = 1000
"""Updates after which a checkpoint holds all pictures again; they are few and large."""
_log: Final = logging.getLogger(__name__)


def _merged(images: Images, updates: Sequence[Images]) -> dict[str, ImageRecord]:
    return {name: record for each in (images, *updates) for name, record in each.items()}


def _joined(names: Sequence[str], updates: Sequence[Sequence[str]]) -> list[str]:
    return [name for each in (names, *updates) for name in each]


class VisualState(AgentState[Any]):
    """What the middleware keeps in the state of an agent.

    Attributes:
        images: the pictures of the thread by name, in the order in which they came.
        refused_images: why pictures have no name, by the message and the place in it.
        asked_tools: tools that the model asked for with `more_tools`, the newest last.
    """

    images: NotRequired[
        Annotated[
            dict[str, ImageRecord],
            DeltaChannel(_merged, dict, snapshot_frequency=_SNAPSHOT),
            OmitFromSchema(input=True, output=False),
        ]
    ]
    refused_images: NotRequired[
        Annotated[dict[str, str], DeltaChannel(_merged, dict), OmitFromSchema(input=True, output=True)]
    ]
    asked_tools: NotRequired[
        Annotated[list[str], DeltaChannel(_joined, list), OmitFromSchema(input=True, output=True)]
    ]


class VisualToolsMiddleware(AgentMiddleware[VisualState, Any, Any]):
    """Gives an agent the visual tools, and the pictures in its messages names.

    Args:
        tools: names of tools, or tools of your own; all that can run here, where nothing is said.
        kinds: only those of these kinds.
        at_most: visual tools that the model is offered at once; it gets others by `more_tools`. Tools of the agent and
            of other middleware are offered besides.
        dialect: how the model writes boxes and points.
        show: where the model sees pictures that tools made: "user", in a message of the user behind the results, which
            all APIs of chat models take; "tool", in the results themselves; "no", for models that see no pictures.
        most_shown: pictures made by tools that it sees, the newest.

    Raises:
        UnknownTool: there is none of such a name.
        ToolUnavailable: one that was asked for by name cannot run here.
        InvalidRequest: `at_most` is less than two.
    """

    state_schema = VisualState

    def __init__(
        self,
        tools: Iterable[str | VisualTool] | None = None,
        kinds: Iterable[Kind] | None = None,
        *,
        at_most: int = AT_MOST,
        dialect: Dialect = "0-1",
        show: Show = "user",
        most_shown: int = 8,
    ) -> None:
        super().__init__()
        listed = None if tools is None else list(tools)
        named = None if listed is None else [each for each in listed if isinstance(each, str)]
        own = [each for each in listed or [] if isinstance(each, VisualTool)]
        self._visual = {tool.name: tool for tool in [*own, *usable(named, kinds)]}
        self._says = usual_first({name: tool.description for name, tool in self._visual.items()})
        self._at_most, self._show, self._most_shown = at_most, show, most_shown
        choose(self._says, at_most=at_most)  # which raises where that is too few
        self._ours: dict[str, BaseTool] = {name: _by_name(tool, dialect) for name, tool in self._visual.items()}
        if len(self._visual) > at_most:
            self._ours[MORE_TOOLS] = _more_tools({"description": "Get other tools.", "parameters": {"type": "object"}})
        self.tools = list(self._ours.values())

    def before_model(self, state: VisualState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Give names to the pictures that have none yet."""
        images, refused = state.get("images", {}), state.get("refused_images", {})
        known = {place_of(record["message"], record["block"]) for record in images.values()} | refused.keys()
        new, wrong, changed = dict[str, ImageRecord](), dict[str, str](), list[AnyMessage]()

        def record(file: bytes, size: tuple[int, int], message: AnyMessage, block: int, call: Mapping[str, Any]) -> str:
            name = f"image_{len(images) + len(new) + 1}"
            new[name] = ImageRecord(
                file=file,
                width=size[0],
                height=size[1],
                message=str(message.id),
                block=block,
                tool=call.get("name", ""),
                arguments=dict(call.get("args", {})),
            )
            return name

        for message in state["messages"]:
            for place, block in pictures_in(message):
                key = place_of(str(message.id), place)
                if key in known:
                    continue
                try:
                    file = picture_file(block)
                    record(file, load_image(file).size, message, place, {})
                except ImageRejected as error:
                    wrong[key] = error.reason
            if files := self._files_of(message):
                call = _call_of(state["messages"], message)
                sizes = [opened(file).size for file in files]
                names = [
                    record(file, size, message, -1 - at, call)
                    for at, (file, size) in enumerate(zip(files, sizes, strict=True))
                ]
                changed.append(_with_names(message, names))
        update = {"images": new, "refused_images": wrong, "messages": changed}
        return {key: value for key, value in update.items() if value} or None

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Tell the model the names of pictures, show it what tools made, and offer it some of the tools."""
        return handler(self._asked(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        return await handler(await asyncio.to_thread(self._asked, request))

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Put pictures in the place of their names, and what goes wrong into a result with the status "error"."""
        if not self._is_ours(request):
            return handler(request)
        try:
            if request.tool_call["name"] == MORE_TOOLS:
                return self._more(request)
            return _with_files(handler(self._with_pictures(request)))
        except GenLlavaError as error:
            return _failed(request, error)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """As `wrap_tool_call`."""
        if not self._is_ours(request):
            return await handler(request)
        try:
            if request.tool_call["name"] == MORE_TOOLS:
                return self._more(request)
            ready = await asyncio.to_thread(self._with_pictures, request)
            return await asyncio.to_thread(_with_files, await handler(ready))
        except GenLlavaError as error:
            return _failed(request, error)

    def _asked(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request as the model gets it."""
        state: Mapping[str, Any] = request.state
        images: Images = state.get("images", {})
        usable = {
            name: says
            for name, says in self._says.items()
            if images or not set(self._visual[name].schema()["required"]) & set(self._visual[name].pictures)
        }
        offer = choose(usable, state.get("asked_tools", []), self._at_most)
        offered = [self._ours[name] for name in offer.names]
        offered += [_more_tools(offer.more_tools)] if offer.more_tools is not None else []
        others = list[Any]()
        for tool in request.tools:
            name = tool.get("name") if isinstance(tool, dict) else tool.name
            if name in self._ours and tool is not self._ours[name]:
                raise ToolNameTaken(
                    f"the agent has a tool {name!r} of its own: name the visual tools that it should have, "
                    "VisualToolsMiddleware(tools=[...])"
                )
            others += [] if name in self._ours else [tool]
        messages = told(request.messages, images, state.get("refused_images", {}), self._show, self._most_shown)
        return request.override(messages=messages, tools=[*others, *offered])

    def _is_ours(self, request: ToolCallRequest) -> bool:
        return request.tool is not None and self._ours.get(request.tool_call["name"]) is request.tool

    def _with_pictures(self, request: ToolCallRequest) -> ToolCallRequest:
        """A call with pictures in the place of their names.

        Raises:
            InvalidRequest: there is no such picture.
        """
        images: Images = request.state.get("images", {})

        def found(name: object) -> Image.Image:
            if not isinstance(name, str) or name not in images:
                there = f"there are {', '.join(list(images)[-20:])}" if images else "there are no pictures yet"
                raise InvalidRequest(f"no picture {str(name)[:64]!r}: {there}")
            return opened(images[name]["file"])

        call = request.tool_call
        given = self._visual[call["name"]].with_pictures(call["args"], found)
        return request.override(tool_call={**call, "args": given})

    def _files_of(self, message: AnyMessage) -> list[bytes]:
        """The files in a result of a visual tool whose pictures have no names yet."""
        if not isinstance(message, ToolMessage) or message.name not in self._visual or named_in(message):
            return []
        listed = message.artifact.get(IMAGES, []) if isinstance(message.artifact, Mapping) else []
        return [each for each in listed if isinstance(each, bytes)]

    def _more(self, request: ToolCallRequest) -> Command[Any]:
        names = asked_for(request.tool_call["args"], self._says)
        said = f"You can call these now: {', '.join(names)}."
        message = ToolMessage(said, tool_call_id=request.tool_call["id"], name=MORE_TOOLS)
        return Command(update={"messages": [message], "asked_tools": names})


def picture(state: Mapping[str, Any], name: str) -> Image.Image:
    """A picture of a thread, as RGB, or as RGBA where it has transparency.

    Args:
        state: what the agent returned, or the values of its state.
        name: of the picture, such as image_1.

    Raises:
        InvalidRequest: there is none of that name.
    """
    images: Images = state.get("images", {})
    if name not in images:
        raise InvalidRequest(f"no picture {name!r}: there are {', '.join(images) or 'none'}")
    return opened(images[name]["file"])


def _by_name(tool: VisualTool, dialect: Dialect) -> StructuredTool:
    """A visual tool whose schema says that pictures are given by their names."""
    made = as_langchain(tool, dialect)
    schema: Any = made.args_schema
    return made.model_copy(update={"args_schema": {**schema, **tool.named_schema(dialect)}})


def _more_tools(offered: Mapping[str, Any]) -> StructuredTool:
    """The tool that offers others; it is carried out by the middleware."""

    def more_tools(**arguments: Any) -> str:
        raise ToolFailed(f"{MORE_TOOLS} is carried out by VisualToolsMiddleware, which this agent has not")

    schema = {"title": MORE_TOOLS, "properties": {}, **offered["parameters"]}
    return StructuredTool(name=MORE_TOOLS, description=offered["description"], args_schema=schema, func=more_tools)


def _with_files(result: ToolMessage | Command[Any]) -> ToolMessage | Command[Any]:
    """A result with pictures as PNG files, as checkpoints can keep them."""
    if not isinstance(result, ToolMessage) or not isinstance(result.artifact, Mapping):
        return result
    files = [png_bytes(each) for each in result.artifact.get(IMAGES, [])]
    return result.model_copy(update={"artifact": {**result.artifact, IMAGES: files}})


def _with_names(message: AnyMessage, names: Sequence[str]) -> ToolMessage:
    """A result that says the names of its pictures, and has them in the place of the files."""
    assert isinstance(message, ToolMessage), "a result"
    said = " ".join([str(message.text), *(f"{name} was made." for name in names)])
    return message.model_copy(update={"content": said, "artifact": {**message.artifact, IMAGES: list(names)}})


def _call_of(messages: Sequence[AnyMessage], result: AnyMessage) -> Mapping[str, Any]:
    """The call that a result answers."""
    wanted = getattr(result, "tool_call_id", None)
    calls = (call for message in messages for call in getattr(message, "tool_calls", []))
    return next((call for call in calls if call["id"] == wanted), {})


def _failed(request: ToolCallRequest, error: GenLlavaError) -> ToolMessage:
    if isinstance(error, ToolFailed):
        _log.error("%s", error, exc_info=error)
    call = request.tool_call
    said = " ".join(str(error).split())
    return ToolMessage(said, tool_call_id=call["id"], name=call["name"], status="error")
