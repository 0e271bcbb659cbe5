"""What the decoder of `weights/things` draws, read by the oracle."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from genllava import GenLlavaPipeline
from genllava.layout_decoder.pipeline import LayoutDecoderPipeline
from genllava_finetune.worlds.things.knowledge.things import things
from genllava_finetune.worlds.things.oracle.parser import parse
from genllava_finetune.worlds.things.pictures.plan import write_plan
from genllava_finetune.worlds.things.pictures.render import render
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.requests.requests import edit

WEIGHTS = Path(__file__).parents[4] / "weights" / "things"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("things_art")]


@pytest.fixture(scope="module")
def decoder() -> LayoutDecoderPipeline:
    loaded: LayoutDecoderPipeline = GenLlavaPipeline.from_pretrained(WEIGHTS).decoder
    return loaded


def test_new_pictures_show_their_plans(decoder: LayoutDecoderPipeline) -> None:
    source = random.Random("trained decoder")
    scenes = [sample_scene(source, things()) for _ in range(50)]
    images = decoder([write_plan(scene) for scene in scenes]).images
    right = sum(parse(image).scene.key == scene.key for scene, image in zip(scenes, images, strict=True))
    assert right >= 44


def test_edits_change_what_they_should_and_keep_the_rest(decoder: LayoutDecoderPipeline) -> None:
    source, cases = random.Random("trained edits"), []
    while len(cases) < 30:
        scene = sample_scene(source, things(), free=source.random() < 0.6)
        if (found := edit(source, scene, things())) is not None:
            cases.append((scene, found.scene))
    before, after = ([write_plan(scene) for scene in scenes] for scenes in zip(*cases, strict=True))
    images = decoder(after, image=[render(scene) for scene, _ in cases], source_prompt=before).images
    right = sum(parse(image).scene.key == wanted.key for (_, wanted), image in zip(cases, images, strict=True))
    assert right >= 26
