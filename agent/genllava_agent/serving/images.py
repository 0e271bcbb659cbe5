"""`POST /v1/images/generations` and `/v1/images/edits`: drawings of several requests are made at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from genllava_agent.serving.batching import Job
from genllava_agent.serving.data_urls import Admission
from genllava_agent.serving.errors import ApiError, not_as_asked
from genllava_agent.serving.image_schemas import ImageRequest, ImagesResponse, MadeImage
from genllava_agent.serving.masks import MaskedEdit
from genllava_agent.serving.service import Service, while_wanted
from genllava_tools.picture_files import as_base64, png_bytes

if TYPE_CHECKING:
    from PIL import Image

    from genllava import Drawing

_NEXT_SEED: Final = 0x9E3779B1
_FIELDS: Final = 30
"""Of a form, at most."""


class _Upload(NamedTuple):
    """A form with its files.

    Attributes:
        image: the file of the picture.
        mask: that of the mask, if there is one.
    """

    given: ImageRequest
    image: bytes
    mask: bytes | None


def image_routes(service: Service) -> APIRouter:
    """The routes that draw and edit."""
    routes = APIRouter()

    @routes.post("/v1/images/generations", response_model_exclude_none=True)
    async def generations(given: ImageRequest, request: Request) -> ImagesResponse:
        jobs = _jobs(service, given, None)
        return await while_wanted(request, _made(service, given, jobs, None))

    @routes.post("/v1/images/edits", response_model_exclude_none=True)
    async def edits(request: Request) -> ImagesResponse:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise ApiError(400, "an edit is sent as multipart/form-data, with its picture as a file", "invalid_form")
        async with request.form(max_files=service.settings.pictures + 2, max_fields=_FIELDS) as form:
            upload = await _read(form)
        source, masked = await asyncio.to_thread(_let_in, service, upload)
        jobs = _jobs(service, upload.given, source)
        return await while_wanted(request, _made(service, upload.given, jobs, masked))

    return routes


def _jobs(service: Service, given: ImageRequest, source: Image.Image | None) -> list[Job]:
    """What is to be drawn for a request.

    Raises:
        ApiError: another model, too many pictures, or no size.
    """
    if given.model is not None:
        service.check_model(given.model)
    if given.n > service.settings.pictures:
        said = f"n: at most {service.settings.pictures} pictures are made for a request"
        raise ApiError(400, said, "invalid_value", param="n")
    try:
        options = given.pixels()
    except ValueError as error:
        raise ApiError(400, f"size: {error}", "invalid_value", param="size") from None
    first = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    return [Job(given.prompt, source, (first + at * _NEXT_SEED) % 2**63, options) for at in range(given.n)]


async def _made(
    service: Service, given: ImageRequest, jobs: Sequence[Job], masked: MaskedEdit | None
) -> ImagesResponse:
    """The answer with the pictures.

    Raises:
        ApiError: the model declined to make them; and whatever the pipeline raises.
    """
    drawings = await service.batcher.draw(jobs)
    made = [each for drawing in drawings for each in await asyncio.to_thread(_image, service, given, drawing, masked)]
    if not made:
        said = drawings[0].text or "the model would not make this picture"
        raise ApiError(400, said, "declined", kind="image_generation_user_error", param="prompt")
    service.metrics.pictures.inc(len(made))
    return ImagesResponse(created=int(time.time()), data=made)


def _image(service: Service, given: ImageRequest, drawing: Drawing, masked: MaskedEdit | None) -> list[MadeImage]:
    """A drawing as it is sent; nothing where the model answered in words instead."""
    if drawing.image is None:
        return []
    image = drawing.image if masked is None else masked.whole_again(drawing.image, service.keeps_flat)
    png = png_bytes(image)
    address = service.kept.put(png) if given.response_format == "url" else None
    base64 = as_base64(png) if address is None else None
    return [MadeImage(b64_json=base64, url=address, revised_prompt=drawing.plan, seed=drawing.seed)]


async def _read(form: FormData) -> _Upload:
    """A form, once it is known to be one for an edit.

    Raises:
        ApiError: it is not.
    """
    words = {name: value for name, value in form.items() if isinstance(value, str)}
    shown = [*form.getlist("image"), *form.getlist("image[]")]
    images = [each for each in shown if isinstance(each, UploadFile)]
    masks = [each for each in form.getlist("mask") if isinstance(each, UploadFile)]
    if len(images) != 1 or len(shown) != 1:
        said = f"image: an edit changes one picture, sent as a file; here are {len(images)} files"
        code = "invalid_value" if shown else "missing_required_parameter"
        raise ApiError(400, said, code, param="image")
    if len(masks) != len(form.getlist("mask")) or len(masks) > 1:
        raise ApiError(400, "mask: a mask is one picture, sent as a file", "invalid_value", param="mask")
    try:
        given = ImageRequest.model_validate(words)
    except ValidationError as error:
        raise not_as_asked(error.errors(include_url=False, include_input=False)) from None
    return _Upload(given, await images[0].read(), await masks[0].read() if masks else None)


def _let_in(service: Service, upload: _Upload) -> tuple[Image.Image, MaskedEdit | None]:
    """The picture that the model is shown, and which part of what picture it is, if it is one.

    Raises:
        ApiError, InvalidRequest, ImageRejected: a picture that is not let in, or a mask that does not fit.
    """
    admission = Admission(service.settings, service.kept)
    image = admission.picture(upload.image, "image")
    if upload.mask is None:
        return image, None
    masked = MaskedEdit.of(image, admission.checked(upload.mask, "mask"))
    return masked.part, masked
