"""Asking a chat model many things, a bounded number at a time: each answer goes to the ledger before it is used."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from genllava.errors import GenLlavaError
from genllava_finetune.curate.answers import Answer, Reading, api_refusal, read_answer, schema_of
from genllava_finetune.curate.faults import Fault, fault_of
from genllava_finetune.curate.ledger import Entry, Ledger, Status, request_key
from genllava_finetune.curate.prompting import Prompt, read_prompt

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

Item = TypeVar("Item")
Result = TypeVar("Result")
Ask = Callable[["Request"], Awaitable[Entry]]
"""Gives the last answer to a request: its status is "ok", "invalid" or "refused"."""

_GO_ON: Final = "What is answered is kept: run the same command again to go on"
_LONGEST_WAIT: Final = 600.0
"""Seconds that are waited when a server asks for it; one that asks for more ends the run."""
_FAILURES_IN_A_ROW: Final = 10
"""After so many requests without an answer the run ends: the server is down, or the limit is used up."""


class Stopped(GenLlavaError):
    """The run ended before its work was done, and can go on: a budget is used up, or the model cannot be reached."""


class BudgetUsed(Stopped):
    """The requests or tokens of the run are used up."""


class Unanswered(GenLlavaError):
    """A request got no answer, also when it was repeated; it is asked again when the command is next run."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model.

    Attributes:
        step: of the pipeline, such as "llava.detail".
        prompt: how it is asked.
        values: what stands in the prompt's places.
        form: of the answer.
        replicate: tells apart requests that are otherwise the same and shall each get their own answer.
    """

    step: str
    prompt: Prompt
    values: Mapping[str, str]
    form: type[Answer]
    replicate: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use.

    Attributes:
        max_requests: HTTP requests, with those that are repeated; None: any number.
        max_tokens: tokens in and out; requests that are under way when it is reached are finished. None: any number.
        concurrency: requests at a time.
        retries: times that a request without an answer is repeated.
        repairs: times that the model is asked to put right an answer that is not of the form.
        timeout: seconds for an answer.
        first_wait: seconds before the first repetition, doubled for each further one, with jitter.
    """

    max_requests: int | None = None
    max_tokens: int | None = None
    concurrency: int = 8
    retries: int = 5
    repairs: int = 1
    timeout: float = 120.0
    first_wait: float = 0.5


