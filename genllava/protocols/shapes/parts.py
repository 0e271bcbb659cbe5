"""The parts of a shapes model, as its protocol uses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import CLIPTextModel, LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerBase

from genllava.generation_head import GenerationHead
from genllava.images import letterbox
from genllava.pipeline_output import Counters, Drawing
from genllava.protocols.shapes.decoder_pipeline import ShapesDecoderPipeline
from genllava.protocols.shapes.language import LanguageModel
from genllava.protocols.shapes.latents import Picture
from genllava.requests import Seen, as_image


class ShapesParts:
    """A LLaVA that has learnt the shapes stream, its decoder and its generation head.

    Args:
        config: settings, see `options.ShapesConfig`.
        controlnets: by name, what steers the UNet besides words.

    Attributes:
        counters: work done so far.
        doubted: why pictures cannot be read, or nothing if they can, by their content and what was noted of them.
    """

    def __init__(
        self,
        llava: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        decoder: ShapesDecoderPipeline,
        generation_head: GenerationHead | None,
        config: Mapping[str, Any],
        counters: Counters,
        controlnets: Mapping[str, Any] | None = None,
    ) -> None:
        self.llava = llava
        self.processor = processor
        self.decoder = decoder
        self.generation_head = generation_head
        self.config = config
        self.counters = counters
        self.controlnets = {} if controlnets is None else controlnets
        self.doubted: dict[tuple[str, str], str] = {}

    @property
    def unet(self) -> Any:
        """Draws and edits."""
        return self.decoder.unet

    @property
    def vae(self) -> Any:
        """Between pixels and latents."""
        return self.decoder.vae

    @property
    def scheduler(self) -> Any:
        """Of the denoising steps."""
        return self.decoder.scheduler

    @property
    def text_encoder(self) -> CLIPTextModel | None:
        """Conditions the UNet on the words of a plan."""
        encoder: CLIPTextModel | None = self.decoder.text_encoder
        return encoder

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Of the text encoder."""
        tokenizer: PreTrainedTokenizerBase | None = self.decoder.tokenizer
        return tokenizer

    @property
    def resolution(self) -> int:
        """Side of the square pictures that are made, in pixels."""
        return int(self.decoder.config["resolution"])

    @property
    def checks_itself(self) -> bool:
        """Whether pictures are drawn again to see that they can be read, and answers said only where they are sure."""
        return bool(self.config.get("checks_itself", False))

    @property
    def language(self) -> LanguageModel:
        """The language model as `TokenStream` takes it."""
        queries = None if self.generation_head is None else self.generation_head.query_embeds.detach()
        return LanguageModel(self.llava, self.processor, queries, self.counters)

    def picture(self, source: Seen) -> Picture:
        """A picture as the model sees it: square, at the decoder's resolution.

        Raises:
            ImageRejected: it was not let in.
        """
        image = as_image(source)
        square = letterbox(image, self.resolution)
        original = None if image.size == square.size else image
        if isinstance(source, Drawing):
            return Picture(square, source.latents, source.caption, original, own=source.plan is not None)
        return Picture(square, original=original)
