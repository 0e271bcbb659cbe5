"""Every row of the table of control maps, run: detectors of controlnet-aux and of transformers on random weights."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from control_checkpoints import AUX, save_aux, save_transformers
from control_pictures import TRAPS, trap
from photos import levels, photo

from genllava.errors import CheckpointError
from genllava.images import load_image
from genllava_tools import EmptyControlMap, find, release_models, use_model
from genllava_tools.ade_colors import ADE_COLORS
from genllava_tools.aux_detectors import controlnet_aux
from genllava_tools.control_table import CONTROL, ControlRow
from genllava_tools.models import models
from genllava_tools.skeleton import Person, draw_people

HEAVY = {"lineart_anime", "normal_bae", "midas", "leres", "zoe", "openpose", "mobile_sam"}
"""Models of hundreds of megabytes, or that compute for minutes."""
Chosen = Callable[[str], Path]


def models_of(tool: str) -> list[str]:
    """The names of the models that a tool needs."""
    needed = {need.name for need in find(tool).needs}
    return [each.name for each in models() if f"the {each.name} model" in needed]


def rows(works: bool) -> list[Any]:
    chosen = [row for row in CONTROL if bool(row.tool) == works]
    return [
        pytest.param(row, id=row.detector, marks=[pytest.mark.slow] if works and HEAVY & {*models_of(row.tool)} else [])
        for row in chosen
    ]


@pytest.fixture(scope="module")
def package() -> Any:
    """controlnet-aux, imported as a tool imports it: nothing of it is seen."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = controlnet_aux()
    assert [str(each.message) for each in seen] == []
    return found


@pytest.fixture(scope="module")
def saved(package: Any, tmp_path_factory: pytest.TempPathFactory) -> Chosen:
    """Writes a checkpoint once."""
    done: dict[str, Path] = {}

    def written(name: str) -> Path:
        if name not in done:
            save = save_aux if name in AUX else save_transformers
            done[name] = save(name, tmp_path_factory.mktemp(name))
        return done[name]

    return written


@pytest.fixture
def chosen(saved: Chosen) -> Iterator[Chosen]:
    """Chooses a random checkpoint for a model, for one test."""
    used = list[str]()

    def choose(name: str) -> Path:
        folder = saved(name)
        used.append(name)
        use_model(name, folder)
        return folder

    yield choose
    for name in used:
        use_model(name, None)
        if name in HEAVY:
            release_models()


def test_the_table_has_every_detector_of_the_package(package: Any) -> None:
    exported = {name for name in vars(package) if name.lower().endswith("detector")}
    assert {row.detector.partition("(")[0] for row in CONTROL if row.of == "controlnet-aux"} == exported
    assert "KMP_DUPLICATE_LIB_OK" not in os.environ, "which the package sets for the process"


@pytest.mark.parametrize("row", rows(works=True))
def test_a_row_that_works(row: ControlRow, chosen: Chosen, recwarn: pytest.WarningsRecorder, capfd: Any) -> None:
    for name in models_of(row.tool):
        chosen(name)
    picture = photo("astronaut").crop((150, 0, 350, 120))
    options = {} if row.tool == "depth_map" else {"resolution": 128}
    if row.tool == "segment_anything":
        options["points"] = 2
    if row.tool == "pose_openpose":
        with pytest.raises(EmptyControlMap, match="nobody was found"):
            find(row.tool)(picture, **options)
        return
    result = find(row.tool)(picture, **options)
    assert result.image.size == picture.size
    assert np.ptp(levels(result.image)) > 0
    if find(row.tool).kind == "control":
        assert result.image.mode == "RGB"
        assert result.data["working_size"] == [128, 77]
        assert "Made at 128x77 pixels." in result.text
    if row.tool != "depth_zoe":  # which computes for minutes
        assert find(row.tool)(picture, **options).image.tobytes() == result.image.tobytes(), "no chance in it"
    assert [str(each.message) for each in recwarn] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", rows(works=False))
def test_a_row_that_does_not_work_still_does_not(row: ControlRow, package: Any) -> None:
    """Where this fails, the detector can become a tool."""
    with pytest.raises(Exception, match=r"name .* is not defined"):
        getattr(package, row.detector)()(photo("astronaut").resize((64, 64)))


