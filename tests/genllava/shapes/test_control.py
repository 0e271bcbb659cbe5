"""Control maps of the shapes model: edges say where and how large, words say what and in which colours."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image, ImageDraw

from benchmarks.control import Case, Verdict, cases, judge
from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava.image_decoder.controlnets import check_controlnet
from genllava.pipeline_output import Drawing
from genllava.protocols.shapes.control import EDGES, read_steering
from genllava.protocols.shapes.options import Settings
from genllava.protocols.shapes.tokens import T2I
from genllava_finetune.worlds.shapes.layouts import misplaced
from genllava_finetune.worlds.shapes.plan import write_plan
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing
from genllava_finetune.worlds.shapes.training.controlnet import wake

SIDE = 32


def edges(
    side: int = SIDE, box: tuple[float, float, float, float] = (0.2, 0.2, 0.6, 0.6), width: int = 1
) -> Image.Image:
    """A square in white lines on black, `box` in shares of the side."""
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).rectangle([round(each * side) for each in box], outline=255, width=width)
    return image


def controlnet(seed: int = 0) -> Any:
    """A ControlNet of the layout of the small pipeline, whose outputs are not zero."""
    torch.manual_seed(seed)
    make: Any = ControlNetModel
    made = make(
        in_channels=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
        conditioning_embedding_out_channels=(8, 8, 8, 8),
    )
    maps = torch.from_numpy(np.asarray(edges(), np.float32) / 255).expand(1, 3, -1, -1)
    wake(made.controlnet_cond_embedding, maps)
    for layer in (*made.controlnet_down_blocks, made.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight)
    return made.eval()


@pytest.fixture(scope="module")
def small(shared_pipeline: GenLlavaPipeline) -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pipe(shared_pipeline, controlnets={"canny": controlnet(), "other": controlnet(1)})


@pytest.fixture(scope="module")
def shipped() -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained(device="cpu")


def draw(pipe: GenLlavaPipeline, **options: Any) -> Drawing:
    drawing: Drawing = pipe.generate("a red circle", plan="a red circle", seed=3, **options)
    return drawing


def apart(one: Drawing, other: Drawing) -> float:
    """How far two drawings are apart, as a share of the first; the random autoencoder shows little of it."""
    assert one.latents is not None
    assert other.latents is not None
    return float((one.latents - other.latents).norm() / one.latents.norm())


@pytest.mark.parametrize("bridge", ["caption", "head"])
def test_a_control_map_steers_as_strongly_as_asked(small: GenLlavaPipeline, bridge: str) -> None:
    control = {"canny": edges()}
    plain, steered = draw(small, bridge=bridge), draw(small, bridge=bridge, control=control)
    assert apart(plain, draw(small, bridge=bridge, control=control, control_scale=0)) == 0
    half = draw(small, bridge=bridge, control=control, control_scale={"canny": 0.5})
    assert apart(plain, steered) > 0.01
    assert apart(plain, half) > 0.005
    assert apart(steered, half) > 0.005


def test_several_control_nets_steer_together(small: GenLlavaPipeline) -> None:
    one, other = {"canny": edges()}, {"other": edges(box=(0.5, 0.5, 0.9, 0.9))}
    assert apart(draw(small, control=one), draw(small, control=one | other)) > 0.01
    alone = draw(small, control=one | other, control_scale={"canny": 1.0, "other": 0.0})
    assert apart(draw(small, control=one), alone) < 1e-5


def test_a_picture_does_not_depend_on_its_batch(small: GenLlavaPipeline) -> None:
    maps = [edges(), edges(box=(0.5, 0.1, 0.9, 0.5)), edges(box=(0.1, 0.5, 0.4, 0.8))]
    prompts = ["a red circle", "a blue star", "a red star"]
    options: dict[str, Any] = {"guidance_scale": 3.0}
    together = small.generate(prompts, plan=prompts, seed=[1, 2, 3], control={"canny": maps}, **options)
    for drawing, prompt, seed, mapped in zip(together, prompts, (1, 2, 3), maps, strict=True):
        alone = small.generate(prompt, plan=prompt, seed=seed, control={"canny": mapped}, **options)
        assert apart(drawing, alone) < 1e-4
    shared = small.generate(prompts, plan=prompts, seed=[1, 2, 3], control={"canny": maps[0]}, **options)
    assert apart(shared[0], together[0]) < 1e-4
    assert apart(shared[1], together[1]) > 0.005


def test_a_conversation_draws_under_control_and_does_not_edit(small: GenLlavaPipeline) -> None:
    def talk(task: str, **options: Any) -> Drawing:
        conversation = small.conversation()
        conversation.add_user("a red circle", [Image.new("RGB", (SIDE, SIDE))], look=False)
        drawing: Drawing = conversation.draw(task, plan="a red circle", seed=3, **options)
        return drawing

    steered = talk(T2I, control={"canny": edges()})
    assert apart(steered, talk(T2I)) > 0.01
    with pytest.raises(InvalidRequest, match="control steers new pictures"):
        talk("[I2I]", control={"canny": edges()})
    with pytest.raises(InvalidRequest, match="control steers new pictures"):
        small.edit(edges(), "make it red", plan="a red circle", control={"canny": edges()})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"control": {"canny": Image.new("L", (64, 64))}}, "'canny' shows no edges"),
        ({"control": {"canny": Image.new("L", (64, 64), 255)}}, "white on 100%"),
        ({"control": {"canny": edges().resize((64, 32))}}, "64x32, and this model draws square pictures"),
        ({"control": {"pose": edges()}}, "no ControlNet 'pose': there are canny, other"),
        ({"control": {"canny": [edges()] * 2}}, "2 maps for 1 pictures"),
        (
            {"control": {"canny": edges()}, "control_scale": math.nan},
            "control_scale of 'canny' must be a number from 0",
        ),
        (
            {"control": {"canny": edges()}, "control_scale": math.inf},
            "control_scale of 'canny' must be a number from 0",
        ),
        ({"control": {"canny": edges()}, "control_scale": {"depth": 1.0}}, "names 'depth'"),
        ({"control_scale": 0.5}, "without effect"),
        ({"control": {}}, "control map by the name"),
    ],
)
def test_what_cannot_steer_is_refused(small: GenLlavaPipeline, options: dict[str, Any], said: str) -> None:
    before = replace(small.counters)
    with pytest.raises(InvalidRequest, match=said):
        draw(small, **options)
    assert small.counters == before, "nothing was begun"


@pytest.mark.parametrize("side", [SIDE // 2, SIDE, 4 * SIDE + 3, 33 * SIDE])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_lines_stay_lines_at_any_size_and_mode(small: GenLlavaPipeline, side: int, mode: str) -> None:
    settings = Settings.resolve(small.protocol.config, {"control": {"canny": edges(side).convert(mode)}})
    steering = read_steering(small.protocol, settings, T2I, 1)
    assert steering is not None
    (maps,) = steering.maps
    assert maps.shape == (1, 3, SIDE, SIDE)
    assert bool(((maps == 0) | (maps == 1)).all())
    outline = torch.from_numpy(np.asarray(edges()) > 0)
    near = torch.nn.functional.max_pool2d(maps[:, :1], 3, 1, 1)[0, 0] > 0
    assert near[outline].float().mean() > 0.95, "the square is closed"
    assert maps[0, 0].mean() < 0.35, "and not filled"


# --- the ControlNet that ships ---


def verdicts(pipe: GenLlavaPipeline, chosen: list[Case], **options: Any) -> list[Verdict]:
    rng = random.Random(1)
    plans = [write_plan(misplaced(rng, case.asked)) for case in chosen]  # places in words that the edges contradict
    drawn = pipe.generate(
        plans,
        plan=plans,
        seed=[case.seed for case in chosen],
        control={EDGES: [case.edges for case in chosen]},
        **options,
    )
    return [judge(drawing.image, case.asked) for drawing, case in zip(drawn, chosen, strict=True) if drawing.image]


def test_the_model_that_ships_keeps_the_layout_of_edges_in_the_colours_of_words(shipped: GenLlavaPipeline) -> None:
    chosen = list(cases(12))
    with_control = verdicts(shipped, chosen)
    assert sum(verdict.both for verdict in with_control) >= 7
    without = verdicts(shipped, chosen, control_scale=0)
    assert sum(verdict.layout for verdict in without) <= 1


def test_it_takes_a_prompt_as_people_write_it(shipped: GenLlavaPipeline) -> None:
    case = next(case for case in cases(200) if {t.shape for t in case.asked.things} == {"circle", "square"})
    drawing = shipped.generate(case.prompt, control={EDGES: case.edges.resize((512, 512))}, seed=0)
    assert drawing.image is not None
    assert judge(drawing.image, case.asked).both


def test_it_is_read_when_it_is_first_used(shipped: GenLlavaPipeline) -> None:
    fresh = GenLlavaPipeline.from_pretrained(device="cpu")
    assert list(fresh.controlnets) == [EDGES]
    assert not fresh.controlnets.loaded
    check_controlnet(EDGES, fresh.controlnets[EDGES], fresh.decoder)
    assert len(fresh.controlnets.loaded) == 1


# --- the judge ---


def recolour(scene: Scene, colors: list[str]) -> Scene:
    return Scene(scene.background, tuple(replace(t, color=c) for t, c in zip(scene.things, colors, strict=True)))


@pytest.mark.parametrize("case", [case for case in cases(20) if len(case.asked.things) > 1][:4])
def test_the_judge_tells_layouts_and_colours_apart(case: Case) -> None:
    asked = recolour(case.asked, ["red", "green", "blue", "yellow"][: len(case.asked.things)])
    told = {
        (True, True, True): asked,
        (True, False, False): recolour(asked, ["red"] * len(asked.things)),
        (False, True, False): Scene(asked.background, tuple(replace(t, dx=t.dx + 8) for t in asked.things)),
        (False, False, False): asked.without(asked.things[:1]),
    }
    if len({(thing.shape, thing.size) for thing in asked.things}) == len(asked.things):  # colours change places
        told[True, True, False] = recolour(asked, [t.color for t in (*asked.things[1:], asked.things[0])])
    for expected, scene in told.items():
        verdict = judge(render(scene), asked)
        assert (verdict.layout, verdict.colors, verdict.both) == expected


def test_an_object_too_many_or_in_another_shape_does_not_keep_a_layout() -> None:
    asked = Scene("white", (Thing(0, "circle", "red", "large"), Thing(4, "square", "blue", "large")))
    assert judge(render(asked), asked).both
    assert not judge(render(asked.with_thing(Thing(8, "star", "red", "small"))), asked).layout
    other = asked.replacing(asked.things[0], Thing(0, "square", "red", "large"))
    assert min(judge(render(other), asked).overlaps) > 0.7
    assert not judge(render(other), asked).layout
