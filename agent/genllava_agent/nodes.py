"""The nodes of the graph. Each is a function of the state: what else it needs, the session makes from the state.

What the model says next decides where the graph goes; limits, approvals and faults are the graph's own.
"""

from __future__ import annotations

import re
from contextlib import nullcontext, suppress
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.messages import AIMessage
from langgraph.errors import NodeError
from langgraph.runtime import Runtime, get_runtime
from langgraph.types import Command, Overwrite

from genllava.errors import Cancelled, ImageRejected, InvalidRequest
from genllava.protocols.shapes.layout import noted_caption
from genllava_agent import answers, events
from genllava_agent.deciders import Decision, needs_model, speaks
from genllava_agent.errors import StoreFailed, ThreadQuarantined
from genllava_agent.inbox import receive, reopen
from genllava_agent.questions import Approval, Clarification, ask, ask_approval, ask_meaning
from genllava_agent.records import ImageRecord, Kind, Step, Tried, image_name
from genllava_agent.session import Meter, Session, Spent, Trial, full, meter_fields, no_more_pictures, spent_limit
from genllava_agent.settings import TurnSettings
from genllava_agent.state import Action, AgentState, Stream, updated
from genllava_agent.verification import Comparison, compare, doubt
from genllava_agent.workers import KINDS

if TYPE_CHECKING:
    from genllava import Drawing
    from genllava_agent.engine import Engine

Work = Literal["understand", "generate", "edit", "call_tool"]
InWords = Literal["understand", "route", "__end__"]
"""What comes next where words are all that may be asked for; everything else is sent on by `route`."""
_OVER: Final = "__end__"
"""LangGraph's END, as a literal."""
_REASONS: Final = 200
"""Characters of an error that go into a step."""


