"""How a turn is run: what may be given to an agent, to a thread and to a single call."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genllava.errors import InvalidRequest
from genllava_agent.records import Verb


class Limits(BaseModel):
    """Where a turn stops, whatever the model would still do.

    Attributes:
        steps: answers, pictures and tool calls.
        images: pictures, those of attempts that are not kept not counted.
        tokens: read and written by the language model.
        unet_rows: rows that go through the UNet, all attempts counted.
        seconds: from the beginning of the turn.
        tool_seconds: of one call of a tool, which is left behind then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=8, ge=1, le=100)
    images: int = Field(default=8, ge=1, le=100)
    tokens: int = Field(default=20_000, ge=1)
    unet_rows: int = Field(default=2_000, ge=1)
    seconds: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    tool_seconds: float = Field(default=300.0, gt=0, allow_inf_nan=False)


class Call(BaseModel):
    """A call of a tool.

    Attributes:
        name: of the tool.
        args: its arguments, as JSON; pictures by their names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    args: dict[str, Any] = Field(default_factory=dict)


_DRAWING: Final = (
    "num_inference_steps",
    "guidance_scale",
    "image_guidance_scale",
    "negative_prompt",
    "height",
    "width",
    "bridge",
)
"""Options that are handed on to the pipeline."""


SETTINGS: Final = "settings"
"""Key of a request's `additional_kwargs`: the settings that it was asked with, for a turn that is cut off at once."""


class TurnSettings(BaseModel):
    """Settings of one turn; the context of the graph.

    Attributes:
        seed: of the first picture of the turn, from which those of others follow; a new one if None.
        task: what to do, if that is not left to the model.
        call: a call of a tool, if that is not left to the model: `{"name": "crop", "args": {"image": "image_1", ...}}`.
        approve: actions that wait for the user's word: `understand`, `generate`, `edit`, `tool`, `tool:NAME`.
        verify: pictures drawn at most for one that is kept; 0 and 1 draw once, and 0 does not look at it either.
            More have bought nothing with the model that ships (README, limits).
        margin: the agent asks what is meant where the first action is less than this more likely than the second, and
            somebody can answer. By default it does not: the likeliest is done, and `undo` takes it back.
        check_claims: where last words may say that a picture was made and none was, whoever wrote them is asked about
            them, and the reply says so.
        offered: tools that a model is offered at once, at most, besides drawing, editing, and what is done to the
            thread; of the others it is told the names, and may ask for them (`more_tools`).
        previews: small pictures shown of each while it is drawn, at most.
        limits: where the turn stops.
        num_inference_steps, guidance_scale, image_guidance_scale, negative_prompt, height, width, bridge: see
            `genllava.options`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int | None = Field(default=None, ge=0, lt=2**63)
    task: Verb | None = None
    call: Call | None = None
    approve: tuple[str, ...] = ()
    verify: int = Field(default=1, ge=0, le=16)
    margin: float = Field(default=0.0, ge=0, le=1)
    check_claims: bool = True
    offered: int = Field(default=12, ge=2, le=1000)
    previews: int = Field(default=0, ge=0, le=1000)
    limits: Limits = Limits()
    num_inference_steps: int | None = Field(default=None, ge=1, le=1000)
    guidance_scale: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    image_guidance_scale: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    negative_prompt: str | None = None
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    bridge: Literal["head", "caption"] | None = None

    def drawing_options(self) -> dict[str, Any]:
        """Those that are handed on to the pipeline."""
        return {name: getattr(self, name) for name in _DRAWING}

    def with_options(self, options: dict[str, Any]) -> TurnSettings:
        """These settings with some replaced; those, and what is not as usual, count as named by the caller.

        Raises:
            InvalidRequest: an option that does not exist, or a value that cannot be.
        """
        limits = options.get("limits")
        if isinstance(limits, dict):  # those that are not named stay
            options = {**options, "limits": {**self.limits.model_dump(), **limits}}
        own = {name: value for name, value in self if value != type(self).model_fields[name].default}
        return checked({**own, **options})


def stored(settings: TurnSettings) -> dict[str, Any]:
    """Settings as they are kept with a turn: those that are not the usual ones, and those that a caller named."""
    named = {name for name in settings.model_fields_set if name != "limits"}
    whole = settings.model_dump(mode="json", include=named)
    return {**settings.model_dump(mode="json", exclude_defaults=True), **whole}


def checked(values: dict[str, Any]) -> TurnSettings:
    """Settings from values that a user gave.

    Raises:
        InvalidRequest: as for `with_options`.
    """
    values = dict(values)
    if isinstance(values.get("approve"), str):
        values["approve"] = (values["approve"],)
    try:
        settings = TurnSettings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(Limits.model_fields if "." in name else TurnSettings.model_fields))
            raise InvalidRequest(f"there is no option {name}: {known}") from None
        raise InvalidRequest(f"the option {name}={first['input']!r} cannot be: {first['msg']}") from None
    wrong = [a for a in settings.approve if a not in ("understand", "generate", "edit", "tool") and a[:5] != "tool:"]
    if wrong:
        raise InvalidRequest(f"cannot wait for approval of {wrong[0]!r}: understand, generate, edit, tool or tool:NAME")
    return settings
