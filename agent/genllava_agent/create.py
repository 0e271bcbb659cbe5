"""How an agent is put together: its model, who decides, its tools, and where its pictures are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from genllava.errors import InvalidRequest
from genllava_agent.settings import TurnSettings, checked

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore

    from genllava import GenLlavaPipeline
    from genllava_agent.deciders.base import Decider
    from genllava_agent.engine import Engine
    from genllava_agent.nodes.base import AgentParts
    from genllava_agent.stores.base import Artifacts, Store

CALL_TOOLS: Final = ("tool_calls", "genllava")
"""Protocols of models that call tools."""


def create_genllava_agent(
    model: str | Path | GenLlavaPipeline | None = None,
    tools: Sequence[BaseTool | Callable[..., Any]] | Literal["visual"] | None = None,
    *,
    decider: Decider | BaseChatModel | None = None,
    interrupt_on: Mapping[str, Any] | None = None,
    checkpointer: BaseCheckpointSaver[Any] | bool | None = None,
    store: BaseStore | None = None,
    artifacts: str | Path | Store | None = None,
    picture_url: str = "",
    name: str = "genllava",
    **options: Any,
) -> CompiledStateGraph[Any, TurnSettings, Any, Any]:
    """An agent that sees, draws, edits and uses tools, as a compiled LangGraph graph.

    Messages go in and come out; each turn adds the calls that were decided on, their results, and a reply. Pictures are
    taken as content blocks of any common form. On a thread (a checkpointer and a `thread_id`) they are kept as
    artifacts and messages refer to them; without one replies have them as base64.

    Args:
        model: a folder made by `save_pretrained`, `owner/name` on the hub, a pipeline, or None for the model that ships
            with the package. Nothing is loaded before the first request.
        tools: LangChain tools, visual tools, or functions that become tools; a tool gets PIL images for arguments that
            are annotated so, or named in its metadata (`{"images": ["image"]}`). "visual": those of `genllava_tools`
            that can run here. None: these for a model that calls tools (a stock one by its chat template, or one of the
            protocol `genllava`), and none for one that has not learnt to, as the one that ships; `()`: none.
        decider: who decides in the model's place: a LangChain chat model with tool calling, or a `Decider`.
        interrupt_on: calls that wait for the user's word, by name: `{"edit": True, "my_tool": True}`. The interrupt is
            that of LangChain's human-in-the-loop, and is answered with `{"decisions": [{"type": "approve"}]}`.
        checkpointer: as for LangGraph's own `compile`.
        store: as for LangGraph's own `compile`.
        artifacts: where the pictures of threads are kept: a folder, `:memory:`, `postgresql://...`, or None for this
            user's data folder.
        picture_url: links to pictures go into replies, for front ends that show text alone: they begin with this
            address, see `interop.studio`.
        name: of the graph.
        **options: of every turn, see `TurnSettings`; a run may have others as its `context`.

    Raises:
        InvalidRequest: an option that does not exist, a tool that is none, a checkpointer without delta channels.
    """
    from genllava_agent.graph import build_graph

    waits = [call for call, wanted in (interrupt_on or {}).items() if wanted]
    known = ("understand", "generate", "edit", "tool")
    named = [call if call in known or call.startswith("tool:") else f"tool:{call}" for call in waits]
    approve = [*_listed(options.pop("approve", ())), *named]
    settings = checked({**options, **({"approve": tuple(approve)} if approve else {})})
    if checkpointer is not None and not isinstance(checkpointer, bool):
        check_checkpointer(checkpointer)
    made = as_tools(tools)
    check_decider(decider)
    check_approvals(settings, made)
    opened = _Opened(artifacts)
    parts = agent_parts(model, None, made, decider, settings, opened.artifacts)
    parts.picture_url = picture_url.rstrip("/")
    return build_graph(parts, checkpointer, store, name)


def agent_parts(
    model: Any,
    device: str | None,
    tools: Mapping[str, BaseTool],
    decider: Any,
    settings: TurnSettings,
    artifacts: Callable[[str], Artifacts],
) -> AgentParts:
    """The parts that the nodes of a graph share; nothing is loaded."""
    from genllava_agent.engine import Engine
    from genllava_agent.nodes.base import AgentParts

    engine = Engine(partial(_load, model, device))
    return AgentParts(engine, DeciderOf(engine, decider, tools), tools, settings, artifacts)


class DeciderOf:
    """Gives who decides: what was given, or what fits the model. It is made when something is first decided.

    Args:
        given: None, a decider, or a LangChain chat model.
    """

    def __init__(self, engine: Engine, given: Any, tools: Mapping[str, BaseTool]) -> None:
        self.engine, self.given, self._tools = engine, given, tools
        self._made: Decider | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Decider:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Decider:
        if self.given is not None and hasattr(self.given, "decide"):
            return self.given  # type: ignore[no-any-return]
        pipeline, tools = self.engine.pipeline, self._tools
        if isinstance(tools, VisualTools):
            if tools.asked or self.given is not None or pipeline.protocol.name in CALL_TOOLS:
                tools.make(pipeline)
            else:
                tools = {}
        if self.given is not None:
            from genllava_agent.deciders.chat_model import ChatModel

            return ChatModel(self.given, tools)
        if self.engine.has_stream:
            from genllava_agent.deciders.task_tokens import TaskTokens

            return TaskTokens(tools)
        if pipeline.protocol.name == "genllava":
            from genllava_agent.deciders.finetuned import Finetuned

            return Finetuned(pipeline, tools)
        from genllava_agent.deciders.tool_calls import ToolCalls

        return ToolCalls(pipeline, tools)

    def __getstate__(self) -> dict[str, Any]:
        return {"engine": self.engine, "given": self.given, "_tools": self._tools}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["engine"], state["given"], state["_tools"])  # type: ignore[misc]


def check_decider(given: Any) -> None:
    """Raises:
    InvalidRequest: it is not None, no decider and no LangChain chat model.
    """
    if given is not None and not hasattr(given, "decide") and not hasattr(given, "bind_tools"):
        raise InvalidRequest(f"decider={given!r} cannot decide: give a LangChain chat model with tool calling")


class VisualTools(Mapping[str, "BaseTool"]):
    """The visual tools that can run here; made when they are first needed.

    Args:
        asked: for any model, and not only for one that calls tools.
    """

    def __init__(self, asked: bool = False) -> None:
        self.asked = asked

    def make(self, pipeline: GenLlavaPipeline) -> None:
        """Make them for an agent that draws with this pipeline, which may be what some of them need."""
        from genllava_tools.drawing import drawing_with

        with drawing_with(pipeline):
            _ = self._made

    @cached_property
    def _made(self) -> Mapping[str, BaseTool]:
        from genllava_tools import visual_tools

        return as_tools(visual_tools())

    def __getitem__(self, name: str) -> BaseTool:
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __reduce__(self) -> Any:
        return VisualTools, (self.asked,)


def as_tools(given: Sequence[Any] | Literal["visual"] | None) -> Mapping[str, BaseTool]:
    """Tools by name; functions become tools. Visual tools that do what the agent does itself are left out.

    Raises:
        InvalidRequest: one is no tool, or is called as another one or as a verb is.
        ToolUnavailable: a visual tool cannot run here.
    """
    from langchain_core.tools import BaseTool, tool

    from genllava.protocols.verbs import EDIT, GENERATE
    from genllava_agent.deciders.offers import IN_THREAD
    from genllava_agent.records import Verb
    from genllava_tools import ToolUnavailable, VisualTool, as_langchain

    if given is None or given == "visual":
        return VisualTools(asked=given is not None)
    if isinstance(given, str):
        raise InvalidRequest(f"tools={given!r} are none: give a list of tools, or 'visual'")
    taken, made = {*get_args(Verb), GENERATE, EDIT, *IN_THREAD}, dict[str, BaseTool]()
    for each in given:
        if isinstance(each, VisualTool):
            if each.missing:
                raise ToolUnavailable(f"{each.name} {each.missing}")
            each = as_langchain(each)
        if not isinstance(each, BaseTool):
            if not callable(each) or isinstance(each, type):
                raise InvalidRequest(f"{each!r} is no tool: make it one with langchain_core.tools.tool")
            try:
                each = tool(each)
            except ValueError as error:
                raise InvalidRequest(f"{each!r} is no tool: {error}") from None
        if each.name in (GENERATE, EDIT) and (each.metadata or {}).get("kind") == "draw":
            continue
        if each.name in taken or each.name in made:
            named = f"{each.name!r}, as another one is ({', '.join(sorted(taken))} are taken)"
            raise InvalidRequest(f"a tool cannot be called {named}: rename it")
        made[each.name] = each
    return made


def check_approvals(settings: TurnSettings, tools: Mapping[str, Any]) -> TurnSettings:
    """Settings whose approvals, and the call that is made, are of tools that exist: a slip of the pen would let one run
    unasked.

    Raises:
        InvalidRequest: there is no such tool.
    """
    if settings.call is not None and settings.call.name not in tools:
        near = get_close_matches(settings.call.name, tools, 3) or list(tools)[:10]
        raise InvalidRequest(f"there is no tool {settings.call.name!r}: {', '.join(near) or 'none'}")
    for action in settings.approve:
        if action.startswith("tool:") and action.removeprefix("tool:") not in (*tools, *_thread_verbs()):
            known = [f"tool:{name}" for name in tools]
            names = ", ".join(get_close_matches(action, known, 5) or known[:10])
            raise InvalidRequest(f"cannot wait for approval of {action!r}: {names or 'there is no tool'}")
    return settings


def check_checkpointer(given: Any) -> None:
    """Raises:
    InvalidRequest: it is no checkpointer, or an old one, which cannot read channels that keep what was added.
    """
    from langgraph.checkpoint.base import BaseCheckpointSaver

    if not isinstance(given, BaseCheckpointSaver):
        raise InvalidRequest(f"checkpointer={given!r} is no LangGraph checkpointer")
    if not hasattr(given, "get_delta_channel_history"):
        raise InvalidRequest(
            f"the checkpointer {type(given).__name__} is too old: it cannot read delta channels, see "
            "langgraph-checkpoint>=4.3"
        )


class _Opened:
    """A place for artifacts that is opened when it is first needed."""

    def __init__(self, place: Any) -> None:
        self._place = place
        self._store: Store | None = None
        self._lock = threading.Lock()

    def artifacts(self, thread: str) -> Artifacts:
        """Of a thread."""
        from genllava_agent.stores import open_store

        with self._lock:
            if self._store is None:
                self._store = open_store(self._place)
            return self._store.artifacts(thread)

    def __getstate__(self) -> dict[str, Any]:
        return {"_place": self._place}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_place"])  # type: ignore[misc]


def _load(model: Any, device: str | None) -> GenLlavaPipeline:
    if model is not None and not isinstance(model, (str, os.PathLike)):
        return model  # type: ignore[no-any-return]
    from genllava_agent.loading import check_device, check_model, load_pipeline

    return load_pipeline(check_model(None if model is None else str(model)), check_device(device), quiet=False)


def _thread_verbs() -> Sequence[str]:
    from genllava_agent.deciders.offers import THREAD_VERBS

    return tuple(THREAD_VERBS)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
