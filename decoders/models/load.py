"""From a model's name to a loaded model, once per process.

Language models: `hf:org/name@revision`, `local:folder`, `toybox:plain|ornate|stories`.
Image-text models: `open_clip:ViT-B-32-quickgelu@openai`, `hf-hub:org/name@revision`, `local-dir:folder`, `toybox:clip`.
Sentence encoders: as language models; any transformer that turns a text into one vector a token will do.

Weights are read from safetensors only, never from a pickle, and no code that comes with a model is run. Everything is
float32 with TF32 off unless another dtype is given. Relative folders are relative to the current directory.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError

from decoders.errors import ModelMismatch, ModelNotFound
from decoders.models import torchvision_schemas
from decoders.models.devices import is_memory_error as is_memory_error
from decoders.models.devices import pick_device as pick_device
from decoders.models.files import Files, HubSource, hub_folder, hub_source, local_folder
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel
from decoders.models.packed import pack_image_text, pack_language_model
from decoders.models.sentence_encoder import SentenceEncoder

Role = Literal["language_model", "image_text"]
"""What a model is in a suite, as the keys of its `[models]` call it."""
Model = TypeVar("Model", LanguageModel, ImageTextModel, SentenceEncoder)

TOYBOX = Path(__file__).parent / "toybox"
TOYBOX_LANGUAGE_MODELS = ("plain", "ornate", "stories")
LANGUAGE_SCHEMES = ("hf", "local", "toybox")
IMAGE_TEXT_SCHEMES = ("open_clip", "hf-hub", "local-dir", "toybox")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_LM_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*",
             "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "spiece.model")  # fmt: skip
_CLIP_FILES = ("open_clip*.safetensors", "model.safetensors", "open_clip_config.json", *_LM_FILES[4:])
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, ImportError, SafetensorError)
"""What transformers and open_clip raise for folders whose files do not fit together."""

_loaded: dict[tuple[str, type, str, str], Any] = {}
"""The models of this process, by content, kind, dtype and device."""


def load_language_model(name: str, *, dtype: str = "float32", device: str = "cpu") -> LanguageModel:
    """Load a causal language model with its tokenizer; the same object for the same name, content, dtype and device.

    Args:
        name: see the module's docstring.
        dtype: `float32`, `bfloat16` or `float16`.
        device: a torch device, such as `cpu` or `cuda:0`.

    Raises:
        ModelNotFound: the name leads nowhere, or to a folder that lacks files.
        ModelMismatch: the files are there but are no causal language model that SeeTell can use.
    """
    return _once(LanguageModel, _read_language_model, name, _find_language_model(name), dtype, device)


def load_for_training(name: str, *, device: str = "cpu") -> tuple[Any, Any, str]:
    """Load a causal language model to be trained: as transformers makes it, float32, its weights free, never remembered.

    Args:
        name: see the module's docstring.
        device: a torch device, such as `cpu` or `cuda:0`.

    Returns:
        The transformers model, its fast tokenizer, and what identifies the model's content.

    Raises:
        ModelNotFound, ModelMismatch: as `load_language_model`.
    """
    files = _find_language_model(name)
    weights = _prepare("float32", device)
    from transformers import AutoModelForCausalLM

    model, tokenizer, lacking = _from_pretrained(AutoModelForCausalLM, "causal language model", name, files, weights)
    _check_whole(name, lacking)
    return model.to(device), tokenizer, files.digest


def load_image_text(name: str, *, dtype: str = "float32", device: str = "cpu") -> ImageTextModel:
    """Load an image-text model with its image transform and tokenizer; remembered like language models.

    Args:
        name: see the module's docstring.
        dtype: `float32`, `bfloat16` or `float16`.
        device: a torch device, such as `cpu` or `cuda:0`.

    Raises:
        ModelNotFound: the name leads nowhere, or to a folder that lacks files.
        ModelMismatch: the files do not fit together, or the name combines an architecture with weights that were trained with
            another activation (`ViT-B-32` with OpenAI's weights, which need `ViT-B-32-quickgelu`).
    """
    return _once(ImageTextModel, _read_image_text, name, _find_image_text(name), dtype, device)


def load_sentence_encoder(name: str, *, dtype: str = "float32", device: str = "cpu") -> SentenceEncoder:
    """Load a sentence encoder with its tokenizer; remembered like language models.

    Args:
        name: see the module's docstring.
        dtype: `float32`, `bfloat16` or `float16`.
        device: a torch device, such as `cpu` or `cuda:0`.

    Raises:
        ModelNotFound: the name leads nowhere, or to a folder that lacks files.
        ModelMismatch: the files are no such encoder.
    """
    files = _find_language_model(name, "sentence encoder")
    return _once(SentenceEncoder, _read_sentence_encoder, name, files, dtype, device)


def _once(kind: type[Model], read: Callable[..., Model], name: str, files: Files, dtype: str, device: str) -> Model:
    """The one memo of loaded models: the same object for the same kind, content, dtype and device."""
    key = (files.digest, kind, dtype, device)
    if key not in _loaded:
        _loaded[key] = read(name, files, _prepare(dtype, device), dtype, device)
    model: Model = _loaded[key]
    return model


def model_digest(name: str, role: Role | None = None) -> str:
    """What identifies a model's content: the commit of a hub model, else a SHA-256 over its files.

    Nothing is loaded. A hub model without a revision is resolved to the commit that the cache or the hub holds now.

    Args:
        name: see the module's docstring.
        role: what it has to be; by default the scheme of the name decides.

    Raises:
        ModelNotFound: as the loaders.
        ModelMismatch: as the loaders, as far as it can be told without loading.
    """
    known = tuple(dict.fromkeys((*LANGUAGE_SCHEMES, *IMAGE_TEXT_SCHEMES)))
    scheme, part = _split(name, known, "model", "hf:gpt2@607a30d783df or open_clip:ViT-B-32-quickgelu@openai")
    if role is None:
        role = (
            "language_model" if scheme in ("hf", "local") or (scheme == "toybox" and part != "clip") else "image_text"
        )
    return (_find_language_model(name) if role == "language_model" else _find_image_text(name)).digest


def hub_source_of(name: str) -> HubSource | None:
    """Where on the hub the model of a name lies; None for models that lie in a folder or come with SeeTell.

    Raises:
        ModelNotFound, ModelMismatch: as the loaders, as far as it can be told without files.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "hf":
        return hub_source(rest, _LM_FILES, name)
    if scheme == "hf-hub":
        return hub_source(rest, _CLIP_FILES, name)
    if scheme == "open_clip":
        torchvision_schemas.ensure()
        repository, _, file = _pretrained(*_architecture(rest))["hf_hub"].rpartition("/")
        return HubSource(repository, "", (f"{Path(file).stem}.safetensors",) if file else ("open_clip*.safetensors",))
    return None


def _find_language_model(name: str, kind: str = "language model") -> Files:
    scheme, rest = _split(name, LANGUAGE_SCHEMES, kind, "hf:gpt2@607a30d783df")
    if scheme == "toybox":
        return local_folder(_toybox(rest, TOYBOX_LANGUAGE_MODELS), _LM_FILES, name, config="config.json")
    if scheme == "local":
        return local_folder(Path(rest).expanduser(), _LM_FILES, name, config="config.json")
    return hub_folder(hub_source(rest, _LM_FILES, name), name, config="config.json")


def _find_image_text(name: str) -> Files:
    scheme, rest = _split(name, IMAGE_TEXT_SCHEMES, "image-text model", "open_clip:ViT-B-32-quickgelu@openai")
    if scheme == "toybox":
        return local_folder(_toybox(rest, ("clip",)), _CLIP_FILES, name, config="open_clip_config.json")
    if scheme == "local-dir":
        return local_folder(Path(rest).expanduser(), _CLIP_FILES, name, config="open_clip_config.json")
    if scheme == "hf-hub":
        return hub_folder(hub_source(rest, _CLIP_FILES, name), name, config="open_clip_config.json")
    source = hub_source_of(name)
    assert source is not None  # the scheme is open_clip  # noqa: S101
    wanted = source.patterns
    files = hub_folder(source, name, config=None)
    weights = tuple(path for path in files.weights if any(path.match(pattern) for pattern in wanted))
    if not weights:
        raise ModelNotFound(
            f"{name}: {source.repository} on the hub offers no {' or '.join(wanted)}; choose another tag"
        )
    return Files(files.folder, weights, f"{rest.partition('@')[0]}@{files.digest}")


def _split(name: str, schemes: tuple[str, ...], kind: str, example: str) -> tuple[str, str]:
    scheme, colon, rest = name.partition(":")
    if colon and rest and scheme in schemes:
        return scheme, rest
    near = difflib.get_close_matches(scheme, schemes, n=1)
    hint = f"did you mean {near[0]}:{rest}? " if near and colon and rest else ""
    known = ", ".join(f"{known}:" for known in schemes)
    raise ModelNotFound(f"{name!r} names no {kind}; {hint}names start with one of {known} as in {example}")


def _toybox(part: str, parts: tuple[str, ...]) -> Path:
    if part not in parts:
        near = difflib.get_close_matches(part, parts, n=1)
        hint = f"; did you mean toybox:{near[0]}?" if near else ""
        raise ModelNotFound(f"toybox:{part} does not exist here; expected one of {', '.join(parts)}{hint}")
    return TOYBOX / part


def _architecture(rest: str) -> tuple[str, str]:
    """Split `architecture@tag` and check both against what open_clip knows, activation included."""
    import open_clip

    architecture, _, tag = rest.partition("@")
    known = open_clip.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3, cutoff=0.4)
        raise ModelNotFound(f"open_clip knows no architecture {architecture!r}; nearest: {', '.join(near) or 'none'}")
    if not _pretrained(architecture, tag):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise ModelNotFound(
            f"open_clip has no weights {tag!r} for {architecture}; write {architecture}@TAG, tags: {tags}"
        )
    trained_with = bool(_pretrained(architecture, tag).get("quick_gelu", False))
    if trained_with != bool((open_clip.get_model_config(architecture) or {}).get("quick_gelu", False)):
        remedy = f"{architecture}-quickgelu" if trained_with else architecture.removesuffix("-quickgelu")
        raise ModelMismatch(
            f"the weights {tag!r} were trained {'with' if trained_with else 'without'} QuickGELU, the architecture "
            f"{architecture} computes otherwise and would give wrong features; use open_clip:{remedy}@{tag}"
        )
    if not _pretrained(architecture, tag).get("hf_hub"):
        raise ModelNotFound(
            f"{architecture}@{tag} is not on the Hugging Face hub, so there are no safetensors of it to load"
        )
    return architecture, tag


