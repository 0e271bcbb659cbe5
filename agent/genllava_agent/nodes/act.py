"""The nodes that answer, draw and edit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langgraph.runtime import Runtime

from genllava_agent import events
from genllava_agent.nodes.base import AgentParts
from genllava_agent.records import Step, image_name
from genllava_agent.session import Meter, Spent
from genllava_agent.settings import TurnSettings
from genllava_agent.speech import SPOKEN, said
from genllava_agent.state import Action, AgentState, Trial, next_action, result

if TYPE_CHECKING:
    from genllava import Understanding


def understand(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """Answer in words."""
    session, action, decider = parts.session(state), _action(state), parts.decider()
    told = ""

    def tell(text: str) -> None:
        nonlocal told
        if text.startswith(told) and text != told:
            if not decider.speaks:  # then this is no part of the reply
                runtime.stream_writer(events.TextDelta(text[len(told) :]))
            told = text

    _announce(runtime, action)

    def say(on_text: Callable[[str], object]) -> Understanding:
        def both(text: str) -> None:
            tell(text)
            on_text(text)

        return decider.worker.answer(session, state, action, both)

    with session.work(state) as meter:
        counters = parts.engine.pipeline.counters
        answer, key = said(action.instruction, say, lambda: counters.tokens)
    tell(answer.text)
    step = Step(
        action="understand",
        text=answer.text,
        source=action.image,
        request=state["stream"].request,
        seen=answer.seen or state["stream"].seen,
        unsure=answer.unsure,
        probabilities=action.probabilities,
        **meter_fields(meter),
    )
    return {
        "steps": [*state["steps"], step],
        "messages": [result(action, answer.text).model_copy(update={"additional_kwargs": {SPOKEN: key}})],
        "stream": session.stream(),
    }


def draw(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """Make an attempt at a picture: a new one, or a changed one; it joins the conversation in `verify`."""
    session, action, trials = parts.session(state), _action(state), state["trials"]
    attempt = len(trials) + 1
    if attempt == 1:
        _announce(runtime, action)

    def tell(plan: str, source: int | None) -> None:
        if attempt == 1:
            runtime.stream_writer(events.PlanWritten(plan, None if source is None else image_name(source)))

    again = session.drawn(trials[0]) if trials else None
    options = session.settings.drawing_options() | {"cancel": session.interrupted}
    source = state["images"].get(action.image or state.get("focus") or "") if action.kind == "edit" else None
    aspect = 1.0 if source is None else source.width / source.height
    options["callback_on_step_end"] = session.on_step(runtime.stream_writer, attempt, aspect)
    seed = session.next_seed(state)
    try:
        with session.work(state) as meter:
            drawing = parts.decider().worker.draw(session, state, action, seed, again, tell, options)
    except Spent as spent:
        if not trials:
            raise
        return {"stopped": str(spent)}  # what was drawn before is kept
    if drawing.image is None:
        trial = Trial(text=drawing.text or "", seed=seed, **meter_fields(meter))
    else:
        key, latents = session.keep(drawing)
        trial = Trial(
            key=key, plan=drawing.plan, source=drawing.source, seed=drawing.seed, latents=latents,
            **meter_fields(meter),
        )  # fmt: skip
    return {"trials": [*trials, trial], "stream": session.stream()}


def meter_fields(meter: Meter) -> dict[str, Any]:
    """For a `Step` or a `Trial`."""
    return {"seconds": meter.seconds, "tokens": meter.tokens, "unet_rows": meter.unet_rows}


def _action(state: AgentState) -> Action:
    action = next_action(state)
    assert action is not None, "work without a call"
    return action


def _announce(runtime: Runtime[TurnSettings], action: Action) -> None:
    runtime.stream_writer(
        events.ActionChosen(action.kind, action.probabilities, action.seen, action.image, action.tool)
    )
