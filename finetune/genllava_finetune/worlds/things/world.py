"""The things world behind the interface of all worlds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from genllava_finetune.data.rows import Row
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Case, Frozen, Produced, Score, Split, Turn
from genllava_finetune.worlds.things import freezing, rows, suites
from genllava_finetune.worlds.things.grading import grading
from genllava_finetune.worlds.things.pictures.render import CANVAS

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline


class ThingsWorld:
    """Pictures of up to five of some three hundred drawn things on a background; see `worlds.base.World`.

    The tasks of a turn of its suites name the tool after `TOOL`: "TOOL crop"; a segment that a model produced for it
    has the task `TOOL`, and the call as JSON in its text.
    """

    name = rows.NAME
    side = CANVAS
    suites = suites.SUITES

    def rows(
        self, seed: int, *, start: int = 0, count: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Iterator[Row]:
        """Training rows; their options are `rows.RowOptions`."""
        return rows.rows(seed, start=start, count=count, options=options)

    def grade(self, turn: Turn, produced: Sequence[Produced]) -> Score:
        return grading.score_turn(cast(grading.Asked, turn), produced)

    def kind(self, turn: Turn) -> str:
        return cast(grading.Asked, turn).kind

    def details(self, turn: Turn, score: Score) -> Iterable[tuple[str, bool]]:
        return grading.details_of(cast(grading.Asked, turn), score)

    def baselines(self, pipeline: GenLlavaPipeline, name: str, cases: Sequence[Case]) -> dict[str, Share]:
        from genllava_finetune.worlds.things.baselines import baselines_of

        return baselines_of(pipeline, name, cast(Sequence[suites.Case], cases))

    def grader_bounds(self, pipeline: GenLlavaPipeline, split: Split, n: int) -> dict[str, Share]:
        from genllava_finetune.worlds.things.baselines import parser_bounds

        return parser_bounds(pipeline, split, n)

    def fingerprint(self, cases: Sequence[Case]) -> str:
        return freezing.fingerprint(cast(Sequence[suites.Case], cases))

    def frozen(self, name: str, split: Split, cases: Sequence[Case]) -> Frozen:
        return freezing.check_frozen(name, split, cast(Sequence[suites.Case], cases))


WORLD: Final = ThingsWorld()