def _pretrained(architecture: str, tag: str) -> dict[str, Any]:
    torchvision_schemas.ensure()
    import open_clip

    return dict(open_clip.get_pretrained_cfg(architecture, tag)) if tag else {}


def _prepare(dtype: str, device: str) -> torch.dtype:
    """Check dtype and device, and turn every reduced-precision short cut off."""
    if dtype not in DTYPES:
        raise ModelMismatch(f"dtype {dtype!r} is not supported; expected one of {', '.join(DTYPES)}")
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ModelMismatch(f"{device!r} is no device; expected cpu, cuda or cuda:0") from error
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ModelMismatch(f"device {device!r} is not there ({torch.cuda.device_count()} CUDA devices); use cpu")
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torchvision_schemas.ensure()
    return DTYPES[dtype]


def _read_language_model(name: str, files: Files, weights: torch.dtype, dtype: str, device: str) -> LanguageModel:
    from transformers import AutoModelForCausalLM

    model, tokenizer, lacking = _from_pretrained(AutoModelForCausalLM, "causal language model", name, files, weights)
    _check_whole(name, lacking)
    return LanguageModel(pack_language_model(model.to(device)), tokenizer, name=name, digest=files.digest, dtype=dtype)


def _read_sentence_encoder(name: str, files: Files, weights: torch.dtype, dtype: str, device: str) -> SentenceEncoder:
    from transformers import AutoModel

    model, tokenizer, lacking = _from_pretrained(AutoModel, "sentence encoder", name, files, weights)
    # Checkpoints of masked language models come without a pooler, which matters only to those who pool with it.
    _check_whole(name, [key for key in lacking if not key.startswith("pooler.")])
    pooler = getattr(model, "pooler", None) is not None and not lacking
    return SentenceEncoder(model.to(device), tokenizer, name=name, digest=files.digest, dtype=dtype, pooler=pooler)


