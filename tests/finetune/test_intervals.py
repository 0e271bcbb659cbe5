"""Wilson's interval, against values from its literature."""

from __future__ import annotations

import json

import pytest

from genllava_finetune.intervals import Share


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (50, 50, 0.9287, 1.0),
    ],
)
def test_known_values(right: int, n: int, low: float, high: float) -> None:
    assert Share(right, n).interval == pytest.approx((low, high), abs=1e-4)


def test_no_cases_say_nothing() -> None:
    assert Share(0, 0).interval == (0, 1)
    assert Share.of([]) == Share(0, 0)


def test_a_share_as_text_and_data() -> None:
    share = Share.of([True, True, True, False])
    assert str(share) == "75.0% [30.1, 95.4]"
    assert json.loads(json.dumps(share.as_dict()))["right"] == 3
