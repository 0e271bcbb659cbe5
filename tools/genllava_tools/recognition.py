"""Tools that say in words what a picture shows."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from genllava.errors import CheckpointError, InvalidRequest
from genllava_tools.arguments import Label, Picture
from genllava_tools.auto_models import Runner, load
from genllava_tools.models import model
from genllava_tools.registry import visual_tool

if TYPE_CHECKING:
    from genllava.vision_language import VisionLanguage

CLASSIFICATION: Final = model("classification", "google/siglip-base-patch16-224")
CAPTIONING: Final = model("captioning", "Salesforce/blip-image-captioning-large")
_APART: Final = {"siglip": True, "clip": False}
"""Whether a layout scores each label by itself, or labels against one another."""
_CAPTIONERS: Final = ("blip", "git")
"""Layouts that write captions and nothing else, without being asked."""
_SENTENCE: Final = "This is a photo of {}."
_REQUEST: Final = "Describe this picture in one or two sentences."
_LONGEST: Final = 80
"""Tokens of a caption, at most."""
_one_at_a_time: Final = threading.Lock()


@visual_tool(kind="look", needs=[CLASSIFICATION.need()])
def classify(
    image: Picture,
    labels: Annotated[
        list[Label],
        Field(min_length=2, max_length=50, description="What it may show, each in a few words: a dog; a street."),
    ],
) -> tuple[str, dict[str, Any]]:
    """Say which of some labels fits a picture as a whole best, with a score for each, the best first. Give labels that
    exclude one another; use `detect` to find where in the picture something is.
    """
    wanted = list(dict.fromkeys(" ".join(label.split()) for label in labels))
    if not all(wanted):
        raise InvalidRequest("a label is empty: give a few words for each")
    if len(wanted) < 2:
        raise InvalidRequest("the labels are all the same: give at least two to choose from")
    runner = CLASSIFICATION.loaded(_load_classifier)
    apart = _APART[runner.kind]
    texts = [_SENTENCE.format(label) for label in wanted]
    longest = int(runner.model.config.text_config.max_position_embeddings)
    padding = {"padding": "max_length", "max_length": longest} if apart else {"padding": True}
    inputs = runner.prepared(texts, longest, text=texts, images=image, **padding)
    logits = runner.outputs(inputs, finite=("logits_per_image",)).logits_per_image[0].float()
    scores = (logits.sigmoid() if apart else logits.softmax(-1)).tolist()
    order = sorted(range(len(wanted)), key=lambda place: -scores[place])
    found = {"labels": [wanted[place] for place in order], "scores": [round(scores[place], 4) for place in order]}
    each = "; ".join(f"{label} {score:.3f}" for label, score in zip(found["labels"], found["scores"], strict=True))
    kind = "each scored by itself, 0 to 1" if apart else "scores of all labels add up to 1"
    said = f"Best: {wanted[order[0]]}. Scores ({kind}): {each}. By the classification model {CLASSIFICATION.title}."
    return said, {"label": wanted[order[0]], **found}


@visual_tool(kind="look", needs=[CAPTIONING.need()])
def caption(image: Picture) -> tuple[str, dict[str, Any]]:
    """Describe in a sentence or two what a picture shows."""
    with _one_at_a_time:
        written = CAPTIONING.loaded(_load_captioner)
        text = _chatted(written, image) if not isinstance(written, Runner) else _generated(written, image)
    if not text:
        return f"The captioning model {CAPTIONING.title} wrote nothing about this picture.", {"caption": ""}
    return f"{text} (Written by the captioning model {CAPTIONING.title}.)", {"caption": text}


def _generated(runner: Runner, image: Picture) -> str:
    """By a model that writes captions and nothing else."""
    import torch

    inputs = runner.ready(runner.processor(images=image, return_tensors="pt"))
    with torch.inference_mode():
        made = runner.model.generate(
            **inputs, max_new_tokens=_LONGEST, do_sample=False, output_scores=True, return_dict_in_generate=True
        )
    for scores in made.scores:
        runner.check_finite("scores of words", scores.nan_to_num(nan=torch.inf, neginf=0.0))  # words that are barred
    (text,) = runner.processor.batch_decode(made.sequences, skip_special_tokens=True)
    return " ".join(str(text).split())


def _chatted(model: VisionLanguage, image: Picture) -> str:
    """By a model that answers questions."""
    content = [{"type": "image", "image": image}, {"type": "text", "text": _REQUEST}]
    reply = model.chat([{"role": "user", "content": content}], max_new_tokens=_LONGEST, do_sample=False)
    return " ".join(str(reply.text).split())


def _load_classifier(folder: Path) -> Runner:
    kinds = dict.fromkeys(_APART, "AutoProcessor")
    return load(folder, "AutoModelForZeroShotImageClassification", kinds, f"scores labels ({', '.join(kinds)})")


def _load_captioner(folder: Path) -> Runner | VisionLanguage:
    """A model that answers questions, or one that writes captions and nothing else: those have no chat template."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    from genllava.vision_language import VisionLanguage

    kinds = dict.fromkeys(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, "AutoProcessor")
    runner = load(folder, "AutoModelForImageTextToText", kinds, "writes about pictures (blip, git, or a chat model)")
    if getattr(runner.processor, "chat_template", None):
        return VisionLanguage(runner.model, runner.processor)
    if runner.kind not in _CAPTIONERS:
        raise CheckpointError(f"it is a {runner.kind} without a chat template, which cannot be asked about pictures")
    return runner