def _from_pretrained(kind: Any, what: str, name: str, files: Files, weights: torch.dtype) -> tuple[Any, Any, list[str]]:
    """A transformers model of a kind, its tokenizer, and the tensors that its files lack or have in another shape."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False, local_files_only=True)
        model, report = kind.from_pretrained(
            files.folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=weights,
            output_loading_info=True,
        )  # fmt: skip
    except _UNREADABLE as error:
        raise ModelMismatch(
            f"{name} cannot be loaded as a {what} ({_first_line(error)}); expected a folder written by "
            f"save_pretrained of a model and its fast tokenizer, in {files.folder}"
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()
    return model, tokenizer, sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))


def _check_whole(name: str, lacking: list[str]) -> None:
    """Refuse a model that transformers would accept with random numbers in place of missing tensors."""
    if lacking:
        raise ModelMismatch(
            f"the weights of {name} lack {len(lacking)} tensors or have them in other shapes, such as {lacking[0]}; "
            "download or save the model again"
        )


def _read_image_text(name: str, files: Files, weights: torch.dtype, dtype: str, device: str) -> ImageTextModel:
    import open_clip

    scheme, _, rest = name.partition(":")
    try:
        if scheme == "open_clip":
            architecture, tag = _architecture(rest)
            look = _pretrained(architecture, tag)
            model, preprocess = open_clip.create_model_from_pretrained(
                architecture, pretrained=str(files.weights[0]), image_mean=look.get("mean"), image_std=look.get("std"),
                image_interpolation=look.get("interpolation"), image_resize_mode=look.get("resize_mode"),
            )  # fmt: skip
            tokenizer = open_clip.get_tokenizer(architecture)
        else:
            _check_clip_folder(files, name)
            model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{files.folder}")
            tokenizer = open_clip.get_tokenizer(f"local-dir:{files.folder}")
    except _UNREADABLE as error:
        raise ModelMismatch(
            f"{name} cannot be loaded as an image-text model ({_first_line(error)}); expected open_clip_config.json and "
            f"open_clip_model.safetensors that belong together, in {files.folder}"
        ) from error
    model = pack_image_text(model.to(device, weights))
    return ImageTextModel(model, preprocess, tokenizer, name=name, digest=files.digest, dtype=dtype)


def _check_clip_folder(files: Files, name: str) -> None:
    """Refuse what open_clip would accept: pickled weights that it prefers, and configurations that ask to run code."""
    preferred = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
    pickles = [*files.folder.glob("*.bin"), *files.folder.glob("*.pth")]
    if pickles and not any((files.folder / file).is_file() for file in preferred):
        raise ModelMismatch(
            f"{name} holds {pickles[0].name}, a pickle that is never loaded, beside its safetensors; remove it, or name the "
            f"safetensors file {preferred[0]}"
        )
    config = json.loads((files.folder / "open_clip_config.json").read_text(encoding="utf-8"))
    if "trust_remote_code" in json.dumps(config):
        raise ModelMismatch(
            f"open_clip_config.json of {name} asks for trust_remote_code, which is never granted; remove it"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
