"""Requests for edits: what to change in which picture, the sentence that asks, and the scene that results."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from genllava_finetune.worlds.grammar import Forms, add_noise, fill
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import EditCheck, Look, Turn, edit
from genllava_finetune.worlds.shapes.edits import (
    Add,
    Changed,
    EditImpossibleError,
    Move,
    Operation,
    Preserved,
    Recolor,
    Reference,
    Replace,
    Resize,
    Swap,
    apply_all,
    trace,
)
from genllava_finetune.worlds.shapes.impossible import sample_impossible_edit as sample_impossible_edit
from genllava_finetune.worlds.shapes.language.back_references import UNDO
from genllava_finetune.worlds.shapes.language.joining import IN_PICTURE, JOINED
from genllava_finetune.worlds.shapes.language.noun_phrases import inner, the_picture
from genllava_finetune.worlds.shapes.notes import look
from genllava_finetune.worlds.shapes.plan import write_plan
from genllava_finetune.worlds.shapes.proposals import OPERATIONS, PROPOSE, Context, Proposal
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import (
    NOTHING,
    RESEARCH,
    Split,
    Withheld,
    has_held_out_count,
    has_held_out_pair,
    in_distribution,
    split_of,
)

HeldOutEdit = Literal["attr_combo", "edit_combo"]

COMPOUND_SHARE: Final = 0.15
"""How many instructions ask for two changes."""

_PAIRS: Final = tuple(itertools.product(OPERATIONS, OPERATIONS))
_TRIES: Final[dict[Split, int]] = {"train": 6, "dev": 40, "test": 40}


def ordinary_pairs(withhold: Withheld) -> tuple[tuple[str, str], ...]:
    """Changes that training may ask for in one sentence."""
    return tuple(pair for pair in _PAIRS if not {pair, pair[::-1]} & withhold.edit_pairs)


def is_held_out_edit(scene: Scene, operations: Sequence[Operation], withhold: Withheld = RESEARCH) -> bool:
    """Whether the edit asks for something, or for two things together, that training never does."""
    for first, second in itertools.pairwise(operations):
        if {(first.kind, second.kind), (second.kind, first.kind)} & withhold.edit_pairs:
            return True
    for operation in operations:
        if any((operation.kind, attribute) in withhold.edits for attribute in operation.asked(scene)):
            return True
        scene = operation.apply(scene)
    return False


def focus_after(source: Scene, operations: Sequence[Operation]) -> Description | None:
    """What `it` means after the edit: the one object it was about, as it is called from now on."""
    scene = apply_all(source, operations[:-1])
    operation = operations[-1]
    target = operation.apply(scene)
    what: Description | None = None
    if isinstance(operation, Add):
        what = operation.wanted
    elif isinstance(operation, Recolor | Resize | Replace | Move) and not operation.which.every:
        what = _followed(operation.which.what, scene, operation)
    return what if what is not None and len(what.select(target)) == 1 else None


def _followed(what: Description, scene: Scene, operation: Operation) -> Description:
    (new,) = operation.touch(scene).values()
    if new is None:
        return what
    return Description(
        what.shape and new.shape,
        what.color and new.color,
        what.size and new.size,
        None if what.cell is None else new.cell,
    )


def _references(operation: Operation) -> tuple[Reference, ...]:
    if isinstance(operation, Swap):
        return operation.first, operation.second
    which = getattr(operation, "which", None)
    return (which,) if isinstance(which, Reference) else ()


def _second(rng: random.Random, scene: Scene, first: Proposal, kind: str, context: Context) -> Proposal | None:
    """A second change that can follow the first in one sentence without misunderstandings."""
    between = first.operation.apply(scene)
    touched = set(first.operation.touch(scene))
    focus = None
    if kind != first.operation.kind and first.operation.kind != "add" and rng.random() < 0.5:
        focus = focus_after(scene, [first.operation])
    later = replace(context, focus=focus, withheld=False)
    proposal = PROPOSE[kind](rng, between, later)
    if proposal is None:
        return None
    for reference in _references(proposal.operation):
        if focus is not None and reference.what == focus:
            continue
        before = {thing.cell for thing in reference.what.select(scene)}
        if before & touched or before != {thing.cell for thing in reference.what.select(between)}:
            return None
    if kind == "background" and first.operation.kind == "background":
        return None
    return proposal


def _propose(rng: random.Random, scene: Scene, context: Context, kinds: Sequence[str]) -> tuple[Proposal, ...] | None:
    first = PROPOSE[kinds[0]](rng, scene, context)
    if first is None:
        return None
    if len(kinds) == 1:
        return (first,)
    second = _second(rng, scene, first, kinds[1], context)
    return None if second is None else (first, second)


def _kinds(
    rng: random.Random, heldout: HeldOutEdit | None, kinds: Sequence[str] | None, withhold: Withheld
) -> tuple[tuple[str, ...], bool]:
    """The operations to try, and whether a single one of them must ask for a withheld attribute."""
    if kinds is not None:
        return tuple(kinds), heldout == "edit_combo" and len(kinds) == 1
    if heldout == "edit_combo":
        if rng.random() < 0.35:
            ordinary = ordinary_pairs(withhold)
            return rng.choice([pair for pair in _PAIRS if pair not in ordinary]), False
        return (rng.choice(sorted(kind for kind, _ in withhold.edits)),), True
    if rng.random() < COMPOUND_SHARE:
        return rng.choice(ordinary_pairs(withhold)), False
    return (rng.choice(OPERATIONS),), False


def sample_edit(
    rng: random.Random,
    scene: Scene,
    number: int,
    forms: Forms,
    split: Split,
    heldout: HeldOutEdit | None = None,
    name_number: bool = False,
    *,
    kinds: Sequence[str] | None = None,
    focus: Description | None = None,
    short: bool = False,
    settled: bool = False,
    withhold: Withheld = NOTHING,
) -> Turn | None:
    """A request to change picture `number`, which shows `scene`; None if nothing valid was found.

    Args:
        split: the split of the result.
        heldout: what the edit must hold that training never has; None for an ordinary edit.
        name_number: the sentence says which picture is meant.
        kinds: the operations, one or two of `OPERATIONS`; random if None.
        focus: what `it` means.
        short: a bare imperative, to be strung together with others.
        settled: leave nothing open (an added object is fully described).
        withhold: what training never asks for; `heldout` is of it.
    """
    pairs = frozenset[tuple[str, str]]() if heldout == "attr_combo" else withhold.pairs
    chosen, withheld = _kinds(rng, heldout, kinds, withhold)
    context = Context(forms, focus, withheld, pairs, settled, withhold)
    for _ in range(_TRIES[split] * (2 if heldout else 1)):
        proposals = _propose(rng, scene, context, chosen)
        if proposals is None:
            continue
        operations = tuple(proposal.operation for proposal in proposals)
        target = _result(scene, operations)
        if target is None or target == scene or split_of(target) != split or not _wanted(target, heldout, withhold):
            continue
        if is_held_out_edit(scene, operations, withhold) != (heldout == "edit_combo"):
            continue
        user, form, asked = _say(rng, proposals, number if name_number else None, forms, short)
        check = EditCheck(Changed(scene, operations), Preserved(scene, operations), chosen)
        looks, order = _looks(scene, number, operations)
        return Turn(user, (edit(number, target, order),), check, "edit", form, looks=looks, asked=asked)
    return None


def sample_undo(rng: random.Random, scene: Scene, number: int, forms: Forms) -> Turn:
    """A request to go back to picture `number`, which shows `scene`, from what was last made of it."""
    form = UNDO.draw(rng, forms)
    check = EditCheck(Changed(scene, ()), Preserved(scene, ()), ("undo",))
    step = edit(number, scene, [thing.cell for thing in scene.things])
    return Turn(add_noise(rng, form), (step,), check, "edit", form, looks=(Look(number),))


def _looks(scene: Scene, number: int, operations: Sequence[Operation]) -> tuple[tuple[Look, ...], list[int]]:
    """What there is to look at for each operation on picture `number`, and the cells in the order of the last plan.

    What was changed comes first in a plan, next to what was noted of it; then the rest as it was, then what is new.
    """
    order = [thing.cell for thing in scene.things]
    looks: list[Look] = []
    for operation in operations:
        if looks:
            looks[-1] = replace(looks[-1], planned=write_plan(scene, order))
        looks.append(Look(number, _notes(scene, operation)))
        fates = {old.cell: (old, new) for old, new in trace(scene, (operation,)).fates if new is not None}
        scene = operation.apply(scene)
        changed = [new.cell for old, new in fates.values() if old != new]
        kept = [cell for cell in order if cell in fates and fates[cell][0] == fates[cell][1]]
        order = [*changed, *kept]
        order += [thing.cell for thing in scene.things if thing.cell not in order]
    return tuple(looks), order


def _notes(scene: Scene, operation: Operation) -> tuple[str, ...]:
    """What the operation is about, and that the place it names is free."""
    whats = [reference.what for reference in _references(operation)]
    if isinstance(operation, Move) and operation.cell is not None:
        whats.append(Description(cell=operation.cell))
    if isinstance(operation, Add) and operation.wanted.cell is not None:
        whats.append(Description(cell=operation.wanted.cell))
    return tuple(dict.fromkeys(look(scene, what) for what in whats))


def _result(scene: Scene, operations: Sequence[Operation]) -> Scene | None:
    """The scene after the operations, if each of them changes something."""
    for operation in operations:
        try:
            target = operation.apply(scene)
        except EditImpossibleError:
            return None
        if target == scene:
            return None
        scene = target
    return scene


def _wanted(target: Scene, heldout: HeldOutEdit | None, withhold: Withheld) -> bool:
    if heldout == "attr_combo":
        return has_held_out_pair(target) and not has_held_out_count(target)
    return in_distribution(target, withhold)


def _say(
    rng: random.Random, proposals: Sequence[Proposal], named: int | None, forms: Forms, short: bool
) -> tuple[str, str, tuple[str, ...]]:
    """(what a user might type, the sentence form it was built from, the words for each of several changes)."""
    texts: list[str] = []
    if len(proposals) > 1:
        form = JOINED.draw(rng, forms)
        texts = [fill(p.instruction.short.draw(rng, inner(forms)), p.words) for p in proposals]
        text = fill(form, {"one": texts[0], "other": texts[1]})
    else:
        instruction = proposals[0].instruction
        form = (instruction.short if short or named else instruction.all).draw(
            rng, "train" if named and forms == "held_out" else forms
        )
        text = fill(form, proposals[0].words)
    if named is not None:
        form = IN_PICTURE.draw(rng, forms)
        text = fill(form, {"request": text, "picture": the_picture(rng, named)})
    return (text if short else add_noise(rng, text)), form, tuple(texts)
