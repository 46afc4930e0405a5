"""From a model's name to its files and to what identifies their content; nothing is loaded.

Language models: `hf:org/name@revision`, `local:folder`, `local:model.gguf`, `toybox:plain|ornate|stories`.
Image-text models: `open_clip:ViT-B-32-quickgelu@openai`, `hf-hub:org/name@revision` and `local-dir:folder` of open_clip,
`hf-clip:folder` and `hf-clip:org/name@revision` of transformers, `toybox:clip`.
Sentence encoders: as language models; any transformer that turns a text into one vector a token will do.

Relative folders are relative to the current directory.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from decoders.errors import ModelMismatch, ModelNotFound
from decoders.models import torchvision_schemas
from decoders.models.clip_folder import (
    CONFIG,
    TEXT_FILES,
    TOKENIZER_FILES,
    TextNames,
    TextParts,
    complete_digest,
    has_tokenizer,
    local_text,
    missing_text,
    read_config,
)
from decoders.models.files import Files, HubSource, folder_here, hub_folder, hub_source, local_folder
from decoders.models.gguf_file import gguf_files
from decoders.models.hf_clip import FILES as HF_CLIP_FILES

Role = Literal["language_model", "image_text"]
"""What a model does in a suite: the key of `[models]` that names it."""

TOYBOX = Path(__file__).parent / "toybox"
TOYBOX_LANGUAGE_MODELS = ("plain", "ornate", "stories")
LANGUAGE_SCHEMES = ("hf", "local", "toybox")
IMAGE_TEXT_SCHEMES = ("open_clip", "hf-hub", "local-dir", "hf-clip", "toybox")

_LM_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*",
             "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "spiece.model")  # fmt: skip
_CLIP_FILES = ("open_clip*.safetensors", "model.safetensors", "open_clip_config.json", *_LM_FILES[4:])
_HUB_CLIP_FILES = (*_CLIP_FILES, "config.json", "*.model")
"""The same and what a text tower of transformers is read from; a hub model's digest is its commit, whatever is taken of it."""


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
    return (find_language_model(name) if (role or role_of(name)) == "language_model" else find_image_text(name)).digest


def role_of(name: str) -> Role:
    """What the scheme of a name makes its model.

    Raises:
        ModelNotFound: the name has no scheme, or an unknown one.
    """
    known = tuple(dict.fromkeys((*LANGUAGE_SCHEMES, *IMAGE_TEXT_SCHEMES)))
    scheme, rest = _split(name, known, "model", "hf:gpt2@607a30d783df or open_clip:ViT-B-32-quickgelu@openai")
    return "language_model" if scheme in LANGUAGE_SCHEMES and f"{scheme}:{rest}" != "toybox:clip" else "image_text"


def hub_sources_of(name: str) -> list[HubSource]:
    """The hub repositories that a model needs: its own, and those of its text tower and tokenizer.

    The configuration of a `hf-hub:` model names the others, so they are known once its own repository is downloaded.

    Raises:
        ModelNotFound, ModelMismatch: as the loaders, as far as it can be told without files.
    """
    own = hub_source_of(name)
    if own is None:
        return []
    scheme, _, rest = name.partition(":")
    if scheme == "open_clip":
        return [own, *_text_sources(own, TextNames.of(open_clip_config(rest)["model_cfg"]), folder_here(own))]
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
    """Where on the hub the model of a name is; None for models that are in a folder or come with SeeTell.

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
        names = TextNames.of(open_clip_config(rest)["model_cfg"])
        # A tokenizer of transformers is mostly beside the weights.
        beside = TOKENIZER_FILES if names.tokenizer == repository else ()
        return HubSource(repository, "", (f"{Path(file).stem}.safetensors" if file else "open_clip*.safetensors", *beside))
    return None


def find_language_model(name: str, kind: str = "language model") -> Files:
    """The files of a language model or, as `kind` calls it in errors, of a sentence encoder.

    Raises:
        ModelNotFound: the name cannot be resolved, or its folder lacks files.
        ModelMismatch: the folder holds no tokenizer.
    """
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


def find_image_text(name: str) -> Files:
    """The files of an image-text model; their digest covers a text tower and tokenizer that are elsewhere.

    Raises:
        ModelNotFound: the name cannot be resolved, or its folder lacks files.
        ModelMismatch: the files do not fit together, or the architecture's activation is not the one its weights need.
    """
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
        return replace(files, digest="+".join([files.digest, *hub_text(name, files, read_config(files.folder, name))[1]]))
    wanted = source.patterns[:1]
    files = hub_folder(source, name, config=None)
    weights = tuple(path for path in files.weights if any(path.match(pattern) for pattern in wanted))
    if not weights:
        raise ModelNotFound(f"{name}: {source.repository} on the hub offers no {' or '.join(wanted)}; choose another tag")
    files = Files(files.folder, weights, f"{rest.partition('@')[0]}@{files.digest}")
    return replace(files, digest="+".join([files.digest, *hub_text(name, files, open_clip_config(rest))[1]]))


def hub_text(name: str, files: Files, config: dict[str, Any]) -> tuple[TextParts, list[str]]:
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
    return TextParts(tower, tokenizer), [folder.digest for folder in folders.values()]


def open_clip_config(rest: str) -> dict[str, Any]:
    """The configuration that open_clip has for `architecture@tag`, in the form of `open_clip_config.json`."""
    open_clip = _open_clip()
    architecture, tag = _architecture(rest)
    pretrained = _pretrained(architecture, tag)
    keys = ("mean", "std", "interpolation", "resize_mode")
    preprocess = {key: pretrained[key] for key in keys if pretrained.get(key) is not None}
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
    open_clip = _open_clip()
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
    return dict(_open_clip().get_pretrained_cfg(architecture, tag)) if tag else {}


def _open_clip() -> Any:
    """The module, imported so that a torchvision of another torch does not stop it."""
    torchvision_schemas.ensure()
    import open_clip

    return open_clip
