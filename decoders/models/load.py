"""From a model's name to a loaded model, once per process.

Language models: `hf:org/name@revision`, `local:folder`, `local:model.gguf`, `toybox:plain|ornate|stories`.
Image-text models: `open_clip:ViT-B-32-quickgelu@openai`, `hf-hub:org/name@revision` and `local-dir:folder` of open_clip,
`hf-clip:folder` and `hf-clip:org/name@revision` of transformers, `toybox:clip`.
Sentence encoders: as language models; any transformer that turns a text into one vector a token will do.

Weights are read from safetensors only, never from a pickle, and no code that comes with a model is run. Everything is
float32 with TF32 off unless another dtype is given. Relative folders are relative to the current directory.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError

from decoders.errors import ModelMismatch, ModelNotFound
from decoders.models import torchvision_schemas
from decoders.models.clip_folder import (
    CONFIG,
    TEXT_FILES,
    TOKENIZER_FILES,
    TextNames,
    TextParts,
    check_pickles,
    complete_digest,
    has_tokenizer,
    local_text,
    missing_text,
    read_config,
    staged,
    weights_file,
)
from decoders.models.devices import check_device
from decoders.models.files import Files, HubSource, folder_here, hub_folder, hub_source, local_folder, no_network
from decoders.models.gguf_file import gguf_files, read_gguf, read_gguf_beside
from decoders.models.hf_clip import FILES as HF_CLIP_FILES
from decoders.models.hf_clip import read_hf_clip
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
IMAGE_TEXT_SCHEMES = ("open_clip", "hf-hub", "local-dir", "hf-clip", "toybox")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_LM_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*",
             "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "spiece.model")  # fmt: skip
_CLIP_FILES = ("open_clip*.safetensors", "model.safetensors", "open_clip_config.json", *_LM_FILES[4:])
_HUB_CLIP_FILES = (*_CLIP_FILES, "config.json", "*.model")
"""The same and what a text tower of transformers is read from; a hub model's digest is its commit, whatever is taken of it."""
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
    _check_whole(name, model, lacking)
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
        role = "language_model" if scheme in ("hf", "local") or (scheme == "toybox" and part != "clip") else "image_text"
    return (_find_language_model(name) if role == "language_model" else _find_image_text(name)).digest


def check_model(name: str, role: Role | None = None, *, whole: bool = False) -> None:
    """Load what stands beside a model's weights as a run will load it, without a network; an image-text model with its weights.

    Args:
        name: see the module's docstring.
        role: what it has to be; by default the scheme of the name decides.
        whole: load a language model's weights too.

    Raises:
        ModelNotFound, ModelMismatch: as the loaders.
    """
    if role is None:
        scheme, _, part = name.partition(":")
        role = "image_text" if scheme not in LANGUAGE_SCHEMES or part == "clip" else "language_model"
    if role == "image_text":
        load_image_text(name)
    elif whole:
        load_language_model(name)
    else:
        files = _find_language_model(name)
        _prepare("float32", "cpu")
        tokenizer, config = _read_beside(name, files)
        _check_vocabulary(tokenizer, config.get_text_config(decoder=True).vocab_size, name)


def load_tokenizer(name: str) -> Any:
    """A language model's tokenizer alone.

    Raises:
        ModelNotFound, ModelMismatch: as `load_language_model`.
    """
    files = _find_language_model(name)
    _prepare("float32", "cpu")
    return _read_beside(name, files)[0]


def hub_sources_of(name: str) -> list[HubSource]:
    """All of the hub that a model needs: its own repository, and those of its text tower and tokenizer.

    What a `hf-hub:` model needs beside its own repository stands in its configuration, so it is known once that is here.

    Raises:
        ModelNotFound, ModelMismatch: as the loaders, as far as it can be told without files.
    """
    own = hub_source_of(name)
    if own is None:
        return []
    scheme, _, rest = name.partition(":")
    if scheme == "open_clip":
        return [own, *_text_sources(own, TextNames.of(_open_clip_config(rest)["model_cfg"]), folder_here(own))]
    folder = folder_here(own) if scheme == "hf-hub" else None
    if folder is None or not (folder / CONFIG).is_file():
        return [own]
    return [own, *_text_sources(own, TextNames.of(read_config(folder, name)["model_cfg"]), folder)]


