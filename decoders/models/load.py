"""From a model's name to a loaded model, once per process; `decoders.models.names` lists the forms of a name.

Weights are read from safetensors only, never from a pickle, and no code that comes with a model is run. Everything is
float32 with TF32 off unless another dtype is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch

from decoders.errors import ModelMismatch, SeeTellError
from decoders.models import torchvision_schemas
from decoders.models.clip_folder import check_pickles, local_text, read_config, staged, weights_file
from decoders.models.devices import check_device, full_name, is_memory_error, on_full_memory
from decoders.models.files import Files, no_network
from decoders.models.gguf_file import read_gguf, read_gguf_beside
from decoders.models.hf_clip import read_hf_clip
from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel
from decoders.models.names import Role, find_image_text, find_language_model, hub_text, open_clip_config, role_of
from decoders.models.packed import pack_image_text, pack_language_model
from decoders.models.sentence_encoder import SentenceEncoder

Model = TypeVar("Model", LanguageModel, ImageTextModel, SentenceEncoder)

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Names of arithmetic, and the dtype of the weights. `tf32` has the weights of float32 and lets NVIDIA's GPUs round the factors
of matrix products to ten bits; `pinned_arithmetic` switches it on where a decoder computes, and a CPU computes in float32."""

_loaded: MutableMapping[tuple[str, type, str, str], Any] = WeakValueDictionary()
"""The models of this process, by content, kind, dtype and device, as long as anybody has them."""
_kept: dict[tuple[str, type, str, str], Any] = {}
"""Those that were asked for last, so that the next decoder or metric need not load them again; the latest at the end."""
_KEPT = 6
"""More than the models and judges of a suite."""


def load_language_model(name: str, *, dtype: str = "float32", device: str = "cpu") -> LanguageModel:
    """Load a causal language model with its tokenizer; the same object for the same name, content, dtype and device.

    Args:
        name: as `decoders.models.names` lists them.
        dtype: `float32`, `tf32`, `bfloat16` or `float16`.
        device: a torch device, such as `cpu` or `cuda:0`.

    Raises:
        ModelNotFound: the name cannot be resolved, or its folder lacks files.
        ModelMismatch: the files are there but are no causal language model that SeeTell can use.
    """
    return _once(LanguageModel, _read_language_model, name, find_language_model(name), dtype, device)


def load_for_training(name: str, *, device: str = "cpu") -> tuple[Any, Any, str]:
    """Load a causal language model to be trained: as transformers makes it, float32, its weights free, never remembered.

    Args:
        name: as `decoders.models.names` lists them.
        device: a torch device, such as `cpu` or `cuda:0`.

    Returns:
        The transformers model, its fast tokenizer, and what identifies the model's content.

    Raises:
        ModelNotFound, ModelMismatch: as `load_language_model`.
    """
    files = find_language_model(name)
    weights = _prepare("float32", device)
    from transformers import AutoModelForCausalLM

    model, tokenizer, lacking = _from_pretrained(AutoModelForCausalLM, "causal language model", name, files, weights)
    _check_whole(name, model, lacking)
    return model.to(device), tokenizer, files.digest


def load_image_text(name: str, *, dtype: str = "float32", device: str = "cpu") -> ImageTextModel:
    """Load an image-text model with its image transform and tokenizer; remembered like language models.

    Args:
        name: as `decoders.models.names` lists them.
        dtype: `float32`, `tf32`, `bfloat16` or `float16`.
        device: a torch device, such as `cpu` or `cuda:0`.

    Raises:
        ModelNotFound: the name cannot be resolved, or its folder lacks files.
        ModelMismatch: the files do not fit together, or the name combines an architecture with weights that were trained with
            another activation (`ViT-B-32` with OpenAI's weights, which need `ViT-B-32-quickgelu`).
    """
    return _once(ImageTextModel, _read_image_text, name, find_image_text(name), dtype, device)


def load_sentence_encoder(name: str, *, dtype: str = "float32", device: str = "cpu") -> SentenceEncoder:
    """Load a sentence encoder with its tokenizer; remembered like language models.

    Args:
        name: as `decoders.models.names` lists them.
        dtype: `float32`, `tf32`, `bfloat16` or `float16`.
        device: a torch device, such as `cpu` or `cuda:0`.

    Raises:
        ModelNotFound: the name cannot be resolved, or its folder lacks files.
        ModelMismatch: the files are no such encoder.
    """
    files = find_language_model(name, "sentence encoder")
    return _once(SentenceEncoder, _read_sentence_encoder, name, files, dtype, device)