class Nodes:
    """The nodes, with the model that they share.

    Args:
        foreign: the conversation is somebody else's list of messages, and not a thread of ours.
        settings: of turns that come without any.
    """

    def __init__(self, engine: Engine, foreign: bool, settings: TurnSettings) -> None:
        self.engine = engine
        self.foreign = foreign
        self.settings = settings

    def ingest(self, state: AgentState, runtime: Runtime[TurnSettings]) -> Command[InWords]:
        """Take in the request and its pictures, let the model look at what it is about, and choose what is done."""
        session, received = receive(self.engine, state, self._settings(runtime), self.foreign)
        pictures = [received.images[name] for name in received.request.images]
        before: AgentState = {**state, "images": {}, "steps": [], "stream": Stream()}
        update: dict[str, Any] = {
            "session": session.id,
            "request": received.request,
            "images": received.images,
            "focus": received.focus,
            "steps": [],
            "action": None,
            "stopped": "",
            "reply": "",
        }
        try:
            with session.work(before):
                self.engine.decider.worker.begin(session, before, received.request, pictures)
        except Spent as spent:
            update["stopped"] = str(spent)
            self.engine.decider.worker.begin(session, before, received.request, pictures, look=False)
        goto, update = self._go_on(session, before, {**update, "stream": session.stream()}, runtime)
        # A graph that is kept elsewhere may still have those of its last turn.
        first = {"images": Overwrite(update["images"]), "steps": Overwrite(update["steps"])}
        return Command(goto=goto, update={**update, **first})

    def route(
        self, state: AgentState, runtime: Runtime[TurnSettings]
    ) -> Command[Literal["clarify", "approve", "understand", "generate", "edit", "call_tool", "__end__"]]:
        """Send what was chosen to where it is done or asked about; choose it, or end the turn, if nothing was."""
        session, update = self._session(state), dict[str, Any]()
        if state["action"] is None:
            update = self._next(session, state, runtime)
        action = update.get("action", state["action"])
        return Command(goto=_OVER if action is None else _way(session, action), update=update)

    def clarify(
        self, state: AgentState, runtime: Runtime[TurnSettings]
    ) -> Command[Literal["approve", "understand", "generate", "edit", "call_tool", "route"]]:
        """Ask what is meant."""
        session, action = self._session(state), _action(state)
        session.pause()
        answer = ask(ask_meaning(state), Clarification)
        session.go_on(state)
        chosen = action.model_copy(update={"kind": answer.choice})
        if limit := no_more_pictures(session, state["steps"]) if _draws(chosen) else "":
            return Command(goto="route", update={"action": None, "stopped": limit})
        _announce(runtime, chosen, "")
        return Command(goto=_allowed(session, chosen), update={"action": chosen})

    def approve(
        self, state: AgentState, runtime: Runtime[TurnSettings]
    ) -> Command[Literal["understand", "generate", "edit", "call_tool", "route"]]:
        """Wait for the user's word; this node does nothing before that, since it runs again with the answer."""
        session, action = self._session(state), _action(state)
        goto = _work(action)
        session.pause()
        answer = ask(ask_approval(state), Approval)
        session.go_on(state)
        if answer.decision == "reject":
            reason = answer.reason or "the user said no"
            step = Step(action=action.kind, outcome="rejected", text=reason, probabilities=action.probabilities)
            return Command(goto="route", update={"steps": [step], "action": None})
        if answer.decision == "edit" and answer.instruction:
            changed = action.model_copy(update={"instruction": answer.instruction})
            if (other_words := getattr(self.engine.decider, "other_words", None)) is not None:
                other_words(session, state, answer.instruction)
                return Command(goto=goto, update={"action": changed})
            session.notes.clear()
            try:
                with session.work(state):  # the new words take the place of the request, before what else was asked
                    worker = self.engine.decider.worker
                    text = ". ".join(filter(None, (answer.instruction, worker.left(session, state))))
                    request = state["request"].model_copy(update={"text": text, "images": (), "region": None})
                    worker.begin(session, state, request, [])
            except BaseException:
                session.go_back(state)
                raise
            update = {"action": changed, "request": request, "stream": session.stream()}
            return Command(goto=goto, update=update)
        return Command(goto=goto)

    def understand(self, state: AgentState, runtime: Runtime[TurnSettings]) -> Command[InWords]:
        """Answer in words, and choose what comes next."""
        session, action = self._session(state), _action(state)
        told = ""

        def tell(text: str) -> None:
            nonlocal told
            if text.startswith(told) and text != told:
                if not speaks(self.engine.decider):  # then this is no part of the reply
                    runtime.stream_writer(events.TextDelta(text[len(told) :]))
                told = text

        with session.work(state) as meter:
            answer = self.engine.decider.worker.answer(session, state, action, tell)
        tell(answer.text)
        step = Step(
            action="understand",
            text=answers.grounded(answer.text, len(session.known(state))),
            source=action.image,
            request=state["stream"].request,
            seen=answer.seen or state["stream"].seen,
            probabilities=action.probabilities,
            **meter_fields(meter),
        )
        update = {"steps": [step], "action": None, "stream": session.stream()}
        goto, update = self._go_on(session, state, update, runtime)
        return Command(goto=goto, update=update)

    def generate(self, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
        """Draw a new picture."""
        return self._draw(state, runtime)

    def edit(self, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
        """Draw a changed picture."""
        return self._draw(state, runtime)

    def verify(
        self, state: AgentState, runtime: Runtime[TurnSettings]
    ) -> Command[Literal["generate", "edit", "route"]]:
        """Look at the picture; draw it again if it is not what was planned, or keep the best."""
        session, action = self._session(state), _action(state)
        kind: Literal["generate", "edit"] = "edit" if action.kind == "edit" else "generate"
        if not session.trials:
            return Command(goto=kind)
        drawing = session.trials[-1].drawing
        if drawing.image is None:
            step = self._step(session, state, action, 0, text=drawing.text or "", plan=None)
            return Command(goto="route", update={"steps": [step], "action": None})
        if state["stopped"]:
            return Command(goto="route", update=self._keep(session, state, runtime))
        comparison, attempts = Comparison(), len(session.trials)
        if session.settings.verify:
            try:
                with session.work(state) as meter:
                    worker = self.engine.decider.worker
                    caption = worker.describe(session, state, drawing)
                    if caption is not None:
                        likelihood = worker.likelihood(session, state, action, drawing, caption)
                        comparison = compare(drawing.plan or "", caption, likelihood)
            except Spent as spent:  # it is drawn: it is kept, and nobody has looked at it
                return Command(goto="route", update={**self._keep(session, state, runtime), "stopped": str(spent)})
            self._book(session, meter)
            session.trials[-1] = Trial(replace(drawing, caption=caption or ""), comparison, caption is not None)
        wrong = comparison.mismatches > 0 and not comparison.asked  # of a plan that is wrong there is no better drawing
        again = wrong and attempts < session.settings.verify and not spent_limit(session)
        if session.settings.verify:
            runtime.stream_writer(events.Verified(attempts, comparison.unsure, again))
        if again:
            return Command(goto=kind)
        return Command(goto="route", update=self._keep(session, state, runtime))

    def call_tool(self, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
        """Run one of the agent's tools."""
        from genllava_agent.tool_calls import call

        session, action = self._session(state), _action(state)
        runtime.stream_writer(events.ToolStarted(action.tool or "", action.arguments))
        step, images = call(session, state, action)
        runtime.stream_writer(events.ToolFinished(action.tool or "", step.text, step.image))
        for record in images.values():
            runtime.stream_writer(events.ImageReady(record, session.image(record)))
        if step.outcome == "error":  # the tool says so itself
            runtime.stream_writer(events.StepFailed(step))
        return {"steps": [step], "images": images, "action": None, "focus": step.image or state["focus"]}

    def recover(
        self, state: AgentState, error: NodeError, runtime: Runtime[TurnSettings]
    ) -> Command[Literal["route", "approve", "understand", "generate", "edit", "call_tool", "verify"]]:
        """A fault becomes a step that says so; what was cancelled stays cancelled."""
        fault = error.error
        if isinstance(fault, str):  # it came out of a graph that is kept elsewhere, and this one is run again
            return Command(goto=error.node)
        try:
            return Command(goto="route", update=self._failed(self._session(state), state, fault, runtime))
        except BaseException as raised:  # LangGraph would take the very same for one that was handled
            raise _like(raised) from raised

    # --- how a turn goes on ---

    def _go_on(
        self, session: Session, state: AgentState, update: dict[str, Any], runtime: Runtime[TurnSettings]
    ) -> tuple[InWords, dict[str, Any]]:
        """Choose what comes after an update without a step of the graph for it: a turn in words takes two of them.

        Returns:
            the next node, and all that is changed.
        """
        now: AgentState = updated(state, update)
        goto: InWords = "route"
        try:
            chosen = self._next(session, now, runtime)
            if chosen["action"] is None:
                goto = _OVER
            elif _way(session, chosen["action"]) == "understand":
                goto = "understand"
        except Exception as fault:  # of choosing: what was done before it stays
            chosen = self._failed(session, now, fault, runtime)
        return goto, updated(update, chosen)

    def _next(self, session: Session, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
        """What is done next, as an update; one without an action ends the turn."""
        chosen = self._choose(session, state, runtime)
        return chosen if chosen["action"] is not None else {**chosen, **self._close(session, updated(state, chosen))}

    def _choose(self, session: Session, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
        steps, over = state["steps"], {"action": None}
        stopped = state["stopped"] or _stop_reason(session, state)
        if stopped or (steps and state["request"].task) or any(step.outcome == "rejected" for step in steps):
            return {**over, "stopped": stopped}
        possible = self._possible(session, state)
        try:
            with session.work(state) if needs_model(self.engine.decider) else nullcontext():
                decision = self._decide(session, state, possible)
        except Spent as spent:
            return {**over, "stopped": str(spent)}
        update: dict[str, Any] = {"action": decision.action, "stream": session.stream()}
        if decision.action is None:
            if decision.text:
                text = answers.grounded(decision.text, len(session.known(state)))
                alone = speaks(self.engine.decider) or not any(step.text for step in steps)
                runtime.stream_writer(events.TextDelta(text if alone else f" {text}"))  # it goes on from what was said
                update["steps"] = [Step(action="understand", text=text, probabilities=decision.probabilities)]
                update["reply"] = text if speaks(self.engine.decider) else ""
            return update
        if limit := full(session, steps) or (no_more_pictures(session, steps) if _draws(decision.action) else ""):
            return {**update, **over, "stopped": limit}
        session.trials.clear()
        if not _unclear(session, decision.action):
            _announce(runtime, decision.action, decision.seen)
        return update

    def _close(self, session: Session, state: AgentState) -> dict[str, Any]:
        """End the turn, and say what came of it: nothing is claimed that has no record."""
        worker = self.engine.decider.worker
        with session.work(state):
            text = state.get("reply", "")
            if not text and not session.calls:  # whoever gets calls of its own tools waits for no words
                text = answers.compose(state["steps"], state["stopped"], worker.left(session, state))
            worker.end(session, state, text if any(step.outcome == "ok" for step in state["steps"]) else "")
        update = {"reply": text, "stream": session.stream()}
        if self.foreign:
            update["messages"] = [AIMessage(content_blocks=answers.blocks(session, state, text))]
            self.engine.sessions.pop(session.id, None)
        return update

    def _failed(
        self, session: Session, state: AgentState, fault: BaseException, runtime: Runtime[TurnSettings]
    ) -> dict[str, Any]:
        """A fault as a step that says so.

        Raises:
            the fault, where it is none of the turn's, or where even ending a turn of faults fails.
        """
        if isinstance(fault, Spent):
            return {"stopped": str(fault), "action": None}
        if isinstance(fault, (Cancelled, StoreFailed, ThreadQuarantined)) or not isinstance(fault, Exception):
            raise fault
        if _two_errors(state["steps"]):
            raise fault
        action = state.get("action") or Action(kind="understand")
        text = str(fault) if isinstance(fault, (InvalidRequest, ImageRejected)) else f"{type(fault).__name__}: {fault}"
        step = Step(
            action=action.kind,
            outcome="error",
            text=" ".join(text.split())[:_REASONS],
            source=action.image,
            tool=action.tool,
            arguments=action.arguments,
            probabilities=action.probabilities,
            tried=_tried(session),
        )
        runtime.stream_writer(events.StepFailed(step))
        session.trials.clear()
        return {"steps": [step], "action": None}

    # --- what the nodes share ---

    def _settings(self, runtime: Runtime[TurnSettings]) -> TurnSettings:
        """A graph that ours runs in may have a context of its own, which says nothing to us."""
        return runtime.context if isinstance(runtime.context, TurnSettings) else self.settings

    def _session(self, state: AgentState) -> Session:
        session = self.engine.sessions.get(state["session"])
        if session is None and self.foreign:
            return reopen(self.engine, state, self._settings(get_runtime(TurnSettings)))
        if session is None:
            raise InvalidRequest("this turn was begun by a process that has ended: ask again")
        return session

    def _possible(self, session: Session, state: AgentState) -> list[Kind]:
        task = state["request"].task
        if task is not None:
            return [task]
        kinds: list[Kind] = ["understand", "generate", *(["edit"] if session.known(state) else [])]  # type: ignore[list-item]
        return [*kinds, "tool"] if self.engine.tools else kinds

    def _decide(self, session: Session, state: AgentState, possible: list[Kind]) -> Decision:
        may_finish = bool(state["steps"]) and state["request"].task is None
        return self.engine.decider.decide(session, state, possible, may_finish)

    def _draw(self, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
        """Make an attempt at the picture; it joins the conversation in `verify`."""
        session, action = self._session(state), _action(state)
        attempt = len(session.trials) + 1

        def tell(plan: str, source: int | None) -> None:
            if attempt == 1:
                runtime.stream_writer(events.PlanWritten(plan, None if source is None else image_name(source)))

        again = session.trials[0].drawing if session.trials else None
        options = session.settings.drawing_options() | {"cancel": session.interrupted}
        source = session.known(state).get(action.image or state.get("focus") or "") if action.kind == "edit" else None
        aspect = 1.0 if source is None else source.width / source.height
        options["callback_on_step_end"] = session.on_step(runtime.stream_writer, attempt, aspect)
        worker, seed = self.engine.decider.worker, session.next_seed()
        try:
            with session.work(state) as meter:
                drawing = worker.draw(session, state, action, seed, again, tell, options)
        except Spent as spent:
            if not session.trials:
                raise
            self._book(session, meter)
            return {"stopped": str(spent)}  # what was drawn before is kept
        session.trials.append(Trial(drawing))
        self._book(session, meter)
        return {}

    @staticmethod
    def _book(session: Session, meter: Meter) -> None:
        spent = session.spent
        spent.seconds += meter.seconds
        spent.tokens += meter.tokens
        spent.unet_rows += meter.unet_rows

    def _keep(self, session: Session, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
        """Store the best attempt and let it join the conversation."""
        action = _action(state)
        best = min(session.trials, key=lambda trial: trial.comparison.badness)
        attempts, drawing = len(session.trials), session.put_back(state, best.drawing)
        tried = _tried(session, best)
        assert drawing.image is not None
        record = self._record(session, state, action, drawing)
        with session.work(state):
            self.engine.decider.worker.place(session, state, action, drawing)
        session.remember(record, drawing)
        runtime.stream_writer(events.ImageReady(record, drawing.image))
        unsure = best.comparison.unsure
        if session.settings.verify and action.kind == "edit":
            before, asked = _shown(session, state, drawing.source), state["stream"].request or action.instruction
            unsure = "; ".join(filter(None, (unsure, doubt(drawing.plan or "", before, asked))))
        known = {"image": record.id, "plan": drawing.plan, "unsure": unsure, "verified": best.verified, "tried": tried}
        step = self._step(session, state, action, attempts, **known)
        if record.parents:
            step = step.model_copy(update={"source": record.parents[0]})
        return {
            "steps": [step],
            "images": {record.id: record},
            "focus": record.id,
            "action": None,
            "stream": session.stream(),
        }

    def _step(self, session: Session, state: AgentState, action: Action, attempts: int, **fields: Any) -> Step:
        """A step of drawing with all that its attempts took."""
        spent, session.spent = session.spent, Meter()
        session.trials.clear()
        return Step(
            action=action.kind,
            request=state["stream"].request,
            seen=state["stream"].seen,
            probabilities=action.probabilities,
            attempts=attempts,
            **meter_fields(spent),
            **fields,
        )

    def _record(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> ImageRecord:
        """Write the picture, and then what is known of it."""
        assert drawing.image is not None
        key = session.artifacts.put_image(drawing.image)
        latents = None if drawing.latents is None else session.artifacts.put_latents(drawing.latents)
        settings = session.settings.drawing_options()
        return ImageRecord(
            id=session.next_image(state),
            key=key,
            width=drawing.image.width,
            height=drawing.image.height,
            origin="edit" if action.kind == "edit" else "generate",
            turn=len(session.history) + 1,
            parents=session.parents(state, drawing),
            instruction=action.instruction,
            plan=drawing.plan,
            caption=drawing.caption or None,
            seed=drawing.seed,
            latents=latents,
            unet_rows=session.spent.unet_rows,
            model=self.engine.model,
            params={name: value for name, value in settings.items() if value is not None},
        )


def _tried(session: Session, kept: Trial | None = None) -> tuple[Tried, ...]:
    """The drawings of the present step but for the one that is kept, written before anything names them."""
    return tuple(
        Tried(
            key=session.artifacts.put_image(trial.drawing.image),
            seed=trial.drawing.seed,
            unsure=trial.comparison.unsure,
        )
        for trial in session.trials
        if trial is not kept and trial.drawing.image is not None
    )


def _action(state: AgentState) -> Action:
    action = state["action"]
    assert action is not None, "work without an action"
    return action


def _draws(action: Action) -> bool:
    return action.kind in ("generate", "edit")


def _work(action: Action) -> Work:
    """The node that does it."""
    return "call_tool" if action.kind == "tool" else action.kind


def _way(session: Session, action: Action) -> Work | Literal["clarify", "approve"]:
    """Where an action goes: to be done, unless it has to be asked about."""
    return "clarify" if _unclear(session, action) else _allowed(session, action)


def _unclear(session: Session, action: Action) -> bool:
    """Whether it has to be asked what is meant."""
    return _margin(action.probabilities) < session.settings.margin


def _allowed(session: Session, action: Action) -> Work | Literal["approve"]:
    """Where an action that is clear goes: to be done, unless the settings say that it waits for the user's word."""
    waits = {action.kind, f"tool:{action.tool}"} & set(session.settings.approve)
    return "approve" if waits else _work(action)


def _announce(runtime: Runtime[TurnSettings], action: Action, seen: str) -> None:
    chosen = events.ActionChosen(action.kind, action.probabilities, seen, action.image, action.tool)
    runtime.stream_writer(chosen)


def _shown(session: Session, state: AgentState, number: int | None) -> str:
    """What the model last noted that a picture shows; empty if it noted nothing in its own stream."""
    if number is None or not state["stream"].ids:
        return ""
    steps = [step for turn in session.history if turn.stream for step in turn.steps] + state["steps"]
    noted = (noted_caption(seen, number) for seen in (state["stream"].seen, *(step.seen for step in reversed(steps))))
    return next(filter(None, noted), "")


def _margin(probabilities: dict[str, float]) -> float:
    """How much likelier the first choice was than the second; 1 if there was no choice, or to end was one of two."""
    ranked = sorted((p for token, p in probabilities.items() if token in KINDS), reverse=True)
    return 1.0 if len(ranked) < 2 else ranked[0] - ranked[1]


def _stop_reason(session: Session, state: AgentState) -> str:
    """Why the turn has to end now, whatever the model would do; empty if it may go on."""
    steps = state["steps"]
    if _two_errors(steps):
        return "two errors in a row"
    if len(steps) >= 2 and _same(steps[-1], steps[-2]):
        return "the same thing was done twice"
    return spent_limit(session)


def _like(fault: BaseException) -> BaseException:
    """Another fault that says the same; the fault itself where there can be no other."""
    for make in (copy, _without_init):
        with suppress(Exception):
            if (other := make(fault)).args == fault.args:
                return other
    return fault


def _without_init(fault: BaseException) -> BaseException:
    """A copy of a fault whose `__init__` wants what it does not keep in its arguments."""
    other = type(fault).__new__(type(fault), *fault.args)
    other.__dict__.update(fault.__dict__)
    return other


def _two_errors(steps: list[Step]) -> bool:
    return len(steps) >= 2 and steps[-1].outcome == steps[-2].outcome == "error"


def _same(step: Step, other: Step) -> bool:
    def what(step: Step) -> tuple[object, ...]:
        said = re.sub(r"\s+", " ", step.text.lower())
        done = step.action, step.outcome, step.source, step.plan, said, step.tool, sorted(step.arguments.items())
        return *done, step.request  # two requests of a message may come to the same

    return step.outcome == "ok" and what(step) == what(other)
