"""Drawings of several requests in one call of the model, which draws eight at once in a third of the time.

Nothing is waited for: what has come in while the model was busy is drawn together next, and a request that comes
alone is drawn at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import Cancelled
from genllava_agent.serving.metrics import Metrics

if TYPE_CHECKING:
    from PIL import Image

    from genllava import Drawing
    from genllava_agent.engine import Engine

_PAUSE: Final = 0.001
"""Seconds between two batches, in which a chat that waits for the model gets it."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One picture to be drawn.

    Attributes:
        prompt: what is drawn, or how `source` is changed.
        source: the picture to edit; None for a new one.
        seed: of its noise.
        options: of the pipeline; jobs with the same ones are drawn together.
        drawn: what comes of it.
        dropped: nobody waits for it any more.
    """

    prompt: str
    source: Image.Image | None
    seed: int
    options: tuple[tuple[str, int], ...] = ()
    drawn: Future[Drawing] = field(default_factory=Future)
    dropped: threading.Event = field(default_factory=threading.Event)

    def goes_with(self, other: Job) -> bool:
        """Whether both can be drawn in one call."""
        return self.options == other.options and (self.source is None) == (other.source is None)


class Batcher:
    """Draws what is asked for, in a thread of its own, several at once.

    Args:
        engine: the model; it is held during each batch.
        most: drawings at once.
        metrics: are told of each batch.
    """

    def __init__(self, engine: Engine, most: int, metrics: Metrics) -> None:
        self._engine, self._most, self._metrics = engine, most, metrics
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="drawing", daemon=True)
        self._thread.start()

    async def draw(self, jobs: Sequence[Job]) -> list[Drawing]:
        """What comes of these jobs. Where their caller is cancelled, they are dropped.

        Raises:
            what the pipeline raises for one of them.
        """
        with self._changed:
            self._jobs.extend(jobs)
            self._metrics.waiting.set(len(self._jobs))
            self._changed.notify()
        try:
            return list(await asyncio.gather(*(asyncio.wrap_future(job.drawn) for job in jobs)))
        finally:
            for job in jobs:  # those that are done do not mind
                job.dropped.set()

    @property
    def alive(self) -> bool:
        """Whether it still draws."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Draw nothing more; the batch that is being drawn is given up."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.dropped.set()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                batch = self._next_batch()
            if batch:
                self._draw(batch)
                time.sleep(_PAUSE)

    def _next_batch(self) -> list[Job]:
        """The job that has waited longest, and those that can be drawn with it; the others stay in their order."""
        wanted = [job for job in self._jobs if not job.dropped.is_set()]
        most = self._most if wanted and (wanted[0].source is None or self._engine.has_stream) else 1
        fitting = [job for job in wanted if job.goes_with(wanted[0])][:most]  # stock editors take one after another
        taken = set(map(id, fitting))
        self._jobs = deque(job for job in wanted if id(job) not in taken)
        self._metrics.waiting.set(len(self._jobs))
        return [job for job in fitting if job.drawn.set_running_or_notify_cancel()]

    def _draw(self, batch: Sequence[Job]) -> None:
        """Draw a batch; where that fails, each by itself, so that nobody has another one's error."""
        try:
            drawings = self._drawn(batch)
        except Exception as fault:
            if len(batch) == 1:
                batch[0].drawn.set_exception(fault)
                return
            for job in batch:
                self._draw([job])
            return
        for job, drawing in zip(batch, drawings, strict=True):
            job.drawn.set_result(drawing)

    def _drawn(self, batch: Sequence[Job]) -> list[Drawing]:
        def gone() -> bool:
            return self._closed or all(job.dropped.is_set() for job in batch)

        if gone():
            raise Cancelled("nobody waits for these pictures")
        prompts, seeds = [job.prompt for job in batch], [job.seed for job in batch]
        sources = [job.source for job in batch if job.source is not None]
        options: Any = {**dict(batch[0].options), "cancel": gone}
        with self._engine.held(gone):
            self._metrics.batches.observe(len(batch))
            pipeline = self._engine.pipeline
            if sources:
                return list(pipeline.edit(sources, prompts, seed=seeds, **options))
            return list(pipeline.generate(prompts, seed=seeds, **options))
