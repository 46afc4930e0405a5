"""Where the files of packaged suites come from: `sources.toml`, and what a suite asks for."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from harness.evaluate import due_metrics
from harness.places import data_folder
from harness.spec import Suite


class Source(BaseModel):
    """How one file of the data folder is to be had."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    """For people."""
    licence: str
    """What may be done with it, and who says so."""
    url: str = ""
    """The file, or the archive that it is in."""
    member: str = ""
    """Its name in the archive, if that is what the address leads to."""
    size: int = 0
    """Bytes to fetch, roughly; used where the server does not tell."""
    steps: str = ""
    """What a person has to do where no program may."""

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        if bool(self.url) == bool(self.steps):
            raise ValueError("expected an address or steps")
        return self


@cache
def sources() -> dict[str, Source]:
    """Every file that packaged suites read, by its path in the data folder."""
    content = (resources.files("harness") / "sources.toml").read_bytes()
    return {path: Source.model_validate(each) for path, each in tomllib.loads(content.decode()).items()}


def data_paths(suite: Suite) -> list[str]:
    """The paths in the data folder that a suite reads. Images beside an index of captions are not read."""
    found: dict[str, None] = {}
    tables: list[dict[str, Any]] = [dict(suite.data.options)]
    if suite.captions is not None:
        tables.append({key: value for key, value in suite.captions.options.items() if key != "images"})
    for table in tables:
        for value in table.values():
            if isinstance(value, str) and Path(value).is_relative_to(data_folder()):
                found[Path(value).relative_to(data_folder()).as_posix()] = None
    return list(found)


def model_names(suite: Suite) -> list[str]:
    """The models that decoders and metrics of a suite use, each once."""
    named = [suite.models.language_model, suite.models.image_text]
    named += [name for due in due_metrics(suite) for name in due.config.own_models().values()]
    return list(dict.fromkeys(name for name in named if name))