@dataclass(slots=True)
class Asking:
    """A chat model with its ledger.

    Attributes:
        model: any LangChain chat model; None: nothing is asked, and what the ledger lacks is `Unanswered`.
        ledger: open for writing.
        name: of the model, with its provider.
        params: what else an answer depends on, such as the temperature.
        limits: of this run.
        structured: use the provider's structured output, where there is any.
        sent: requests of this run.
        tokens: of this run; where a provider does not say, four characters are counted as one.
        statuses: how the requests of this run, and those that were answered before, ended.
        progress: called after each.
    """

    model: BaseChatModel | None
    ledger: Ledger
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    structured: bool = True
    sent: int = 0
    tokens: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    progress: Callable[[Asking], None] = lambda asking: None
    _stop: Exception | None = None
    _resume_at: float = 0.0
    _failures: int = 0
    _under_way: dict[str, asyncio.Lock] = field(default_factory=dict)
    _runnables: dict[type[Answer], Any] = field(default_factory=dict)

    async def map(self, job: Callable[[Ask, Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
        """What a job gives for each item, in their order.

        Args:
            job: asks one thing after the other, and nothing that it does depends on other items.

        Raises:
            Stopped: the run ends here: a budget is used up, or there are requests without an answer. Requests that
                were under way have been finished, and are kept.
            DataError: the ledger cannot be written.
        """
        results, source, unanswered = dict[int, Result](), enumerate(items), list[Unanswered]()

        async def work() -> None:
            for index, item in source:
                try:
                    results[index] = await job(self.ask, item)
                except Unanswered as error:
                    unanswered.append(error)
                except Exception as error:  # the other requests that are under way are finished before it is raised
                    self._stop = self._stop or error
                if self._stop is not None:
                    return

        await asyncio.gather(*(work() for _ in range(self.limits.concurrency)))
        if isinstance(self._stop, BudgetUsed):
            raise self.budget_used()  # with what was under way
        if self._stop is not None:
            raise self._stop
        if unanswered:
            raise Stopped(f"{len(unanswered)} requests got no answer, the first: {unanswered[0]}. {_GO_ON}")
        return [results[index] for index in sorted(results)]

    async def remember(self, step: str, inputs: Mapping[str, Any], compute: Callable[[], Awaitable[Any]]) -> Any:
        """A result that later requests depend on and that might come out otherwise the next time: from the ledger, or
        computed and put there.

        Args:
            inputs: all that it depends on.
        """
        key = request_key({"step": step, "inputs": dict(inputs)})
        entry = self.ledger.latest(key)
        if entry is None:
            entry = Entry(key, step, 1, "ok", parsed=await compute())
            self.ledger.add(entry)
        return entry.parsed

    async def ask(self, request: Request) -> Entry:
        """The last answer to a request: from the ledger, or the model's.

        Raises:
            Unanswered: there is none.
            Stopped: the run ends.
        """
        key = self.key(request)
        async with self._under_way.setdefault(key, asyncio.Lock()):  # the same request twice at a time is asked once
            entry = self.ledger.latest(key)
            while entry is None or (entry.status == "invalid" and entry.attempt <= self.limits.repairs):
                if self.model is None:
                    raise Unanswered("it is not in the ledger")
                entry = await self._answer(request, key, entry)
        self._under_way.pop(key, None)
        self.statuses[entry.status] += 1
        self.progress(self)
        return entry

    def key(self, request: Request) -> str:
        """The name of the request in the ledger."""
        return request_key(
            {
                "step": request.step,
                "inputs": dict(request.values),
                "prompt": request.prompt.label,
                "form": schema_of(request.form),
                "model": self.name,
                "params": dict(self.params),
                "replicate": request.replicate,
            }
        )

    def budget_used(self) -> BudgetUsed:
        """What to say where the budget is used up."""
        spent = f"{self.sent} requests, {self.tokens} tokens"
        return BudgetUsed(f"the budget of this run is used up: {spent}. {_GO_ON}")

    async def _answer(self, request: Request, key: str, earlier: Entry | None) -> Entry:
        """Ask once, repeating what fails on the way; the entry is in the ledger when this returns."""
        messages = self._messages(request, earlier)
        attempt = 1 if earlier is None else earlier.attempt + 1
        started, tries = time.monotonic(), 0
        while True:
            await self._turn()
            try:
                async with asyncio.timeout(self.limits.timeout):
                    text, reading, usage = await self._invoke(messages, request.form)
                break
            except Exception as error:
                fault = fault_of(error, self._secrets())
            if fault.kind == "request" and len(self.ledger) == 0:
                fault = Fault("stop", f"the provider rejects the request: {fault.reason}")
            if fault.kind in ("refused", "invalid", "request"):
                status: Status = "refused" if fault.kind == "refused" else "invalid"
                text, reading, usage = "", Reading(status, reason=fault.reason), None
                break
            tries += 1
            if fault.kind == "stop" or tries > self.limits.retries:
                self._give_up(request, key, attempt, fault, time.monotonic() - started)
            await self._wait(fault, tries)
        self._failures = 0
        self.tokens += sum(usage.values()) if usage else (len(text) + sum(len(str(m.content)) for m in messages)) // 4
        seconds = round(time.monotonic() - started, 3)
        entry = Entry(
            key, request.step, attempt, reading.status, text, reading.parsed, reading.reason, usage, seconds,
            request.prompt.label, self.name,
        )  # fmt: skip
        self.ledger.add(entry)
        return entry

    async def _invoke(
        self, messages: list[BaseMessage], form: type[Answer]
    ) -> tuple[str, Reading, dict[str, int] | None]:
        """Words, what they say, and tokens of one answer."""
        runnable = self._runnable(form)
        reply: Any = await runnable.ainvoke(messages)
        if isinstance(reply, Mapping):
            reply = reply["raw"]  # and not what LangChain parsed: it takes an answer that was cut off for a whole one
        given = reply.tool_calls[0]["args"] if reply.tool_calls else None
        said = (str(reply.text), "" if given is None else json.dumps(given, ensure_ascii=False))
        text = "\n".join(filter(None, said))
        reading = read_answer(form, text, given)
        if refusal := api_refusal(reply):
            reading = Reading("refused", reason=refusal)
        found = reply.usage_metadata
        usage = {name: int(found[name]) for name in ("input_tokens", "output_tokens")} if found else None
        return text, reading, usage

    def _runnable(self, form: type[Answer]) -> Any:
        """What is called: the model, with the provider's structured output where it has any."""
        assert self.model is not None
        if form not in self._runnables:
            self._runnables[form] = self.model
            if self.structured:
                with suppress(NotImplementedError):  # the model's class has none: the words are read
                    self._runnables[form] = self.model.with_structured_output(schema_of(form), include_raw=True)
        return self._runnables[form]

    def _messages(self, request: Request, earlier: Entry | None) -> list[BaseMessage]:
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

        form = read_prompt("form").fill({"schema": json.dumps(schema_of(request.form), ensure_ascii=False)})
        messages: list[BaseMessage] = [SystemMessage(f"{request.prompt.system.strip()}\n\n{form.strip()}")]
        messages.append(HumanMessage(request.prompt.fill(request.values)))
        if earlier is not None and earlier.answer:
            messages.append(AIMessage(earlier.answer))
            messages.append(HumanMessage(read_prompt("repair").fill({"problem": earlier.reason})))
        return messages

    async def _turn(self) -> None:
        """Wait while the server asked for it; then take a request from the budget."""
        while (seconds := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(seconds)
        limits = self.limits
        used = limits.max_requests is not None and self.sent >= limits.max_requests
        if self._stop is None and (used or (limits.max_tokens is not None and self.tokens >= limits.max_tokens)):
            self._stop = self.budget_used()
        if self._stop is not None:
            raise self._stop
        self.sent += 1

    async def _wait(self, fault: Fault, tries: int) -> None:
        """Wait before a repetition: as long as the server says, else longer each time."""
        if fault.wait is not None and fault.wait > _LONGEST_WAIT:
            self._stop = Stopped(f"the server asks to wait {fault.wait:.0f} seconds. {_GO_ON} then")
            raise self._stop
        seconds = min(self.limits.first_wait * 2 ** (tries - 1), 60.0) * random.uniform(0.5, 1.5)
        if fault.wait is not None:
            seconds = fault.wait + min(seconds, 1.0)
        if fault.limited:  # all who ask wait, and not only this one
            self._resume_at = max(self._resume_at, time.monotonic() + (fault.wait or 0.0))
        await asyncio.sleep(seconds)

    def _give_up(self, request: Request, key: str, attempt: int, fault: Fault, seconds: float) -> None:
        """Note a request without an answer.

        Raises:
            Unanswered: always, unless the run ends.
            Stopped: no request can succeed, or the last ones all failed.
        """
        if fault.kind == "stop":
            self._stop = self._stop or Stopped(f"{fault.reason}. {_GO_ON}")
            raise self._stop
        self.statuses["error"] += 1
        reason, seconds = fault.reason, round(seconds, 3)
        self.ledger.add(
            Entry(key, request.step, attempt, "error", "", None, reason, None, seconds, request.prompt.label, self.name)
        )
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            self._stop = self._stop or Stopped(f"{self._failures} requests in a row got no answer ({reason}). {_GO_ON}")
            raise self._stop
        raise Unanswered(reason)

    def _secrets(self) -> tuple[str, ...]:
        """API keys of the model, which must not be written anywhere."""
        values = list(vars(self.model).values()) if self.model is not None else []
        found = [value.get_secret_value() for value in values if hasattr(value, "get_secret_value")]
        return tuple(secret for secret in found if isinstance(secret, str) and secret)
