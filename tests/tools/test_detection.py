"""Finding, counting and outlining things by their names, on small random checkpoints of public layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import levels, photo, shapes
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_tools import ToolUnavailable, detection, find, unavailable

LABELS = ["cat", "a red cup"]
Using = Callable[..., None]
Tiny = Callable[[str], Path]


def library_boxes(folder: Path, kind: str, image: Image.Image, threshold: float) -> list[tuple[float, list[float]]]:
    """Scores and boxes (fractions, cut to the picture) by the library's own classes and post-processing."""
    import torch
    import transformers as t

    processor = t.AutoProcessor.from_pretrained(folder)
    model = t.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    text: Any = [LABELS] if kind.startswith("owl") else ". ".join(LABELS) + "."
    inputs = processor(text=text, images=image, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    options: dict[str, Any] = {"threshold": threshold, "target_sizes": [(image.height, image.width)]}
    if not kind.startswith("owl"):
        options["input_ids"] = inputs["input_ids"]
    (found,) = processor.post_process_grounded_object_detection(outputs, **options)
    boxes = (found["boxes"] / torch.tensor([*image.size, *image.size])).clamp(0, 1)
    return list(zip(found["scores"].tolist(), boxes.tolist(), strict=True))


def overlap(one: Any, other: Any) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(across, 0) * max(down, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("kind", ["owlv2", pytest.param("owlvit", marks=pytest.mark.slow), "grounding-dino"])
def test_detecting_gives_what_the_library_gives_each_thing_once(using: Using, tiny: Tiny, kind: str) -> None:
    using(detection=kind)
    image = photo("coffee")
    result = find("detect")(image, labels=LABELS, threshold=0.4)
    found = result.data
    by_library = library_boxes(tiny(kind), kind, image, 0.4)
    assert 2 <= found["count"] == len(found["boxes"]) == len(found["labels"]) == len(found["scores"])
    assert found["count"] <= len(by_library)
    assert found["scores"] == sorted(found["scores"], reverse=True)
    assert min(found["scores"]) >= 0.4
    assert set(found["labels"]) <= set(LABELS)
    for box in found["boxes"]:
        assert 0 <= box[0] < box[2] <= 1
        assert 0 <= box[1] < box[3] <= 1
        assert min(np.abs(np.subtract(box, other)).max() for _, other in by_library) < 1e-3
    things = list(zip(found["labels"], found["boxes"], strict=True))
    for place, (label, box) in enumerate(things):
        assert all(overlap(box, other) <= 0.5 for name, other in things[:place] if name == label)
    if kind == "owlv2":
        assert found["scores"][0] == pytest.approx(max(score for score, _ in by_library), abs=1e-3)
    assert result.image.size == image.size
    left, top, _, bottom = (round(edge * side) for edge, side in zip(found["boxes"][0], image.size * 2, strict=True))
    assert (levels(result.image)[(top + bottom) // 2, min(left, 599)] == (255, 0, 0)).all(), "its edge is drawn in red"
    assert f"Found {found['count']}" in result.text
    assert f"by the detection model {kind}" in result.text
    assert str(tiny(kind)) not in result.text, "no path"


def test_nothing_is_found(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    using(detection="owlv2")
    result = find("detect")(photo("coffee"), labels=LABELS, threshold=0.99)
    assert (result.data["count"], result.data["boxes"], result.images) == (0, [], ())
    assert result.text.startswith("Found nothing with a score of 0.99 or more")
    assert "Not found: cat, a red cup." in result.text
    monkeypatch.setitem(detection._THRESHOLDS, "owlv2", 0.99)
    counted = find("count_objects")(photo("coffee"), label="cat")
    assert counted.data["count"] == 0
    assert counted.text.startswith("0 found that are 'cat'")
    for name in ("segment", "remove_background"):
        with pytest.raises(InvalidRequest, match=r"nothing that is 'cat' with a score of 0.99 or more: say it"):
            find(name)(photo("coffee"), label="cat")


def test_labels_that_cannot_be_looked_for(using: Using) -> None:
    using(detection="owlv2")
    detect = find("detect")
    with pytest.raises(InvalidRequest, match=r"too long for the owlv2 model: give fewer words"):
        detect(photo("coffee"), labels=["the small white cup at the left end of the long table"])
    with pytest.raises(InvalidRequest, match="a label is empty"):
        detect(photo("coffee"), labels=["cat", "  "])
    with pytest.raises(InvalidRequest, match="labels"):
        detect(photo("coffee"), labels=[])
    once, twice = (detect(photo("coffee"), labels=labels).data for labels in (["cat"], ["cat", " cat "]))
    assert once == twice
    using(detection="grounding-dino")
    for empty in ("...", "\u200b"):
        with pytest.raises(InvalidRequest, match="a label has no words in it"):
            detect(photo("coffee"), labels=["cat", empty])
    assert detect(photo("coffee"), labels=["cat.dog"], threshold=0.1).data["labels"][0] == "cat.dog", "as it was given"


def test_without_the_model_it_is_said_what_to_do(using: Using) -> None:
    using(detection=None, segmentation=None)
    remedy = r"needs the detection model: run `hf download nobody/nothing`, or .*GENLLAVA_DETECTION_MODEL"
    with pytest.raises(ToolUnavailable, match=f"detect {remedy}"):
        find("detect")(photo("coffee"), labels=LABELS)
    assert "`hf download nobody/nothing`" in unavailable()["detect"]
    assert "\n" not in unavailable()["detect"]
    for name in ("segment", "count_objects", "remove_background"):
        assert name not in unavailable(), "without a label they run"
        with pytest.raises(ToolUnavailable, match=remedy):
            find(name)(photo("coffee"), label="cat")


def test_counting_by_name(using: Using) -> None:
    using(detection="owlv2")
    every = find("detect")(photo("coffee"), labels=["cat"]).data
    counted = find("count_objects")(photo("coffee"), label="cat", smallest=0)
    assert counted.data == every
    assert f"{every['count']} found that are 'cat', by the detection model owlv2" in counted.text
    areas = sorted((box[2] - box[0]) * (box[3] - box[1]) for box in every["boxes"])
    fewer = find("count_objects")(photo("coffee"), label="cat", smallest=areas[-1] - 1e-6)
    assert fewer.data["count"] == 1
    assert f"{len(areas) - 1} smaller than" in fewer.text
    assert "the simple way" in find("count_objects")(shapes()).text
    assert find("count_objects")(shapes()).data["count"] == 2


def library_masks(folder: Path, kind: str, image: Image.Image, several: bool, **where: Any) -> np.ndarray:
    """The union of masks by the library's own classes and post-processing, [H, W]."""
    import torch
    import transformers as t

    version = "Sam" if kind == "sam" else "Sam2"
    processor = getattr(t, f"{version}Processor").from_pretrained(folder)
    model = getattr(t, f"{version}Model").from_pretrained(folder).eval()
    inputs = processor(images=image, return_tensors="pt", **where)
    sizes = [inputs[name] for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
    given = {name: value for name, value in inputs.items() if name not in ("original_sizes", "reshaped_input_sizes")}
    given = {name: value.float() if value.is_floating_point() else value for name, value in given.items()}
    with torch.inference_mode():
        outputs = model(**given, multimask_output=several)
    (masks,) = processor.image_processor.post_process_masks(outputs.pred_masks, *sizes)
    best = outputs.iou_scores[0].argmax(1)
    return np.any([masks[row, int(place)].numpy() for row, place in enumerate(best)], axis=0)


@pytest.mark.parametrize("kind", [pytest.param("sam2", marks=pytest.mark.slow), "sam2_video", "sam"])
def test_segmenting_by_a_model_gives_what_the_library_gives(using: Using, tiny: Tiny, kind: str) -> None:
    using(segmentation=kind)
    image = photo("coffee")
    result = find("segment")(image, box=(0.2, 0.1, 0.8, 0.9))
    wanted = library_masks(tiny(kind), kind, image, False, input_boxes=[[[120.0, 40.0, 480.0, 360.0]]])
    assert ((levels(result.image) == 255) == wanted).mean() > 0.999
    assert (result.image.mode, result.image.size) == ("L", image.size)
    assert result.data["by_model"] is True
    assert result.data["share"] == pytest.approx(wanted.mean(), abs=1e-3)
    assert f"Found by the segmentation model {kind}" in result.text
    assert "simple" not in result.text
    result = find("segment")(image, point=(0.5, 0.25))
    point = {"input_points": [[[[300.0, 100.0]]]], "input_labels": [[[1]]]}
    wanted = library_masks(tiny(kind), kind, image, True, **point)
    assert ((levels(result.image) == 255) == wanted).mean() > 0.999


def test_what_segments_is_chosen_and_said(using: Using) -> None:
    using(segmentation="sam2_video")
    by_color = find("segment")(shapes(), point=(0.2, 0.5), tolerance=0.1)
    assert by_color.data["by_model"] is False
    assert by_color.data["share"] == 0.08
    assert "the simple way" in by_color.text
    with pytest.raises(InvalidRequest, match="`tolerance` is for a region of one colour around a `point`"):
        find("segment")(shapes(), box=(0.1, 0.1, 0.5, 0.9), tolerance=0.1)
    for arguments in ({}, {"box": (0, 0, 0.5, 0.5), "point": (0.1, 0.1)}, {"point": (0.1, 0.1), "label": "cat"}):
        with pytest.raises(InvalidRequest, match="give one of `box`, around the object, `point`, on it, and `label`"):
            find("segment")(shapes(), **arguments)
    with pytest.raises(InvalidRequest, match="give one of `box`, `label` and `mask`"):
        find("remove_background")(shapes(), box=(0, 0, 0.5, 0.5), label="cat")


def test_segmenting_by_name(using: Using, tiny: Tiny) -> None:
    """Detection, then a mask of each: by the segmentation model, or the simple way where there is none."""
    using(detection="owlv2", segmentation="sam2_video")
    image = photo("coffee")
    found = find("detect")(image, labels=["cat"]).data
    result = find("segment")(image, label="cat")
    corners = [[edge * side for edge, side in zip(box, image.size * 2, strict=True)] for box in found["boxes"]]
    wanted = library_masks(tiny("sam2_video"), "sam2", image, False, input_boxes=[corners])
    assert ((levels(result.image) == 255) == wanted).mean() > 0.999
    assert {name: result.data[name] for name in found} == found
    assert "by the segmentation model sam2_video" in result.text
    assert f"the detection model owlv2 found {found['count']}: cat {found['scores'][0]:.2f} at" in result.text
    cut = find("remove_background")(image, label="cat")
    assert cut.image.mode == "RGBA"
    assert np.abs(levels(cut.image.getchannel("A")) - levels(result.image)).mean() < 8, "but for soft edges"
    using(segmentation=None)
    simply = find("segment")(image, label="cat")
    assert "the simple way, by colours: GrabCut in the box of each" in simply.text
    assert simply.data["by_model"] is False
    inside = np.zeros((400, 600), bool)
    for left, top, right, bottom in corners:
        inside[int(top) : int(bottom) + 2, int(left) : int(right) + 2] = True
    assert not (levels(simply.image) == 255)[~inside].any()


def test_removing_the_background_by_a_mask() -> None:
    mask = Image.new("L", (200, 100), 0)
    mask.paste(255, (20, 30, 60, 70))
    result = find("remove_background")(shapes(), mask=mask)
    assert result.image.getpixel((40, 50)) == (255, 0, 0, 255)
    assert result.image.getpixel((160, 50))[3] == 0
    assert result.data["box"] == (0.1, 0.3, 0.3, 0.7)
    assert "by the mask that was given" in result.text
