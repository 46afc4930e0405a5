"""`seetell.decode`: images, or prompts, into texts, without a suite and without files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from decoders.base import Decoder, Generation, Limits, Need, Prompt
from decoders.models.arithmetic import pinned_arithmetic
from decoders.models.devices import Fit
from decoders.models.loaded import Models
from harness.cli.console import progress_bar
from harness.decode.executor import check_generations
from harness.errors import DataError, NeedMissing, SuiteError
from harness.suites import registry
from harness.suites.examples import seed_for
from harness.suites.places import cache_folder
from harness.suites.sections import checked
from seetell.inputs import IMAGE_FORMS, Picture, image_of, is_one_image

if TYPE_CHECKING:
    from decoders.models.image_text import ImageTextModel
    from decoders.models.language_model import LanguageModel

MAX_NEW_TOKENS = 16
"""New tokens of a caption in the published experiments."""
BATCH = 16

_REMEDIES = {
    Need.LM: 'a language model; pass language_model=, such as "hf:gpt2" or "toybox:plain"',
    Need.CLIP: 'an image-text model; pass image_text=, such as "open_clip:ViT-B-32-quickgelu@openai" or "toybox:clip"',
    Need.INDEX: "captions to choose from; pass captions=, a list of texts or a text file with one a line",
    Need.IMAGE: "images; pass them as the second argument",
}


@overload
def decode(decoder: str | type[Decoder], images: Picture, **options: Any) -> str: ...


@overload
def decode(decoder: str | type[Decoder], images: Sequence[Picture], **options: Any) -> list[str]: ...


@overload
def decode(decoder: str | type[Decoder], images: None = None, **options: Any) -> Any: ...


def decode(
    decoder: str | type[Decoder],
    images: Picture | Sequence[Picture] | None = None,
    *,
    prompts: str | Sequence[str] | None = None,
    language_model: str | LanguageModel | None = None,
    image_text: str | ImageTextModel | None = None,
    captions: Sequence[str] | str | Path | None = None,
    max_new_tokens: int | None = None,
    max_length: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
    device: str = "auto",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    **settings: Any,
) -> str | list[str]:
    """Decode images, prompts, or both, with one decoder.

    A list of images (or of prompts) gives a list of texts in the same order; a single one gives a text. The text of an image does
    not depend on the other images, on their order or on the batch size. Models are loaded once and kept.

    ```python
    seetell.decode("magic", "a.jpg", language_model="toybox:plain", image_text="toybox:clip", beta=2.0)
    ```

    Args:
        decoder: the name of an installed decoder (`seetell list`), or a class derived from `seetell.Decoder`.
        images: paths, bytes of image files, PIL images or arrays of pixels; None for decoders that use no image.
        prompts: what the texts continue: one for all images, or one an image; the language model's start token by default.
        language_model: its name, such as `hf:gpt2` (docs/models.md), or a loaded one.
        image_text: as `language_model`, such as `open_clip:ViT-B-32-quickgelu@openai`.
        captions: what retrieval chooses from: texts, or a text file with one a line. Their features are cached.
        max_new_tokens: the most new tokens of a text; 16 where no limit is given.
        max_length: the most tokens of prompt and text together.
        seed: of decoders that sample. The text at a place of the list follows from the seed and the place.
        batch_size: how many texts are decoded together; fewer where they do not fit into memory.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        dtype: arithmetic of the models.
        **settings: the decoder's own, such as `beta=2.0`; the published ones by default.

    Returns:
        The text, or the texts.

    Raises:
        SeeTellError: an unknown decoder or setting, a model that is not available, an image that cannot be opened.
    """
    if batch_size < 1:
        raise SuiteError(f"batch_size={batch_size}: expected 1 or more")
    plugin = _decoder_class(decoder)
    name = decoder if isinstance(decoder, str) else plugin.__name__
    config = checked(plugin.Config, settings, f"settings of {name}")
    made, single = _prompts(images, prompts)
    _check_needs(
        name, plugin.needs,
        {Need.LM: language_model, Need.CLIP: image_text, Need.INDEX: captions, Need.IMAGE: images},
    )  # fmt: skip
    if max_new_tokens is None and max_length is None:
        max_new_tokens = MAX_NEW_TOKENS
    with pinned_arithmetic():
        models = _models(plugin.needs, language_model, image_text, captions, device=device, dtype=dtype)
        running = plugin(config, models, Limits(max_new_tokens, max_length))

        def decode_batch(batch: Sequence[Prompt]) -> list[Generation]:
            seeds = [seed_for(f"seetell.decode seed {seed}", prompt.id, 0) for prompt in batch]
            generations = running.decode(batch, seeds)
            check_generations(name, generations, len(batch))
            return generations

        texts: list[str] = []
        with progress_bar(f"{name}: decoding") as progress:
            for generations in Fit().batches(made, batch_size, decode_batch):
                texts += [generation.text for generation in generations]
                progress(len(texts), len(made))
    return texts[0] if single else texts


def _decoder_class(decoder: str | type[Decoder]) -> type[Decoder]:
    if isinstance(decoder, str):
        return registry.decoders().load(decoder)
    if isinstance(decoder, type) and issubclass(decoder, Decoder):
        return decoder
    raise SuiteError(
        f"a decoder of type {type(decoder).__name__}; expected a name (`seetell list`) or a class of seetell.Decoder"
    )


def _prompts(images: object, prompts: str | Sequence[str] | None) -> tuple[list[Prompt], bool]:
    """What is decoded, and whether it is one text instead of a list."""
    one_image = images is None or is_one_image(images)
    if not one_image and not isinstance(images, Sequence | np.ndarray):
        raise DataError(f"images of type {type(images).__name__}; {IMAGE_FORMS}, or a list of these")
    pictures: list[Any] = [None] if images is None else [images] if one_image else list(images)  # type: ignore[call-overload]
    words = [prompts] if isinstance(prompts, str) else [""] if prompts is None else list(prompts)
    one_prompt = prompts is None or isinstance(prompts, str)
    if images is None and prompts is None:
        raise DataError("nothing to decode; give images, prompts, or both")
    if one_image and not one_prompt and images is not None:
        pictures *= len(words)
    if images is None:
        pictures = [None] * len(words)
    if one_prompt:
        words *= len(pictures)
    if len(words) != len(pictures):
        raise DataError(f"{len(pictures)} images and {len(words)} prompts; expected one prompt for all images, or one an image")
    built = [
        Prompt(str(place), text, None if picture is None else image_of(picture))
        for place, (picture, text) in enumerate(zip(pictures, words, strict=True))
    ]
    return built, one_image and one_prompt


def _check_needs(name: str, needs: frozenset[Need], given: Mapping[Need, object]) -> None:
    missing = [_REMEDIES[need] for need in _REMEDIES if need in needs and given[need] is None]
    if Need.INDEX in needs and given[Need.CLIP] is None and Need.CLIP not in needs:
        missing.append(_REMEDIES[Need.CLIP])
    if missing:
        raise NeedMissing(f"the decoder {name!r} needs {'; and '.join(missing)}")


def _models(
    needs: frozenset[Need],
    language_model: str | LanguageModel | None,
    image_text: str | ImageTextModel | None,
    captions: Sequence[str] | str | Path | None,
    *,
    device: str,
    dtype: str,
) -> Models:
    """The models that a decoder needs; the loaders keep them, so the next call starts at once."""
    from decoders.models import load
    from decoders.models.devices import pick_device
    from harness.datasets.digests import resolve_model

    device = pick_device(device)
    lm: LanguageModel | None = None
    clip: ImageTextModel | None = None
    index = None
    if Need.LM in needs and isinstance(language_model, str):
        lm = load.load_language_model(resolve_model(language_model, Path.cwd()), dtype=dtype, device=device)
    elif Need.LM in needs and not isinstance(language_model, str):
        lm = language_model
    sees = bool(needs & {Need.CLIP, Need.INDEX})
    if sees and isinstance(image_text, str):
        clip = load.load_image_text(resolve_model(image_text, Path.cwd()), dtype=dtype, device=device)
    elif sees and not isinstance(image_text, str):
        clip = image_text
    if Need.INDEX in needs and captions is not None and clip is not None:
        from harness.datasets.index.captions import caption_index

        index = caption_index(_captions(captions), clip, cache_folder())
    return Models(lm, clip, index)


def _captions(captions: Sequence[str] | str | Path) -> list[str]:
    if not isinstance(captions, str | Path):
        return list(captions)
    try:
        lines = Path(captions).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"captions={str(captions)!r} cannot be read ({error}); expected a text file with one caption a line"
        ) from error
    return [line.strip() for line in lines if line.strip()]