def _text_sources(own: HubSource, names: TextNames, folder: Path | None) -> list[HubSource]:
    """Repositories of the text tower and the tokenizer that are not the model's own."""
    in_own = folder is not None and has_tokenizer(folder)
    repositories = [names.tower, "" if in_own else names.tokenizer]
    return [
        HubSource(repository, "", TEXT_FILES, weights=False)
        for repository in dict.fromkeys(repositories)
        if repository and repository != own.repository
    ]


def hub_source_of(name: str) -> HubSource | None:
    """Where on the hub the model of a name lies; None for models that lie in a folder or come with SeeTell.

    Raises:
        ModelNotFound, ModelMismatch: as the loaders, as far as it can be told without files.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "hf":
        return hub_source(rest, _LM_FILES, name)
    if scheme == "hf-hub":
        return hub_source(rest, _HUB_CLIP_FILES, name)
    if scheme == "hf-clip" and not Path(rest).expanduser().is_dir():
        return hub_source(rest, HF_CLIP_FILES, name)
    if scheme == "open_clip":
        repository, _, file = _pretrained(*_architecture(rest))["hf_hub"].rpartition("/")
        names = TextNames.of(_open_clip_config(rest)["model_cfg"])
        # A tokenizer of transformers mostly lies beside the weights.
        beside = TOKENIZER_FILES if names.tokenizer == repository else ()
        return HubSource(repository, "", (f"{Path(file).stem}.safetensors" if file else "open_clip*.safetensors", *beside))
    return None


def _find_language_model(name: str, kind: str = "language model") -> Files:
    scheme, rest = _split(name, LANGUAGE_SCHEMES, kind, "hf:gpt2@607a30d783df")
    if scheme == "toybox":
        return local_folder(_toybox(rest, TOYBOX_LANGUAGE_MODELS), _LM_FILES, name, config="config.json")
    if scheme == "local" and rest.endswith(".gguf"):
        return gguf_files(Path(rest).expanduser(), name)
    if scheme == "local":
        files = local_folder(Path(rest).expanduser(), _LM_FILES, name, config="config.json")
    else:
        files = hub_folder(hub_source(rest, _LM_FILES, name), name, config="config.json")
    if not has_tokenizer(files.folder):
        raise ModelMismatch(
            f"{name}: the folder {files.folder} holds weights and no tokenizer, so its tokens cannot be read; save the tokenizer "
            "that it was trained with there, AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER)"
        )
    return files


def _find_image_text(name: str) -> Files:
    scheme, rest = _split(name, IMAGE_TEXT_SCHEMES, "image-text model", "open_clip:ViT-B-32-quickgelu@openai")
    if scheme == "toybox":
        return local_folder(_toybox(rest, ("clip",)), _CLIP_FILES, name, config="open_clip_config.json")
    if scheme == "local-dir":
        files = local_folder(Path(rest).expanduser(), _CLIP_FILES, name, config=CONFIG)
        parts = local_text(files.folder, read_config(files.folder, name), name)
        return replace(files, digest=complete_digest(files, parts, _CLIP_FILES))
    source = hub_source_of(name)
    if source is None:  # hf-clip: of a folder
        return local_folder(Path(rest).expanduser(), HF_CLIP_FILES, name, config="config.json")
    if scheme == "hf-clip":
        return hub_folder(source, name, config="config.json")
    if scheme == "hf-hub":
        files = hub_folder(source, name, config=CONFIG)
        return replace(files, digest="+".join([files.digest, *_hub_text(name, files, read_config(files.folder, name))[1]]))
    wanted = source.patterns[:1]
    files = hub_folder(source, name, config=None)
    weights = tuple(path for path in files.weights if any(path.match(pattern) for pattern in wanted))
    if not weights:
        raise ModelNotFound(f"{name}: {source.repository} on the hub offers no {' or '.join(wanted)}; choose another tag")
    files = Files(files.folder, weights, f"{rest.partition('@')[0]}@{files.digest}")
    return replace(files, digest="+".join([files.digest, *_hub_text(name, files, _open_clip_config(rest))[1]]))


def _hub_text(name: str, files: Files, config: dict[str, Any]) -> tuple[TextParts, list[str]]:
    """The text parts of a model of the hub, and the commits of the repositories that are not the model's own."""
    names, own = TextNames.of(config["model_cfg"]), hub_source_of(name)
    assert own is not None  # its scheme leads to the hub  # noqa: S101
    folders = {
        source.repository: hub_folder(source, f"{source.repository}, which {name} takes its texts from,", config=None)
        for source in _text_sources(own, names, files.folder)
    }
    tower = folders[names.tower].folder if names.tower in folders else files.folder if names.tower else None
    if tower is not None and not (tower / "config.json").is_file():
        raise missing_text(tower, name)
    tokenizer = None
    if names.tokenizer:
        tokenizer = files.folder if has_tokenizer(files.folder) else folders.get(names.tokenizer, files).folder
        if not has_tokenizer(tokenizer):
            raise missing_text(tokenizer, name)
    return TextParts(tower, tokenizer), [tower_files.digest for tower_files in folders.values()]