def _once(kind: type[Model], read: Callable[..., Model], name: str, files: Files, dtype: str, device: str) -> Model:
    """The one memo of loaded models: the same object for the same kind, content, dtype and device."""
    check_device(device)
    device = full_name(device)
    key = (files.digest, kind, dtype, device)
    model: Model | None = _loaded.get(key)
    if model is None:
        model = _loaded[key] = read(name, files, _prepare(dtype, device), dtype, device)
    _kept.pop(key, None)
    _kept[key] = model
    while len(_kept) > _KEPT:
        del _kept[next(iter(_kept))]
    return model


def let_go() -> None:
    """Keep no model that nobody uses: called when memory is full."""
    _kept.clear()


on_full_memory(let_go)


def check_model(name: str, role: Role | None = None, *, whole: bool = False) -> None:
    """Load a language model's tokenizer and configuration, or a whole image-text model, as a run will; no network is used.

    Args:
        name: as `decoders.models.names` lists them.
        role: what it has to be; by default the scheme of the name decides.
        whole: load a language model's weights too.

    Raises:
        ModelNotFound, ModelMismatch: as the loaders.
    """
    if (role or role_of(name)) == "image_text":
        load_image_text(name)
    elif whole:
        load_language_model(name)
    else:
        files = find_language_model(name)
        _prepare("float32", "cpu")
        tokenizer, config = _read_beside(name, files)
        _check_vocabulary(tokenizer, config.get_text_config(decoder=True).vocab_size, name)


def load_tokenizer(name: str) -> Any:
    """A language model's tokenizer alone.

    Raises:
        ModelNotFound, ModelMismatch: as `load_language_model`.
    """
    files = find_language_model(name)
    _prepare("float32", "cpu")
    return _read_beside(name, files)[0]


def _prepare(dtype: str, device: str) -> torch.dtype:
    """Check dtype and device, and switch off every reduced-precision short cut."""
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


def _from_pretrained(kind: Any, noun: str, name: str, files: Files, weights: torch.dtype) -> tuple[Any, Any, list[str]]:
    """A transformers model of a kind, its tokenizer, and the tensors that its files lack or have in another shape."""
    with _reading(f"{name} cannot be loaded as a {noun}", files):
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

    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    with _reading(f"the tokenizer and the configuration of {name} cannot be loaded", files):
        if files.folder.suffix == ".gguf":
            return read_gguf_beside(files.folder)
        return AutoTokenizer.from_pretrained(files.folder, **options), AutoConfig.from_pretrained(files.folder, **options)


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
    except Exception as error:  # the boundary to libraries that build whatever a stranger's files say
        if isinstance(error, SeeTellError) or is_memory_error(error):
            raise
        raise ModelMismatch(
            f"{failure} ({_reason(error)}); expected the files that a model and its fast tokenizer are saved to together, in "
            f"{files.folder}"
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()


def _check_vocabulary(tokenizer: Any, rows: int, name: str) -> None:
    """Refuse a tokenizer that reaches only a part of its model: it is another model's, or none at all."""
    longest = tokenizer.model_max_length
    if isinstance(longest, bool) or not isinstance(longest, int | float):
        raise ModelMismatch(
            f"the tokenizer of {name} has model_max_length {longest!r}; expected a number in its tokenizer_config.json"
        )
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
            model, preprocess, tokenizer, lacking = read_hf_clip(files.folder, name, device)
    else:
        if scheme == "open_clip":
            config, chosen = open_clip_config(rest), files.weights[0]
        else:
            check_pickles(files, name)
            config, chosen = read_config(files.folder, name), weights_file(files.weights)
        hub = scheme in ("open_clip", "hf-hub")
        parts = hub_text(name, files, config)[0] if hub else local_text(files.folder, config, name)
        with _reading(f"{name} cannot be loaded as an image-text model", files), staged(config, chosen, parts) as place:
            with _built_on(device, config["model_cfg"]):
                model, preprocess = open_clip.create_model_from_pretrained(place, device=device)
            tokenizer = open_clip.get_tokenizer(place)
    _check_whole(name, model, lacking)
    model = pack_image_text(model.to(device, weights))
    return ImageTextModel(model, preprocess, tokenizer, name=name, digest=files.digest, dtype=dtype)


def _built_on(device: str, config: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Make the modules of an open_clip model on their device, so that weights go there from their file, with no copy on the CPU.

    Towers of other libraries are made on the CPU: they may compute while they are made.
    """
    foreign = "hf_model_name" in config["text_cfg"] or "timm_model_name" in config["vision_cfg"]
    return nullcontext() if foreign or device == "cpu" else torch.device(device)


def _reason(error: BaseException) -> str:
    """The line of a library's message that names the fault."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return next((line for line in lines if line.startswith(("Missing key", "size mismatch"))), lines[0])[:300]
