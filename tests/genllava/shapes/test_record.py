"""What ships behaves as it did: what it answered, planned, noted and drew is asked again and compared.

`python -m benchmarks.shapes_record` says more, and writes the record anew where a change is meant.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.shapes_record import Record, differences, pixel_hash
from genllava.pipeline_genllava import GenLlavaPipeline

RECORD = Path(__file__).with_name("record.json.gz")
EVERY = 40


@pytest.fixture(scope="module")
def shipped() -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained()


@pytest.fixture(scope="module")
def record() -> Record:
    return Record.load(RECORD)


def test_the_record_is_whole(record: Record) -> None:
    assert len(record.requests) == 300
    assert len(record.conversations) == 100
    assert {key: pixel_hash(image) for key, image in record.pictures.items()} == {key: key for key in record.pictures}
    drawn = [request["result"]["image"] for request in record.requests]
    drawn += [r["image"] for messages in record.conversations for message in messages for r in message["results"]]
    assert record.drawn.keys() == set(drawn) - {None}


def test_a_part_of_it_comes_out_the_same(shipped: GenLlavaPipeline, record: Record) -> None:
    assert differences(shipped, record, every=EVERY) == []


@pytest.mark.slow
def test_all_of_it_comes_out_the_same(shipped: GenLlavaPipeline, record: Record) -> None:
    assert differences(shipped, record) == []


def test_what_comes_out_otherwise_is_found(shipped: GenLlavaPipeline, record: Record) -> None:
    other = deepcopy(record)
    drawing = next(request for request in other.requests if request["result"]["image"])
    shortest = min(other.conversations, key=len)
    other.requests, other.conversations = [drawing], [shortest]
    image = other.drawn[drawing["result"]["image"]].copy()
    image.paste((1, 2, 3), (0, 0, 30, 30))
    drawing["result"] |= {"image": "other", "plan": "nothing", "tasks": {"[I2T]": 1.0}}
    other.drawn["other"] = image
    other.conversations[0][-1]["results"].pop()
    found = differences(shipped, other)
    assert [line.rpartition("): ")[2].partition(":")[0] for line in found[:3]] == ["plan", "tasks", "picture"]
    assert "900 of 8192 pixels" in found[2]
    assert "results became" in found[3]
    assert len(found) == 4


def test_pictures_that_differ_by_rounding_are_the_same(shipped: GenLlavaPipeline, record: Record) -> None:
    other = deepcopy(record)
    drawing = next(request for request in other.requests if request["result"]["image"])
    other.requests, other.conversations = [drawing], []
    image = other.drawn[drawing["result"]["image"]].copy()
    pixel = image.getpixel((5, 5))
    assert isinstance(pixel, tuple)
    image.putpixel((5, 5), (pixel[0] + (1 if pixel[0] < 255 else -1), *pixel[1:]))
    drawing["result"] |= {"image": "other"}
    other.drawn["other"] = image
    assert differences(shipped, other) == []
    other.drawn["other"] = Image.eval(image, lambda level: 255 - level)
    assert len(differences(shipped, other)) == 1
