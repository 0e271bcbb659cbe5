"""Whether what the model said and drew is right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from genllava.protocols.shapes.replies import VOCABULARY
from genllava_finetune.worlds.base import Produced, Score
from genllava_finetune.worlds.shapes.answers import is_right, normalize_answer
from genllava_finetune.worlds.shapes.dialogue import (
    AnswerCheck,
    Check,
    DeclineCheck,
    EditCheck,
    SceneCheck,
    Step,
    StepsCheck,
    Turn,
)
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.plan import read_plan
from genllava_finetune.worlds.shapes.scene import Scene


def score_turn(turn: Turn, produced: Sequence[Produced]) -> Score:
    """Compare a turn with what was produced for it: the tasks, their number and order, and each result."""
    routes = tuple(segment.task for segment in produced)
    routed = routes == tuple(step.task for step in turn.steps)
    if not isinstance(turn.check, StepsCheck):
        score = _score(turn.steps[0], turn.check, produced[0]) if routed else _nothing(turn.check)
        return replace(score, routed=routed, routes=routes)
    parts = zip(turn.steps, turn.check.checks, produced, strict=False)
    alike = itertools.takewhile(lambda part: part[0].task == part[2].task, parts)
    scores = [_score(*part) for part in alike]
    steps = tuple(score.right for score in scores)
    unparsed = any(score.unparsed for score in scores)
    return Score(routed and all(steps), routed, unparsed=unparsed, routes=routes, steps=steps)


def _nothing(check: Check) -> Score:
    """The score of the right task without any result."""
    if isinstance(check, EditCheck):
        return Score(False, True, changed=False, preserved=False, planned=False)
    if isinstance(check, SceneCheck):
        return Score(False, True, planned=False)
    return Score(False, True, declined=False if isinstance(check, DeclineCheck) else None)


def _score(step: Step, check: Check, produced: Produced) -> Score:
    if isinstance(check, AnswerCheck):
        return Score(produced.text is not None and is_right(check, produced.text), True)
    if isinstance(check, DeclineCheck):
        declined = produced.image is None and bool(produced.text)
        # Words alone would do to draw nothing, but they are to be the honest ones.
        # What is said of its words is more than a model was taught.
        said = (produced.text or "").removesuffix(f" {VOCABULARY}")
        honest = normalize_answer(said) == normalize_answer(step.text)
        return Score(declined and honest, True, declined=declined)
    if produced.image is None:
        return _nothing(check)
    assert isinstance(check, SceneCheck | EditCheck)
    scene = parse(produced.image).scene
    changed, preserved = _holds(check, scene)
    planned = all(_holds(check, read_plan(produced.plan or "")))
    score = Score(changed and preserved, True, planned=planned, unparsed=scene is None)
    return replace(score, changed=changed, preserved=preserved) if isinstance(check, EditCheck) else score


def _holds(check: SceneCheck | EditCheck, scene: Scene | None) -> tuple[bool, bool]:
    """Whether what was asked is there, and whether all else was kept."""
    if scene is None:
        return False, False
    if isinstance(check, SceneCheck):
        return check.holds(scene), True
    return check.changed(scene), check.preserved(scene)


def kind_of(turn: Turn) -> str:
    """What kind of request it is, in one word; what cannot be done goes by its reason."""
    if isinstance(turn.check, EditCheck):
        return "edit"
    if isinstance(turn.check, SceneCheck):
        return "generation"
    if isinstance(turn.check, StepsCheck) or turn.family.startswith(("outside", "edit")):
        return turn.family.partition(".")[0] if turn.family.startswith("outside") else turn.family
    return "question"


def details_of(turn: Turn, score: Score) -> Iterable[tuple[str, bool]]:
    """Outcomes by what was asked: tags of a new picture, operations of an edit, the family of anything else."""
    if isinstance(turn.check, SceneCheck):
        yield from ((f"tag {tag}", score.right) for tag in turn.check.tags)
    elif isinstance(turn.check, EditCheck):
        several = len(turn.check.operations) > 1
        for operation in ["two operations"] if several else turn.check.operations:
            yield f"operation {operation}", score.right
            yield f"operation {operation}: change made", bool(score.changed)
            yield f"operation {operation}: all else kept", bool(score.preserved)
    else:
        yield f"family {turn.family}", score.right
