"""Blocking work in another thread, waited for by an event loop, which goes on meanwhile, or by whoever may get Ctrl-C;
whoever stops waiting stops the work."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final, TypeVar

T = TypeVar("T")
CALLER_LOOP: Final[ContextVar[asyncio.AbstractEventLoop | None]] = ContextVar("caller_loop", default=None)
"""The event loop of whoever waits for the work: what can only be awaited is awaited on it."""
POLL: Final = 0.05
"""Seconds after which it is looked again whether work is still wanted."""
_SLOW = 32
"""Things waiting to be heard before those are left out that may be."""
_END: Final = object()


def left_behind(work: Callable[[], T], watch: Callable[[], object]) -> T:
    """What work gives that is done in a thread of its own. Where `watch`, which is called again and again meanwhile,
    raises, or Ctrl-C comes, that thread is left behind, and what comes of it is ignored."""
    given, raised = list[T](), list[BaseException]()

    def do() -> None:
        try:
            given.append(work())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=[do], daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        if thread.is_alive():
            watch()
    if raised:
        raise raised[0]
    return given[0]


async def in_background(work: Callable[[Callable[[], bool]], T]) -> T:
    """Do blocking work in a thread of its own; if the task is cancelled, the work is told so and waited for."""
    stop = threading.Event()
    task = _alone(lambda: work(stop.is_set))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await _ended(task)
        raise


async def stream_in_background(
    start: Callable[[Callable[[], bool]], Iterator[T]], may_miss: Callable[[T], bool] = lambda heard: False
) -> AsyncGenerator[T]:
    """What blocking work yields, as it comes; to stop listening stops the work, and waits until it has.

    Args:
        may_miss: what a listener that is too slow does not need to hear.
    """
    stop, loop = threading.Event(), asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()

    def work() -> None:
        try:
            with contextlib.closing(start(stop.is_set)) as heard:  # type: ignore[type-var]
                for item in heard:
                    if not (may_miss(item) and queue.qsize() > _SLOW):
                        loop.call_soon_threadsafe(queue.put_nowait, (item,))
                    if stop.is_set():
                        return
            loop.call_soon_threadsafe(queue.put_nowait, None)
        except BaseException as error:
            loop.call_soon_threadsafe(queue.put_nowait, error)

    task = _alone(work)
    try:
        while (heard := await queue.get()) is not None:
            if isinstance(heard, BaseException):
                raise heard
            yield heard[0]
    finally:
        stop.set()
        await _ended(task)


async def _ended(work: asyncio.Future[Any]) -> None:
    """Wait for work that was told to stop, whatever becomes of it, and however often its caller is cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if not work.cancelled():
        work.exception()  # nobody else asks for it
    if cancelled is not None:
        raise cancelled


def _alone(work: Callable[[], T]) -> asyncio.Future[T]:
    """Begin work in a thread of its own; asyncio has a few for all, which turns that wait for each other would hold."""
    worker, context, loop = ThreadPoolExecutor(1), contextvars.copy_context(), asyncio.get_running_loop()
    context.run(CALLER_LOOP.set, loop)
    future = loop.run_in_executor(worker, context.run, work)
    worker.shutdown(wait=False)  # it takes nothing more
    return future


class Elsewhere(Iterator[T]):
    """What blocking work yields, each item worked for in a thread of its own when it is asked for.

    Ctrl-C comes to whoever waits, and not into the middle of the work: that can be told to stop before it is closed.
    """

    def __init__(self, items: Generator[T]) -> None:
        self._items, self._context = items, _context()
        self._worker = ThreadPoolExecutor(1)

    def __next__(self) -> T:
        item: Any = self._worker.submit(self._context.run, lambda: next(self._items, _END)).result()
        if item is _END:
            raise StopIteration
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the work, as soon as it has come to its next item or has stopped, and the thread with it."""
        try:
            self._worker.submit(self._context.run, self._items.close).result()
        except RuntimeError:  # it was closed before, or the program ends; then nothing is being worked for
            self._items.close()
        finally:
            self._worker.shutdown()


def outside() -> contextvars.Context:
    """The present context without the graph that is running in it: what runs in there is no part of that graph."""
    from langchain_core.runnables.config import var_child_runnable_config

    context = _context()
    context.run(var_child_runnable_config.set, None)
    return context


def _context() -> contextvars.Context:
    """The present context; an event loop of this thread stands still while it waits, and cannot await anything."""
    context = contextvars.copy_context()
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        context.run(CALLER_LOOP.set, None)
    return context


def quiet(callbacks: Any) -> dict[str, Any]:
    """The part of a config by which callbacks of a run hear of another one in it, whose messages are not streamed as
    those of the first."""
    if callbacks is None:
        return {}
    from langchain_core.callbacks import CallbackManager

    parent = getattr(callbacks, "run_id", None) or callbacks.parent_run_id
    manager = CallbackManager(
        callbacks.handlers, callbacks.inheritable_handlers, parent_run_id=parent, inheritable_tags=["nostream"],
        inheritable_metadata=callbacks.inheritable_metadata,
    )  # fmt: skip
    return {"tags": ["nostream"], "callbacks": manager}


def heard_outside(start: Callable[[], Iterator[T]]) -> Generator[T]:
    """What `start` yields, all of it run `outside`."""
    context = outside()
    items = context.run(start)
    try:
        while True:
            try:
                item = context.run(next, items)
            except StopIteration:
                return
            yield item
    finally:
        if hasattr(items, "close"):
            context.run(items.close)
