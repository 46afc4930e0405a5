"""What every document that people or programs hand to SeeTell is checked with: a strict base model, and errors as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from harness.errors import SeeTellError, SuiteError, did_you_mean

SLUG = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Slug = Annotated[str, StringConstraints(pattern=SLUG)]
"""Becomes a folder name, hence the rule."""

_SHOWN_COMPLAINTS = 5
_INTERNAL_KEYS = {"folder", "options", "settings"}
"""Fields that a suite's file does not set by these names."""


class Section(BaseModel):
    """Base of suites' sections and of stored documents: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)


def checked(
    model: type[Model], values: Mapping[str, Any] | bytes, where: str, *, error: type[SeeTellError] = SuiteError, remedy: str = ""
) -> Model:
    """Validate what somebody wrote; every complaint in one error, with the nearest known key for an unknown one.

    Args:
        model: what it has to be.
        values: plain values, or the bytes of a JSON document.
        where: the file or table, as messages call it.
        error: the class to raise.
        remedy: what to do about it, added to the message.

    Raises:
        SeeTellError: of class `error`, naming the place, the value and the rule.
    """
    try:
        return model.model_validate_json(values) if isinstance(values, bytes) else model.model_validate(values)
    except ValidationError as cause:
        raise error(f"{where}: {complaints(cause, model)}{remedy and f'; {remedy}'}") from cause


def complaints(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """What pydantic complains of, as text; with the model, unknown keys get the nearest known one."""
    details = error.errors(include_url=False)
    texts = [_complaint(model, detail) for detail in details[:_SHOWN_COMPLAINTS]]
    remainder = len(details) - len(texts)
    return "; ".join(texts) + (f"; and {remainder} more" if remainder else "")


def _complaint(model: type[BaseModel] | None, detail: Any) -> str:
    place = [str(part) for part in detail["loc"]]
    dotted = ".".join(place)
    if detail["type"] == "extra_forbidden":
        known = _keys_at(model, place[:-1])
        return f"unknown key {dotted!r}{did_you_mean(place[-1], known) if known else ''}"
    if detail["type"] == "missing":
        return f"{dotted!r} is missing"
    shown = repr(detail["input"])
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    text = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "string_pattern_mismatch" and detail["ctx"]["pattern"] == SLUG:
        text = "expected up to 64 small letters, digits, '.', '_' and '-', a letter or digit first"
    return f"{dotted} = {shown}: {text}" if dotted else text


def _keys_at(model: type[BaseModel] | None, place: list[str]) -> list[str]:
    """The keys a section knows, walking down from the top; none where the path leads out of the model's sections."""
    section: Any = model
    for part in place:
        field = section.model_fields.get(part) if section is not None else None
        types = () if field is None else (field.annotation, *get_args(field.annotation))  # `Sweep | None` is a section
        section = next((kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return [] if section is None else [name for name in section.model_fields if name not in _INTERNAL_KEYS]
