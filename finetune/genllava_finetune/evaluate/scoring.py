"""Whether what the model said and drew is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from genllava_finetune.shapes.dialogue import (
    AnswerCheck,
    Check,
    DeclineCheck,
    EditCheck,
    SceneCheck,
    StepsCheck,
    Turn,
)
from genllava_finetune.shapes.parser import parse
from genllava_finetune.shapes.plan import read_plan
from genllava_finetune.shapes.scene import Scene
from genllava_finetune.shapes.understanding import is_right


@dataclass(frozen=True, slots=True)
class Produced:
    """One segment of the model's: its task token without brackets, and words or a picture."""

    task: str
    text: str | None = None
    image: Image.Image | None = None
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """How a turn went.

    Attributes:
        right: all of it.
        routed: every task token as it should be.
        changed, preserved: of edits; None for anything else.
        planned: of pictures: whether the plan, taken for what the picture shows, is right; the rest is drawing.
        unparsed: a picture that shows something that is not of the domain.
        routes: the tasks that were chosen, in order.
    """

    right: bool
    routed: bool
    changed: bool | None = None
    preserved: bool | None = None
    planned: bool | None = None
    unparsed: bool = False
    routes: tuple[str, ...] = ()


def score_turn(turn: Turn, produced: Sequence[Produced]) -> Score:
    """Compare a turn with what was produced for it."""
    routes = tuple(segment.task for segment in produced)
    if routes != tuple(step.task for step in turn.steps):
        drawn = None if turn.steps[-1].target is None else False
        edited = False if isinstance(turn.check, EditCheck) else None
        return Score(False, False, edited, edited, drawn, routes=routes)
    checks = turn.check.checks if isinstance(turn.check, StepsCheck) else (turn.check,)
    scores = [_score(check, segment) for check, segment in zip(checks, produced, strict=True)]
    if len(scores) == 1:
        return replace(scores[0], routes=routes)
    unparsed = any(score.unparsed for score in scores)
    return Score(all(score.right for score in scores), True, unparsed=unparsed, routes=routes)


def _score(check: Check, produced: Produced) -> Score:
    if isinstance(check, AnswerCheck):
        return Score(produced.text is not None and is_right(check, produced.text), True)
    if isinstance(check, DeclineCheck):
        return Score(produced.image is None and bool(produced.text), True)
    if produced.image is None:
        edited = False if isinstance(check, EditCheck) else None
        return Score(False, True, edited, edited, False)
    assert isinstance(check, SceneCheck | EditCheck)
    scene, plan = parse(produced.image).scene, read_plan(produced.plan or "")
    changed, preserved = _holds(check, scene)
    planned = all(_holds(check, plan))
    right = changed and preserved
    if isinstance(check, SceneCheck):
        return Score(right, True, planned=planned, unparsed=scene is None)
    return Score(right, True, changed, preserved, planned, scene is None)


def _holds(check: SceneCheck | EditCheck, scene: Scene | None) -> tuple[bool, bool]:
    """Whether what was asked is there, and whether all else was kept."""
    if scene is None:
        return False, False
    if isinstance(check, SceneCheck):
        return check.holds(scene), True
    return check.changed(scene), check.preserved(scene)