@pytest.mark.parametrize("kind", TRAPS)
def test_any_picture_comes_back_in_its_size(kind: str, chosen: Chosen) -> None:
    chosen("teed")
    image = trap(kind)
    made = find("soft_edge_teed")(image, resolution=256).image
    assert (made.mode, made.size) == ("RGB", image.size)
    assert made.tobytes() == find("soft_edge_teed")(load_image(image), resolution=256).image.tobytes()
    assert np.ptp(levels(made)) > 20


def test_a_map_is_the_detectors_own_where_nothing_has_to_be_padded(chosen: Chosen, package: Any) -> None:
    picture = photo("coffee").resize((128, 64))
    folder = chosen("teed")
    teed = package.TEEDdetector.from_pretrained(str(folder), filename="5_model.pth")
    assert find("soft_edge_teed")(picture).image.tobytes() == teed(picture, detect_resolution=64).tobytes()
    folder = chosen("pidinet")
    pidinet = package.PidiNetDetector.from_pretrained(str(folder))
    for options in ({}, {"safe": True}):
        own = pidinet(picture, detect_resolution=64, image_resolution=64, **options)
        assert find("soft_edge_pidinet")(picture, **options).image.tobytes() == own.tobytes()
    chosen("lineart")
    fine, coarse = (find("lineart")(picture, coarse=coarse).image.tobytes() for coarse in (False, True))
    assert fine != coarse


def test_two_threads_at_once(chosen: Chosen) -> None:
    stream = sys.stdout
    for name in ("teed", "mlsd", "anyline"):
        chosen(name)
    calls = [("soft_edge_teed", "coffee"), ("straight_lines", "astronaut"), ("lineart_anyline", "rocket")]

    def run(call: tuple[str, str]) -> bytes:
        return find(call[0])(photo(call[1]).resize((96, 64))).image.tobytes()

    alone = [run(call) for call in calls]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, calls * 4)) == alone * 4
    assert sys.stdout is stream


def test_straight_lines_are_counted_and_can_be_none(chosen: Chosen) -> None:
    chosen("mlsd")
    picture = photo("coffee").resize((128, 96))
    result = find("straight_lines")(picture)
    assert result.data["count"] >= 1
    assert result.text.startswith(f"{result.data['count']} straight line")
    with pytest.raises(EmptyControlMap, match="lower `threshold`"):
        find("straight_lines")(picture, threshold=0.95)
    with pytest.raises(EmptyControlMap, match="lower `threshold` or `shortest`"):
        find("straight_lines")(picture, shortest=1)


def test_canny_standard_lines_and_shuffle_are_those_of_the_package(package: Any) -> None:
    picture = photo("coffee").resize((192, 128))
    canny = package.CannyDetector()(picture, detect_resolution=128, image_resolution=128)
    assert find("canny")(picture).image.tobytes() == canny.tobytes()
    lines = package.LineartStandardDetector()(picture, detect_resolution=128)
    assert find("lineart_standard")(picture).image.tobytes() == lines.tobytes()
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002  (it has no other way)
    shuffled = package.ContentShuffleDetector()(picture, detect_resolution=128, image_resolution=128)
    np.random.set_state(before)  # noqa: NPY002
    assert find("shuffle")(picture, seed=7).image.tobytes() == shuffled.tobytes()


def test_skeletons_and_colours_are_those_of_the_package(package: Any) -> None:
    rng = np.random.default_rng(3)
    body, left, face = (tuple(map(tuple, rng.uniform(0.05, 0.95, (count, 2)))) for count in (18, 21, 70))
    body = (*body[:7], None, *body[8:])
    open_pose = package.open_pose
    point = open_pose.body.Keypoint
    pose = open_pose.PoseResult(
        open_pose.BodyResult([place and point(*place) for place in body], 1, 17),
        [point(*place) for place in left], None, [point(*place) for place in face],
    )  # fmt: skip
    for hands, points, person in (
        (False, False, Person(body)),
        (True, True, Person(body, (left,), face)),
    ):
        theirs = open_pose.draw_poses([pose], 256, 320, draw_hand=hands, draw_face=points)
        assert (draw_people([person], 320, 256) == theirs).mean() > 0.9995, "the colours of fingers are rounded"
    assert tuple(map(tuple, package.util.ade_palette())) == ADE_COLORS