def _open_clip_config(rest: str) -> dict[str, Any]:
    """What open_clip knows of `architecture@tag`, in the form of `open_clip_config.json`."""
    import open_clip

    architecture, tag = _architecture(rest)
    look = _pretrained(architecture, tag)
    keys = ("mean", "std", "interpolation", "resize_mode")
    preprocess = {key: look[key] for key in keys if look.get(key) is not None}
    return {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": preprocess}


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
        raise ModelNotFound(f"open_clip has no weights {tag!r} for {architecture}; write {architecture}@TAG, tags: {tags}")
    trained_with = bool(_pretrained(architecture, tag).get("quick_gelu", False))
    if trained_with != bool((open_clip.get_model_config(architecture) or {}).get("quick_gelu", False)):
        remedy = f"{architecture}-quickgelu" if trained_with else architecture.removesuffix("-quickgelu")
        raise ModelMismatch(
            f"the weights {tag!r} were trained {'with' if trained_with else 'without'} QuickGELU, the architecture "
            f"{architecture} computes otherwise and would give wrong features; use open_clip:{remedy}@{tag}"
        )
    if not _pretrained(architecture, tag).get("hf_hub"):
        raise ModelNotFound(f"{architecture}@{tag} is not on the Hugging Face hub, so there are no safetensors of it to load")
    return architecture, tag


def _pretrained(architecture: str, tag: str) -> dict[str, Any]:
    torchvision_schemas.ensure()
    import open_clip

    return dict(open_clip.get_pretrained_cfg(architecture, tag)) if tag else {}


def _prepare(dtype: str, device: str) -> torch.dtype:
    """Check dtype and device, and turn every reduced-precision short cut off."""
    if dtype not in DTYPES:
        raise ModelMismatch(f"dtype {dtype!r} is not supported; expected one of {', '.join(DTYPES)}")
    check_device(device)
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
    _check_whole(name, model, lacking)
    return LanguageModel(pack_language_model(model.to(device)), tokenizer, name=name, digest=files.digest, dtype=dtype)


def _read_sentence_encoder(name: str, files: Files, weights: torch.dtype, dtype: str, device: str) -> SentenceEncoder:
    from transformers import AutoModel

    model, tokenizer, lacking = _from_pretrained(AutoModel, "sentence encoder", name, files, weights)
    # Checkpoints of masked language models come without a pooler, which matters only to those who pool with it.
    _check_whole(name, model, [key for key in lacking if not key.startswith("pooler.")])
    pooler = getattr(model, "pooler", None) is not None and not lacking
    return SentenceEncoder(model.to(device), tokenizer, name=name, digest=files.digest, dtype=dtype, pooler=pooler)


def _from_pretrained(kind: Any, what: str, name: str, files: Files, weights: torch.dtype) -> tuple[Any, Any, list[str]]:
    """A transformers model of a kind, its tokenizer, and the tensors that its files lack or have in another shape."""
    with _reading(f"{name} cannot be loaded as a {what}", files):
        if files.folder.suffix == ".gguf":
            model, tokenizer, lacking = read_gguf(files.folder, weights)
        else:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False, local_files_only=True)
            model, report = kind.from_pretrained(
                files.folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=weights,
                output_loading_info=True,
            )  # fmt: skip
            lacking = sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))
    _check_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0], name)
    return model, tokenizer, lacking


