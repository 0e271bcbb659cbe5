"""Any diffusers pipeline as the part that draws and edits pictures."""

from genllava.image_decoder.conditioning import ConditioningSpec, PromptEmbeds
from genllava.image_decoder.image_decoder import DecodedImage, ImageDecoder
from genllava.image_decoder.loading import load_diffusion, vision_language_of

__all__ = ["ConditioningSpec", "DecodedImage", "ImageDecoder", "PromptEmbeds", "load_diffusion", "vision_language_of"]