def test_files_that_do_not_fit_are_said(chosen: Chosen, tmp_path: Path) -> None:
    def refused(content: object, name: str, tool: str, file: str) -> str:
        torch.save(content, tmp_path / file)
        use_model(name, tmp_path)
        release_models()
        try:
            with pytest.raises(CheckpointError) as error:
                find(tool)(photo("coffee").resize((64, 64)))
        finally:
            use_model(name, None)
        assert tmp_path.name in str(error.value)
        assert f"use_model('{name}', ...)" in str(error.value)
        return str(error.value)

    state = torch.load(chosen("teed") / "5_model.pth", weights_only=True)
    assert "Missing key" in refused({"a": torch.ones(2)}, "teed", "soft_edge_teed", "5_model.pth")
    assert "Missing key" in refused(state, "mlsd", "straight_lines", "mlsd_large_512_fp32.pth")
    assert "state_dict" in refused(state, "pidinet", "soft_edge_pidinet", "table5_pidinet.pth")
    assert "Weights only load failed" in refused(_Code(), "teed", "soft_edge_teed", "5_model.pth")
    assert "sk_model2.pth is missing" in refused(state, "lineart", "lineart", "sk_model.pth")
    bad = {key: torch.full_like(value, torch.nan) for key, value in state.items()}
    assert "NaN" in refused(bad, "teed", "soft_edge_teed", "5_model.pth")
    assert not (tmp_path / "ran").exists()


class _Code:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.slow
def test_the_pose_of_somebody_is_found_where_it_is(chosen: Chosen, package: Any) -> None:
    """The network is replaced by one whose heatmaps show a pose; what reads and draws them is real."""
    from genllava_tools.control_pose import OPENPOSE

    chosen("openpose")
    body = [
        (0.5, 0.15), (0.5, 0.3), (0.35, 0.3), (0.3, 0.45), (0.25, 0.6), (0.65, 0.3), (0.7, 0.45), (0.75, 0.6),
        (0.42, 0.6), (0.42, 0.75), (0.42, 0.9), (0.58, 0.6), (0.58, 0.75), (0.58, 0.9), (0.46, 0.12), (0.54, 0.12),
        (0.42, 0.14), (0.58, 0.14),
    ]  # fmt: skip
    with OPENPOSE.ready() as detector:
        before = detector.body_estimation.model
        detector.body_estimation.model = _Heatmaps(body)
    try:
        result = find("pose_openpose")(photo("astronaut").resize((512, 512)), resolution=512)
    finally:
        detector.body_estimation.model = before
    assert result.data["count"] == 1
    (person,) = result.data["people"]
    assert len(person) == 18
    for place, found in zip(body, person.values(), strict=True):
        assert found == pytest.approx(place, abs=0.03)
    assert result.text.startswith("1 person with 18 joints.")
    nose = levels(result.image)[int(person["nose"][1] * 512), int(person["nose"][0] * 512)]
    assert nose.tolist() == [255, 0, 0]


class _Heatmaps(torch.nn.Module):
    """Gives the heatmaps of joints, and the directions of bones between them, of one person."""

    BONES = ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
             (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17))  # fmt: skip
    CHANNELS = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26)

    def __init__(self, body: list[tuple[float, float]]) -> None:
        super().__init__()
        self.body = body
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = (side // 8 for side in pixels.shape[-2:])
        rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        heat, bones = torch.zeros(1, 19, height, width), torch.zeros(1, 38, height, width)
        for joint, (x, y) in enumerate(self.body):
            heat[0, joint] = torch.exp(-((columns - x * width) ** 2 + (rows - y * height) ** 2) / 2)
        for (start, end), channel in zip(self.BONES, self.CHANNELS, strict=True):
            first, last = (torch.tensor(self.body[at]) * torch.tensor([width, height]) for at in (start, end))
            way = (last - first) / (last - first).norm()
            along = (columns - first[0]) * way[0] + (rows - first[1]) * way[1]
            aside = (columns - first[0]) * way[1] - (rows - first[1]) * way[0]
            on = (along > -1) & (along < (last - first).norm() + 1) & (aside.abs() < 1.5)
            bones[0, channel], bones[0, channel + 1] = on * way[0], on * way[1]
        return bones, heat
