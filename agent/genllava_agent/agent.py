"""The agent: one model, many threads."""

from __future__ import annotations

import copy
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genllava.errors import InvalidRequest
from genllava_agent.errors import ThreadNotFound

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph
    from PIL.Image import Image

    from genllava import GenLlavaPipeline
    from genllava_agent.deciders.base import Decider
    from genllava_agent.engine import Engine
    from genllava_agent.events import Event
    from genllava_agent.nodes.base import AgentParts
    from genllava_agent.reply import Reply
    from genllava_agent.running import Runner
    from genllava_agent.settings import TurnSettings
    from genllava_agent.stores.base import Artifacts, Store
    from genllava_agent.stores.waiting import Waiting
    from genllava_agent.threads import Thread


class VisualAgent:
    """An assistant that sees, draws and edits, and decides by itself which of these is asked of it.

        agent = VisualAgent()
        reply = agent("Draw a large red circle at the top left, then tell me what you see.")
        reply.text, reply.image, reply.steps
        reply.thread("Now make it blue.")

    Nothing is loaded before the first request.

    Args:
        model: a folder made by `save_pretrained`, `owner/name` on the hub, a pipeline, or None for the model that
            ships with the package.
        device: where to put it; a GPU if there is one.
        store: where threads are kept: a folder, `:memory:`, `postgresql://...`, or None for this user's data folder.
        checkpointer: any LangGraph saver, to keep conversations in that one; pictures and locks stay in the store.
        tools: LangChain tools, or functions, that may be called; "visual": those of `genllava_tools`, which a model
            that calls tools has anyhow where nothing is given. See `create_genllava_agent`.
        decider: who decides what is done: None is the model itself; a LangChain chat model with tool calling decides
            in its place.
        busy: what happens to a request while another turn of its thread is running: it is put in the `queue`, or is
            an `error` (`ThreadBusy`).
        **options: of every turn, see `TurnSettings`: approve, verify, margin, limits, previews, seed, ...

    Raises:
        InvalidRequest: an option that does not exist, or something that is no tool.
    """

    def __init__(
        self,
        model: str | Path | GenLlavaPipeline | None = None,
        *,
        device: str | None = None,
        store: str | Path | Store | None = None,
        checkpointer: BaseCheckpointSaver[Any] | None = None,
        tools: Sequence[BaseTool | Callable[..., Any]] | Literal["visual"] | None = None,
        decider: Decider | BaseChatModel | None = None,
        busy: Literal["queue", "error"] = "queue",
        **options: Any,
    ) -> None:
        from genllava_agent.create import as_tools, check_approvals, check_checkpointer, check_decider
        from genllava_agent.settings import checked

        if busy not in ("queue", "error"):
            raise InvalidRequest(f"busy={busy!r} cannot be: queue or error")
        settings = checked(options)
        if checkpointer is not None:
            check_checkpointer(checkpointer)
        self.model, self._device, self._store, self._checkpointer = model, device, store, checkpointer
        self.tools = as_tools(tools)
        check_decider(decider)
        self._decider = decider
        self.settings: TurnSettings = check_approvals(settings, self.tools)
        self._busy = busy
        self._begin()

    def _begin(self) -> None:
        self._making = threading.RLock()  # whatever is made when it is first needed is made once
        self._opened: Store | None = None
        self._parts: AgentParts | None = None
        self._runner: Runner | None = None

    # --- asking ---

    def __call__(self, text: str, images: Any = None, **options: Any) -> Reply:
        """Ask on a new thread; go on with `reply.thread(...)`. Arguments and errors as for `Thread`."""
        return self.thread()(text, images, **options)

    def stream(self, text: str, images: Any = None, **options: Any) -> Iterator[Event]:
        """Ask on a new thread, and hear what happens."""
        return self.thread().stream(text, images, **options)

    async def acall(self, text: str, images: Any = None, **options: Any) -> Reply:
        """Ask on a new thread."""
        return await self.thread().acall(text, images, **options)

    def astream(self, text: str, images: Any = None, **options: Any) -> AsyncIterator[Event]:
        """Ask on a new thread, and hear what happens."""
        return self.thread().astream(text, images, **options)

    def batch(
        self, texts: Sequence[str], images: Sequence[Any] | None = None, *, max_concurrency: int = 4, **options: Any
    ) -> list[Reply]:
        """Ask several things, each on a new thread, and wait for all of them.

        Raises:
            InvalidRequest: not as many pictures as texts, or what the first of them that fails raises.
        """
        pairs = _paired(texts, images)
        with ThreadPoolExecutor(max(1, max_concurrency)) as pool:
            return list(pool.map(lambda pair: self(*pair, **options), pairs))

    async def abatch(
        self, texts: Sequence[str], images: Sequence[Any] | None = None, *, max_concurrency: int = 4, **options: Any
    ) -> list[Reply]:
        """Ask several things, each on a new thread."""
        import asyncio

        pairs = _paired(texts, images)
        room = asyncio.Semaphore(max(1, max_concurrency))

        async def one(text: str, image: Any) -> Reply:
            async with room:
                return await self.acall(text, image, **options)

        asked = [asyncio.ensure_future(one(*pair)) for pair in pairs]
        try:
            return list(await asyncio.gather(*asked))
        finally:  # where one fails, nothing goes on behind the caller's back
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    # --- threads ---

    def thread(self, name: str | None = None, images: Any = None, *, must_exist: bool = False) -> Thread:
        """A thread by name; a new one if no name is given.

        Args:
            images: pictures that come with the first request.
            must_exist: refuse to begin one.

        Raises:
            ThreadNotFound: there is none of that name.
        """
        from genllava.requests import listed
        from genllava_agent.threads import Thread, new_name

        if must_exist and (name is None or not self.store.exists(name)):
            known = ", ".join(self.store.names()[:20]) or "none so far"
            raise ThreadNotFound(f"there is no thread {name!r}: {known}")
        thread = Thread(self, new_name() if name is None else name)
        thread._opened_with = listed(images)
        return thread

    def threads(self) -> list[str]:
        """The names of all threads."""
        return self.store.names()

    # --- for other people's programs ---

    @cached_property
    def graph(self) -> CompiledStateGraph[Any, TurnSettings, Any, Any]:
        """The compiled LangGraph graph, messages in and messages out, for use inside of other graphs: see
        `create_genllava_agent`. It has no checkpointer of its own, and takes that of the graph it runs in."""
        from genllava_agent.graph import build_graph

        return build_graph(self.parts)

    def picture(self, thread: str, block: Mapping[str, Any]) -> Image:
        """The picture that a content block of a message refers to, for graphs that this one runs in.

        Args:
            thread: the `thread_id` that the graph was run with.

        Raises:
            ImageRejected: the block refers to no picture.
            ThreadQuarantined: the thread does not have it.
        """
        from genllava.errors import ImageRejected
        from genllava_agent.messages import record_in

        record = record_in(block)
        if record is None:
            raise ImageRejected("this block refers to no picture of a thread: load_image() reads one with its bytes")
        return self.store.artifacts(thread).picture(record)

    def chat_model(self, **options: Any) -> BaseChatModel:
        """The agent as a LangChain chat model, with pictures in and out as content blocks."""
        from genllava_agent.interop.chat_model import ChatGenLlava

        own = {name: options.pop(name) for name in list(options) if name in ChatGenLlava.model_fields}
        return ChatGenLlava(agent=self, **{"options": options, **own})

    def as_tool(self, **options: Any) -> BaseTool:
        """The agent as a LangChain tool for other agents."""
        from genllava_agent.interop.as_tool import agent_tool

        return agent_tool(self, **options)

    # --- what it is made of ---

    @property
    def store(self) -> Store:
        """Where threads are kept."""
        from genllava_agent.stores import open_store

        with self._making:
            if self._opened is None:
                self._opened = open_store(self._store, self._checkpointer)
            return self._opened

    @property
    def parts(self) -> AgentParts:
        """What the nodes of its graph share."""
        from genllava_agent.create import agent_parts

        with self._making:
            if self._parts is None:
                self._parts = agent_parts(
                    self.model, self._device, self.tools, self._decider, self.settings, self._artifacts
                )
            return self._parts

    @property
    def engine(self) -> Engine:
        """The model, and what is kept of it between turns."""
        return self.parts.engine

    @property
    def runner(self) -> Runner:
        """Runs turns."""
        from genllava_agent.running import Runner

        with self._making:
            if self._runner is None:
                self._runner = Runner(self.graph, self.store, self.parts.run)
            return self._runner

    def share(self, thread: str, turns: set[str]) -> None:
        """Keep what is in memory of these turns for this thread as well, which goes on from them."""
        if self._parts is not None:
            self._parts.engine.live.share(thread, turns)

    def let_go(self, turn: str) -> None:
        """Forget the working memory of a turn that broke off."""
        if self._parts is not None:
            self._parts.sessions.pop(turn, None)

    def forget(self, thread: str) -> None:
        """Let go of what is in memory of this thread, and of no other one."""
        if self._parts is not None:
            self._parts.engine.live.forget(thread)

    def _artifacts(self, thread: str) -> Artifacts:
        return self.store.artifacts(thread)

    def settings_with(self, options: dict[str, Any]) -> TurnSettings:
        """The settings of a turn that is given some of its own.

        Raises:
            InvalidRequest: an option that does not exist, or a value that cannot be.
        """
        from genllava_agent.create import check_approvals

        return check_approvals(self.settings.with_options(options), self.tools)

    def waiting(self, cancel: Callable[[], bool] | None = None) -> Waiting:
        """How long a request waits for other turns of its thread."""
        from genllava_agent.stores.waiting import Waiting

        return Waiting(None if self._busy == "queue" else 0.0, cancel)

    def close(self) -> None:
        """Give connections back. What is stored stays."""
        with self._making:
            if self._opened is not None:
                self._opened.close()

    def __enter__(self) -> VisualAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<VisualAgent of {self.model or 'the shipped model'}>"

    def __getstate__(self) -> dict[str, Any]:
        """For copying and pickling: what it was made of, without what it has opened."""
        gone = ("_making", "_opened", "_parts", "_runner", "graph")
        return {name: value for name, value in self.__dict__.items() if name not in gone}

    def __deepcopy__(self, memo: dict[int, Any]) -> VisualAgent:
        return copy.copy(self)  # one model, however often an agent is copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()


def _paired(texts: Sequence[str], images: Sequence[Any] | None) -> list[tuple[str, Any]]:
    """Each request with its pictures.

    Raises:
        InvalidRequest: not lists, or not as many of the one as of the other.
    """
    if not isinstance(texts, (list, tuple)) or not isinstance(images, (list, tuple, type(None))):
        raise InvalidRequest("a batch is a list of requests, and a list with the pictures of each")
    shown = [None] * len(texts) if images is None else list(images)
    if len(shown) != len(texts):
        raise InvalidRequest(f"{len(texts)} requests and pictures for {len(shown)}: give one entry for each")
    return list(zip(texts, shown, strict=True))
