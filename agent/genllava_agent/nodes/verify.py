"""The node that looks at a picture: it is drawn again where it is not what was asked for, or the best one is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langgraph.runtime import Runtime

from genllava_agent import events
from genllava_agent.messages import reference, with_images
from genllava_agent.nodes.base import AgentParts, tried
from genllava_agent.records import ImageRecord, Step
from genllava_agent.session import Session, Spent, next_image, spent_limit
from genllava_agent.settings import TurnSettings
from genllava_agent.state import Action, AgentState, Trial, begun, next_action, result

if TYPE_CHECKING:
    from genllava import Drawing


def verify(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """Look at the latest drawing; keep the best, or leave the trials as they are, so that it is drawn again."""
    session, action, trials = parts.session(state), next_action(state), list(state["trials"])
    if not trials or action is None:  # drawing failed, and it was said so
        return {}
    latest, settings = trials[-1], session.settings
    if latest.key is None:
        step = _step(state, action, trials, text=latest.text, attempts=0)
        update = {"steps": [*state["steps"], step], "messages": [result(action, latest.text)], "trials": []}
        return {**update, "stream": session.stream()}
    if state["stopped"]:
        return _keep(parts, session, state, action, trials, runtime)
    if settings.verify:
        try:
            with session.work(state) as meter:
                found = parts.decider().worker.judge(session, state, action, session.drawn(latest))
        except Spent as spent:  # it is drawn: it is kept, and nobody has looked at it
            return {**_keep(parts, session, state, action, trials, runtime), "stopped": str(spent)}
        latest = latest.model_copy(
            update={
                "caption": found.caption,
                "unsure": found.unsure,
                "asked": found.asked,
                "mismatches": found.mismatches,
                "verified": found.verified,
                "seconds": latest.seconds + meter.seconds,
                "tokens": latest.tokens + meter.tokens,
                "unet_rows": latest.unet_rows + meter.unet_rows,
            }
        )
        trials[-1] = latest
    wrong = latest.mismatches > 0 and not latest.asked  # of a plan that is wrong there is no better drawing
    again = wrong and len(trials) < settings.verify and not spent_limit(session)
    if settings.verify:
        runtime.stream_writer(events.Verified(len(trials), latest.unsure, again))
    if again:
        return {"trials": trials, "stream": session.stream()}
    return _keep(parts, session, state, action, trials, runtime)


def _keep(
    parts: AgentParts, session: Session, state: AgentState, action: Action, trials: list[Trial],
    runtime: Runtime[TurnSettings],
) -> dict[str, Any]:  # fmt: skip
    """Let the best drawing join the conversation."""
    best = min(trials, key=lambda trial: (not trial.asked, trial.mismatches))
    worker, drawn = parts.decider().worker, session.drawn(best)
    drawing = session.put_back(state, drawn)
    key, latents = (best.key, best.latents) if drawing is drawn else session.keep(drawing)
    assert drawing.image is not None
    with session.work(state):
        worker.place(session, state, action, drawing)
    record = _record(parts, session, state, action, drawing, str(key), latents, sum(t.unet_rows for t in trials))
    runtime.stream_writer(events.ImageReady(record, drawing.image))
    unsure = best.unsure
    if session.settings.verify and action.kind == "edit":
        unsure = "; ".join(filter(None, (unsure, worker.doubt(session, state, action, drawing))))
    source = record.parents[0] if record.parents else None
    step = _step(
        state, action, trials, attempts=len(trials), image=record.id, source=source, plan=drawing.plan,
        unsure=unsure, verified=best.verified, tried=tried(trials, best),
    )  # fmt: skip
    said = f"{record.id} was made{f', to show: {drawing.plan}' if drawing.plan else ''}."
    said += f" It may not be right: {unsure}." if unsure else ""
    message = with_images(result(action, said), [reference(record)])
    return {
        "steps": [*state["steps"], step],
        "messages": [message],
        "images": {record.id: record},
        "focus": record.id,
        "trials": [],
        "stream": session.stream(),
    }


def _step(state: AgentState, action: Action, trials: Sequence[Trial], **fields: Any) -> Step:
    """A step of drawing with all that its attempts took."""
    return Step(
        action=action.kind,
        request=state["stream"].request,
        seen=state["stream"].seen,
        probabilities=action.probabilities,
        seconds=sum(trial.seconds for trial in trials),
        tokens=sum(trial.tokens for trial in trials),
        unet_rows=sum(trial.unet_rows for trial in trials),
        **fields,
    )


def _record(
    parts: AgentParts, session: Session, state: AgentState, action: Action, drawing: Drawing, key: str,
    latents: str | None, unet_rows: int,
) -> ImageRecord:  # fmt: skip
    """What is known of the picture."""
    assert drawing.image is not None
    settings = session.settings.drawing_options()
    return ImageRecord(
        id=next_image(state),
        key=key,
        width=drawing.image.width,
        height=drawing.image.height,
        origin="edit" if action.kind == "edit" else "generate",
        turn=begun(state).number,
        parents=session.parents(state, drawing),
        instruction=action.instruction,
        plan=drawing.plan,
        caption=drawing.caption or None,
        seed=drawing.seed,
        latents=latents,
        unet_rows=unet_rows,
        model=parts.engine.model,
        params={name: value for name, value in settings.items() if value is not None},
    )
