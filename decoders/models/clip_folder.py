"""Folders of open_clip models: the text parts that are elsewhere, the files that decide a feature, and loading without the hub.

`open_clip_config.json` may name a text tower (`hf_model_name`) and a tokenizer (`hf_tokenizer_name`) of transformers. open_clip
looks both up on the hub, or relative to the current directory, whenever it builds the model. Here they are resolved to folders
once, and open_clip is shown a temporary folder in which nothing else is named.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoders.errors import ModelMismatch, ModelNotFound
from decoders.models.files import Files, content_hash

CONFIG = "open_clip_config.json"
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model")
TEXT_FILES = ("config.json", *TOKENIZER_FILES)
"""What is read of a text tower: its weights are in the model's own file."""
_PREFERRED = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
"""Weights in the order in which open_clip looks for them."""


@dataclass(frozen=True, slots=True)
class TextNames:
    """What a configuration says about the text side; empty where it is open_clip's own."""

    tower: str
    tokenizer: str

    @classmethod
    def of(cls, config: dict[str, Any]) -> TextNames:
        """The names in an open_clip `model_cfg`."""
        text = config.get("text_cfg", {})
        return cls(str(text.get("hf_model_name") or ""), str(text.get("hf_tokenizer_name") or ""))


@dataclass(frozen=True, slots=True)
class TextParts:
    """Folders of the text tower's configuration and of the tokenizer's files; None where open_clip has its own."""

    tower: Path | None = None
    tokenizer: Path | None = None


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The whole of `open_clip_config.json`.

    Raises:
        ModelMismatch: it is no JSON, lacks `model_cfg`, or asks for code or for the hub.
    """
    try:
        config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = config["model_cfg"]
        model["text_cfg"], model["vision_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelMismatch(
            f"{CONFIG} of {name} cannot be read ({type(error).__name__}: {error}); expected JSON with `model_cfg`, and in it "
            "`text_cfg` and `vision_cfg`, as open_clip writes it"
        ) from error
    if "trust_remote_code" in json.dumps(config):
        raise ModelMismatch(f"{CONFIG} of {name} asks for trust_remote_code, which is never granted; remove it")
    image_tower = str(model["vision_cfg"].get("timm_model_name") or "")
    if re.search("[:/]", image_tower):
        raise ModelMismatch(
            f"{CONFIG} of {name} names the image tower {image_tower!r}, which leads out of its folder; write the name of an "
            "architecture that timm has, such as vit_base_patch16_siglip_224"
        )
    return dict(config)


def local_text(folder: Path, config: dict[str, Any], name: str) -> TextParts:
    """The text parts of a model in a folder; never the hub's.

    Raises:
        ModelMismatch: the text tower is named as one of the hub's, or its configuration or the tokenizer is missing.
    """
    names = TextNames.of(config["model_cfg"])
    tower = None
    if names.tower:
        tower = next((path for path in (folder / names.tower, Path(names.tower).expanduser()) if path.is_dir()), None)
        if tower is None:
            raise ModelMismatch(
                f"{CONFIG} of {name} takes its text tower from {names.tower!r}, which is no folder, and a model in a folder "
                f"never asks the hub. Put config.json and the tokenizer of {names.tower} into {folder} and write "
                '"hf_model_name": "." there; or name the whole model as hf-hub:org/name'
            )
        if not (tower / "config.json").is_file():
            raise ModelMismatch(f"{name}: the text tower's folder {tower} lacks config.json; save its configuration there")
    if names.tokenizer and not has_tokenizer(folder):
        raise ModelMismatch(
            f"{name}: the folder {folder} lacks the tokenizer that {CONFIG} asks for ({names.tokenizer}); save its files there, "
            f"AutoTokenizer.from_pretrained(NAME).save_pretrained({str(folder)!r})"
        )
    return TextParts(tower, folder if names.tokenizer else None)


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a vocabulary, whatever kind of tokenizer it is of."""
    return any(path.is_file() for pattern in TOKENIZER_FILES if "added" not in pattern for path in folder.glob(pattern))


def weights_file(files: Sequence[Path]) -> Path:
    """The one of a folder's safetensors that open_clip loads."""
    return min(files, key=lambda path: (_PREFERRED.index(path.name) if path.name in _PREFERRED else 9, path.name))


def complete_digest(files: Files, parts: TextParts, hashed: Sequence[str]) -> str:
    """The digest of a local model, with what decides its features and is not in it yet; unchanged where that is nothing.

    Args:
        files: the model.
        parts: its text parts.
        hashed: glob patterns of the files that its digest covers.
    """
    uncovered: dict[str, Path] = {}
    weights = weights_file(files.weights)
    if not any(weights.match(pattern) for pattern in hashed):
        uncovered["weights"] = weights
    if parts.tower is not None:
        uncovered["text tower"] = parts.tower / "config.json"
    if parts.tokenizer is not None:  # whose class may be named in config.json, and whose vocabulary in a file of any name
        beside = (*parts.tokenizer.glob("*.json"), *parts.tokenizer.glob("*.model"), *parts.tokenizer.glob("*.txt"))
        covered = {path for pattern in hashed for path in parts.tokenizer.glob(pattern)}
        uncovered |= {f"tokenizer/{path.name}": path for path in sorted(beside) if path not in covered}
    if not uncovered:
        return files.digest
    lines = [f"{role}\0{content_hash(path)}\n" for role, path in sorted(uncovered.items())]
    return hashlib.sha256((files.digest + "\n" + "".join(lines)).encode()).hexdigest()


@contextmanager
def staged(config: dict[str, Any], weights: Path, parts: TextParts) -> Iterator[str]:
    """A temporary folder that open_clip can load as `local-dir:`, in which every name leads to a file of this machine.

    Args:
        config: as `open_clip_config.json` holds it.
        weights: the safetensors file.
        parts: resolved text parts.
    """
    copy = json.loads(json.dumps(config))
    text = copy["model_cfg"]["text_cfg"]
    if parts.tower is not None:
        text["hf_model_name"] = str(parts.tower.resolve())
    with tempfile.TemporaryDirectory(prefix="seetell-clip-") as place:
        folder = Path(place)
        for path in () if parts.tokenizer is None else parts.tokenizer.iterdir():
            if path.is_file() and path.suffix != ".safetensors":
                (folder / path.name).symlink_to(path.resolve())
        (folder / CONFIG).unlink(missing_ok=True)
        (folder / CONFIG).write_text(json.dumps(copy), encoding="utf-8")
        (folder / "open_clip_model.safetensors").symlink_to(weights.resolve())
        yield f"local-dir:{folder}"


def check_pickles(files: Files, name: str) -> None:
    """Refuse a folder whose pickled weights its owner may take for what is loaded.

    Raises:
        ModelMismatch: there are any, and no safetensors of a name that says it is the model's.
    """
    pickles = [*files.folder.glob("*.bin"), *files.folder.glob("*.pth")]
    if pickles and not any((files.folder / file).is_file() for file in _PREFERRED[:2]):
        raise ModelMismatch(
            f"{name} holds {pickles[0].name}, a pickle that is never loaded, beside its safetensors; remove it, or name the "
            f"safetensors file {_PREFERRED[0]}"
        )


def missing_text(folder: Path, name: str) -> ModelNotFound:
    """What to say of a fetched model whose text side was not fetched with it."""
    return ModelNotFound(
        f"{name}: the folder {folder} lacks its tokenizer; fetch it again with `seetell prefetch SUITE --update`"
    )
