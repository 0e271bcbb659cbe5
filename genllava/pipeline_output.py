"""What the verbs return."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Understanding:
    """An answer in words.

    Attributes:
        text: what the model said.
        task_probabilities: how likely each next task was, by token (`"[I2T]"`); they sum to 1 over what was
            allowed.
        timings: seconds, by phase; those of a batch are shared by its results.
        seen: what it noted down first: captions of the pictures that are new, `image 1: ...`, and the objects that the
            request is about, `in image 1, star: ...`; empty where there was nothing to see or nothing to choose
            (`plan` given), and with models that note nothing.
        unsure: why the answer may be wrong, or could not be given; empty where nothing speaks against it.
    """

    text: str
    task_probabilities: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    seen: str = ""
    unsure: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A picture, or the words with which the model declined to make one.

    Attributes:
        image: RGB, an edit at the size of its source; None where the model answered in words instead.
        text: those words; None where there is a picture.
        plan: what the picture should show or how its source is changed, the prompt of the image decoder.
        seed: the noise it grew from; the same seed, plan and settings give the same picture.
        source: number of the picture in its conversation that it edits; None for a new one.
        latents: [C, h, w] float32 on the CPU, as the denoising loop left them: an edit of this drawing starts
            here. None for an edit that was drawn from words alone and put into its source.
        unet_rows: rows that went through the UNet for it: steps times guidance branches, and for an edit that keeps
            what it was not told to change, as many again.
        task_probabilities, timings, seen: as in `Understanding`.
        caption: what the model saw in it when it looked at it by itself; empty if it did not.
        decoder: class of the diffusers pipeline that made it.
        notes: what the user should know of how it was made, such as a prompt that was cut off.
        unsure: as in `Understanding`.
    """

    image: Image.Image | None
    text: str | None
    plan: str | None
    seed: int
    source: int | None = None
    latents: Tensor | None = field(default=None, repr=False)
    unet_rows: int = 0
    task_probabilities: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    seen: str = ""
    caption: str = ""
    decoder: str = ""
    notes: tuple[str, ...] = ()
    unsure: str = ""


Result = Understanding | Drawing


@dataclass(frozen=True, slots=True, eq=False)
class TurnOutput:
    """What came of a turn, in which the model decided what is done.

    Attributes:
        results: answers and drawings, in their order.
        text: all that was said.
        images: the pictures that were made.
    """

    results: list[Result]
    text: str
    images: list[Image.Image]

    @classmethod
    def of(cls, results: list[Result]) -> TurnOutput:
        """Sum up the results of a turn."""
        said = [result.text for result in results if result.text]
        images = [result.image for result in results if isinstance(result, Drawing) and result.image is not None]
        return cls(results, "\n\n".join(said), images)


@dataclass(slots=True)
class Counters:
    """Work done by a pipeline since it was made or `reset`.

    Attributes:
        prefilled_tokens: tokens the language model read; none is read twice in a conversation.
        decoded_tokens: tokens it wrote.
        aside_tokens: tokens it read beside a conversation, to know what an edit keeps.
        image_encodes: pictures that went through the vision tower.
        vae_encodes: pictures that went through the autoencoder's encoder.
        unet_rows: rows that went through the UNet.
    """

    prefilled_tokens: int = 0
    decoded_tokens: int = 0
    aside_tokens: int = 0
    image_encodes: int = 0
    vae_encodes: int = 0
    unet_rows: int = 0

    @property
    def tokens(self) -> int:
        """All that it read and wrote."""
        return self.prefilled_tokens + self.decoded_tokens + self.aside_tokens

    def reset(self) -> None:
        self.prefilled_tokens = self.decoded_tokens = self.aside_tokens = 0
        self.image_encodes = self.vae_encodes = self.unet_rows = 0


class Stopwatch:
    """Measures phases that follow each other.

    Attributes:
        timings: seconds, by phase.
    """

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Book the time since the last lap to `phase`."""
        now = time.perf_counter()
        self.timings[phase] = self.timings.get(phase, 0.0) + now - self._since
        self._since = now
