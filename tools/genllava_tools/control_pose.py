"""Tools that draw people as skeletons, for ControlNets of kind pose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava.errors import CheckpointError
from genllava_tools.auto_models import Runner, load
from genllava_tools.aux_detectors import AuxDetector
from genllava_tools.control_map import (
    RESOLUTION,
    Resolution,
    Source,
    Working,
    control_map,
    finished,
    working_copy,
)
from genllava_tools.errors import EmptyControlMap
from genllava_tools.models import model
from genllava_tools.registry import visual_tool
from genllava_tools.skeleton import COCO, Person, Place, body_of_coco, draw_people

_NOBODY_DO: Final = "crop to where somebody is seen"
_NOBODY: Final = f"nobody was found; {_NOBODY_DO}"
_SURE: Final = 0.3
"""Scores from which on a joint is drawn."""
_DETECTORS: Final = ("rt_detr", "rt_detr_v2", "d_fine", "detr")
_Map = tuple[Image.Image, str, dict[str, Any]]


def _openpose(package: Any, folder: Path) -> Any:
    return package.OpenposeDetector.from_pretrained(str(folder))


OPENPOSE: Final = AuxDetector(
    model("openpose", "lllyasviel/Annotators", ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth")),
    _openpose,
    ("body_estimation.model", "hand_estimation.model", "face_estimation.model"),
)
POSE: Final = model("pose", "usyd-community/vitpose-base-simple")
PEOPLE: Final = model("people", "PekingU/rtdetr_r50vd_coco_o365")


@visual_tool(kind="control", needs=[OPENPOSE.need()])
def pose_openpose(
    image: Source,
    hands: Annotated[bool, Field(description="Find the fingers too.")] = False,
    face: Annotated[bool, Field(description="Find the points of the face too.")] = False,
    resolution: Resolution = RESOLUTION,
) -> _Map:
    """Draw the people in a picture as skeletons (OpenPose) for a ControlNet of kind pose: a new picture then has
    people in the same poses. Its weights are for non-commercial use only; `pose_vitpose` is newer.
    """
    people = list[Person]()

    def detect(work: Working) -> NDArray[np.uint8]:
        height, width = work.pixels.shape[:2]
        scale = width / work.width, height / work.height
        poses = detector.detect_poses(work.pixels, include_hand=hands, include_face=face)
        people.extend(_openpose_person(pose, scale) for pose in poses)
        return draw_people(people, work.width, work.height)

    with OPENPOSE.ready() as detector:
        made = control_map(image, resolution, detect, _NOBODY)
    return _told(made, people)


@visual_tool(kind="control", needs=[POSE.need(), PEOPLE.need()])
def pose_vitpose(
    image: Source,
    threshold: Annotated[float, Field(ge=0.05, le=0.95, description="How sure it has to be of a person.")] = 0.5,
    most: Annotated[int, Field(ge=1, le=50, description="The most people that are drawn: the surest ones.")] = 20,
    resolution: Resolution = 1024,
) -> _Map:
    """Draw the people in a picture as skeletons (ViTPose, after a detector of people) for a ControlNet of kind
    pose: a new picture then has people in the same poses. Bodies only, without fingers and faces.
    """
    copy = working_copy(image, resolution)
    people = _poses(copy, _boxes(copy, threshold)[:most])
    canvas = Image.fromarray(draw_people(people, copy.width, copy.height))
    return _told(finished(canvas, image.size, _NOBODY), people)


def _told(made: _Map, people: Sequence[Person]) -> _Map:
    image, said, found = made
    joints = [person.joints() for person in people]
    each = ", ".join(str(len(named)) for named in joints)
    counted = f"1 person with {each} joints" if len(people) == 1 else f"{len(people)} people with {each} joints"
    return image, f"{counted}. {said}", {"count": len(people), "people": joints, **found}


def _boxes(image: Image.Image, threshold: float) -> list[list[float]]:
    """The boxes of people [left, top, width, height] in pixels, the surest first.

    Raises:
        EmptyControlMap: there is nobody.
    """
    runner = PEOPLE.loaded(_load_people)
    made = runner.outputs(runner.processor(images=image, return_tensors="pt"), finite=("logits", "pred_boxes"))
    size = [(image.height, image.width)]
    (found,) = runner.processor.post_process_object_detection(made, threshold=threshold, target_sizes=size)
    wanted = _people_labels(runner.model.config)
    rows = zip(found["scores"].tolist(), found["labels"].tolist(), found["boxes"].tolist(), strict=True)
    people = sorted(((score, box) for score, label, box in rows if label in wanted), reverse=True)
    if not people:
        raise EmptyControlMap(f"no person has a score of {threshold:g} or more: lower `threshold`, or {_NOBODY_DO}")
    return [[left, top, right - left, bottom - top] for _, (left, top, right, bottom) in people]


def _poses(image: Image.Image, boxes: list[list[float]]) -> list[Person]:
    import torch

    runner = POSE.loaded(_load_pose)
    inputs = dict(runner.processor(image, boxes=[boxes], return_tensors="pt"))
    if runner.model.config.backbone_config.num_experts > 1:  # ViTPose++: which data set's joints, 0 is COCO's
        inputs["dataset_index"] = torch.zeros(len(boxes), dtype=torch.long)
    made = runner.outputs(inputs, finite=("heatmaps",))
    (found,) = runner.processor.post_process_pose_estimation(made, boxes=[boxes])
    people = list[Person]()
    for pose in found:
        rows = zip(pose["keypoints"].tolist(), pose["scores"].tolist(), strict=True)
        places = [(x / image.width, y / image.height) if score >= _SURE else None for (x, y), score in rows]
        people.append(Person(body_of_coco(places)))
    return people


def _openpose_person(pose: Any, scale: tuple[float, float]) -> Person:
    """Someone whom controlnet-aux found: a joint that it did not find is None there, or one of a hand below 0.

    Args:
        scale: from fractions of what it looked at to fractions of the picture.
    """

    def place(point: Any) -> Place:
        return None if point is None or min(point.x, point.y) < 0 else (point.x * scale[0], point.y * scale[1])

    hands = [hand for hand in (pose.left_hand, pose.right_hand) if hand]
    return Person(
        tuple(map(place, pose.body.keypoints)),
        tuple(tuple(map(place, hand)) for hand in hands),
        tuple(map(place, pose.face or ())),
    )


def _people_labels(config: Any) -> set[int]:
    return {number for number, name in config.id2label.items() if name == "person"}


def _load_people(folder: Path) -> Runner:
    runner = load(
        folder,
        "AutoModelForObjectDetection",
        dict.fromkeys(_DETECTORS, "AutoImageProcessor"),
        f"finds people ({', '.join(_DETECTORS)})",
    )
    if not _people_labels(runner.model.config):
        raise CheckpointError("it finds no people: none of its labels is `person`")
    return runner


def _load_pose(folder: Path) -> Runner:
    kinds = {"vitpose": "AutoImageProcessor"}
    runner = load(folder, "AutoModelForPoseEstimation", kinds, "finds the joints of people (vitpose)")
    if runner.model.config.num_labels != len(COCO):
        raise CheckpointError(f"it finds {runner.model.config.num_labels} joints, and not the {len(COCO)} of COCO")
    return runner