def _read_beside(name: str, files: Files) -> tuple[Any, Any]:
    """A language model's tokenizer and configuration, without its weights."""
    from transformers import AutoConfig, AutoTokenizer

    where: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    with _reading(f"the tokenizer and the configuration of {name} cannot be loaded", files):
        if files.folder.suffix == ".gguf":
            return read_gguf_beside(files.folder)
        return AutoTokenizer.from_pretrained(files.folder, **where), AutoConfig.from_pretrained(files.folder, **where)


@contextmanager
def _reading(failure: str, files: Files) -> Iterator[None]:
    """Read files of a model: no network, no progress bars of the libraries, and their errors as one of ours.

    Raises:
        ModelMismatch: the files do not fit together.
    """
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with no_network():
            yield
    except _UNREADABLE as error:
        raise ModelMismatch(
            f"{failure} ({_reason(error)}); expected the files that a model and its fast tokenizer are saved to together, in "
            f"{files.folder}"
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()


def _check_vocabulary(tokenizer: Any, rows: int, name: str) -> None:
    """Refuse a tokenizer that reaches only a part of its model: it is another model's, or none at all."""
    known = len(tokenizer.get_vocab())
    if known < rows / 2:
        raise ModelMismatch(
            f"the tokenizer of {name} knows {known:,} tokens and its model {rows:,}, so most of what it writes could not be "
            "read; put the tokenizer files that the model was trained with into its folder"
        )


def _check_whole(name: str, model: Any, lacking: list[str]) -> None:
    """Refuse a model with random numbers in place of missing tensors, or with tensors that are no numbers."""
    if lacking:
        raise ModelMismatch(
            f"the weights of {name} lack {len(lacking)} tensors or have them in other shapes, such as {lacking[0]}; "
            "download or save the model again"
        )
    broken = [key for key, tensor in model.named_parameters() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelMismatch(
            f"the weights of {name} hold NaN or infinite values in {len(broken)} tensors, such as {broken[0]}; train, download "
            "or convert the model again (float16 ends at 65,504: bfloat16 and float32 do not)"
        )


def _read_image_text(name: str, files: Files, weights: torch.dtype, dtype: str, device: str) -> ImageTextModel:
    import open_clip

    scheme, _, rest = name.partition(":")
    lacking: list[str] = []
    if scheme == "hf-clip":
        with _reading(f"{name} cannot be loaded as an image-text model", files):
            model, preprocess, tokenizer, lacking = read_hf_clip(files.folder, name)
    else:
        if scheme == "open_clip":
            config, chosen = _open_clip_config(rest), files.weights[0]
        else:
            check_pickles(files, name)
            config, chosen = read_config(files.folder, name), weights_file(files.weights)
        hub = scheme in ("open_clip", "hf-hub")
        parts = _hub_text(name, files, config)[0] if hub else local_text(files.folder, config, name)
        with _reading(f"{name} cannot be loaded as an image-text model", files), staged(config, chosen, parts) as place:
            model, preprocess = open_clip.create_model_from_pretrained(place)
            tokenizer = open_clip.get_tokenizer(place)
    _check_whole(name, model, lacking)
    model = pack_image_text(model.to(device, weights))
    return ImageTextModel(model, preprocess, tokenizer, name=name, digest=files.digest, dtype=dtype)


def _reason(error: BaseException) -> str:
    """Of what a library says, the line that names the fault."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return next((line for line in lines if line.startswith(("Missing key", "size mismatch"))), lines[0])[:300]
