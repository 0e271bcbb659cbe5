"""Control maps by models of transformers: poses, normals and semantic segmentation, on random checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from control_checkpoints import TRANSFORMERS, people, pose, semantic
from control_pictures import SIZES, trap
from photos import levels, photo
from PIL import Image

from genllava.errors import CheckpointError
from genllava_tools import EmptyControlMap, find, use_model
from genllava_tools.ade_colors import ADE_COLORS
from genllava_tools.control_pose import PEOPLE, POSE
from genllava_tools.control_regions import SEMANTIC
from genllava_tools.models import Model
from genllava_tools.skeleton import COCO

PICTURE = photo("astronaut").crop((100, 0, 420, 200))
Made = Callable[[], tuple[Any, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def use(folder: Path) -> Iterator[Callable[..., None]]:
    """Chooses a checkpoint for a model, for one test."""
    used = set[str]()

    def chosen(name: str, make: Made | None = None, kind: str = "usual") -> None:
        place = folder / f"{name}-{kind}"
        if not place.exists():
            torch.manual_seed(0)
            model, processor = (make or TRANSFORMERS[name])()
            model.save_pretrained(place)
            processor.save_pretrained(place)
        used.add(name)
        use_model(name, place)

    yield chosen
    for name in used:
        use_model(name, None)


def loaded(model: Model) -> Any:
    """The model and its processor, as the tools run them."""
    return model.loaded(lambda _: pytest.fail("it was loaded already"))


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back(size: str, use: Callable[..., None]) -> None:
    for name in ("pose", "people", "normals", "semantic_segmentation"):
        use(name)
    for tool in ("normals_sapiens", "semantic_segmentation", "pose_vitpose"):
        made = find(tool)(trap(size)).image
        assert (made.mode, made.size) == ("RGB", SIZES[size])


def test_people_are_drawn_where_the_models_see_them(use: Callable[..., None]) -> None:
    use("people")
    use("pose")
    result = find("pose_vitpose")(PICTURE, most=3)
    assert result.data["count"] == len(result.data["people"]) == 3
    assert result.text.startswith("3 people with ")
    assert result.data["working_size"] == [320, 200]

    finder, poser = loaded(PEOPLE), loaded(POSE)
    found = finder.processor.post_process_object_detection(
        finder.model(**finder.processor(images=PICTURE, return_tensors="pt")), 0.5, [(200, 320)]
    )[0]
    best = found["boxes"][found["scores"].argsort(descending=True)[:3]].detach()
    best[:, 2:] -= best[:, :2]
    with torch.no_grad():
        heatmaps = poser.model(**poser.processor(PICTURE, boxes=[best.tolist()], return_tensors="pt"))
    expected = poser.processor.post_process_pose_estimation(heatmaps, boxes=[best.tolist()])[0]
    for person, each in zip(result.data["people"], expected, strict=True):
        named = zip(COCO, each["keypoints"].tolist(), each["scores"].tolist(), strict=True)
        sure = {name: [x / 320, y / 200] for name, (x, y), score in named if score >= 0.3}
        assert person.keys() - {"neck"} == sure.keys()
        for name, place in sure.items():
            assert person[name] == pytest.approx(place, abs=1e-3)
    pixels = levels(result.image)
    inside = [place for place in result.data["people"][-1].items() if min(place[1]) > 0 and max(place[1]) < 1]
    assert inside
    for _, (x, y) in inside:
        assert pixels[int(y * 200), int(x * 320)].any()


def test_one_person_at_most(use: Callable[..., None]) -> None:
    use("people")
    use("pose")
    result = find("pose_vitpose")(PICTURE, most=1)
    assert result.data["count"] == 1
    assert result.text.startswith("1 person with ")


def test_a_picture_without_people_is_said(use: Callable[..., None]) -> None:
    use("pose")
    use("people", lambda: people(sure=False), "of nobody")
    with pytest.raises(EmptyControlMap, match=r"no person has a score of 0\.5 or more: lower `threshold`"):
        find("pose_vitpose")(PICTURE)
    assert find("pose_vitpose")(PICTURE, threshold=0.2, most=1).data["count"] == 1


def test_the_larger_vitpose_is_told_which_joints(use: Callable[..., None]) -> None:
    use("people")
    use("pose", lambda: pose(num_experts=2), "of experts")
    assert find("pose_vitpose")(PICTURE, most=2).data["count"] == 2


def test_normals_are_colours(use: Callable[..., None]) -> None:
    use("normals")
    copy = PICTURE.resize((128, 64))
    made = levels(find("normals_sapiens")(copy).image)
    lengths = np.linalg.norm(made / 127.5 - 1, axis=2)
    assert abs(lengths - 1).max() < 0.02, "directions have length 1"
    turned = levels(find("normals_sapiens")(copy, flip_x=True, flip_y=True).image)
    assert abs(turned[..., :2] - (255 - made[..., :2])).max() <= 1
    assert (turned[..., 2] == made[..., 2]).all()


def test_regions_have_the_colours_of_their_kinds(use: Callable[..., None]) -> None:
    use("semantic_segmentation")
    result = find("semantic_segmentation")(PICTURE, resolution=160)
    colors = {color: count for count, color in result.image.getcolors(10**5)}
    assert colors.keys() <= set(ADE_COLORS)
    names = loaded(SEMANTIC).model.config.id2label
    shares = result.data["shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert {names[ADE_COLORS.index(color)] for color in colors} <= shares.keys()
    largest = max(shares, key=lambda name: shares[name])
    assert f"{largest} {shares[largest]:.1%}" in result.text


@pytest.mark.parametrize(
    ("tool", "name", "make", "said"),
    [
        ("semantic_segmentation", "semantic_segmentation", lambda: semantic(3), "3 kinds, and not the 150"),
        ("semantic_segmentation", "semantic_segmentation", pose, "it is a vitpose, and not a model that names regions"),
        ("normals_sapiens", "normals", semantic, "it is a upernet, and not a model that finds normals"),
        ("pose_vitpose", "pose", lambda: pose(joints=20), "20 joints, and not the 17"),
        ("pose_vitpose", "people", pose, "it is a vitpose, and not a model that finds people"),
    ],
)
def test_a_checkpoint_of_another_kind_is_said(
    tool: str, name: str, make: Made, said: str, use: Callable[..., None]
) -> None:
    use("people")
    use("pose")
    use(name, make, said)
    with pytest.raises(CheckpointError, match=said):
        find(tool)(PICTURE)


def test_a_detector_that_knows_no_people_is_said(use: Callable[..., None]) -> None:
    def made() -> tuple[Any, Any]:
        model, processor = people()
        model.config.id2label = {0: "cat", 1: "dog"}
        return model, processor

    use("pose")
    use("people", made, "of cats")
    with pytest.raises(CheckpointError, match="none of its labels is `person`"):
        find("pose_vitpose")(PICTURE)


def test_a_flat_map_is_refused(use: Callable[..., None]) -> None:
    def made() -> tuple[Any, Any]:
        model, processor = semantic()
        torch.nn.init.zeros_(model.decode_head.classifier.weight)
        return model, processor

    use("semantic_segmentation", made, "of one kind")
    with pytest.raises(EmptyControlMap, match="all of it is one kind"):
        find("semantic_segmentation")(Image.new("RGB", (64, 64)))
