"""The model card of an adapted model: what it is, from what, with which texts and settings, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.store.markdown import markdown_table
from harness.store.text import markdown

_CAPTION_PROMPT, _STORY_PROMPT = "<-start_of_text->", "{prompt} <|endoftext|>"


def card(record: Mapping[str, Any]) -> str:
    """README.md of a model's folder, from its training.json. Names of models, files and suites are shown as they are, never read.

    Args:
        record: what training.json says of a training that is over.
    """
    recipe, corpus, losses = record["recipe"], record["corpus"], record["losses"]
    best = next(evaluation for evaluation in losses["evaluations"] if evaluation["step"] == losses["best"])
    first = losses["evaluations"][0]
    story = recipe["task"] == "story"
    verb = "trained from new weights with the architecture and tokenizer of" if recipe["from_scratch"] else "adapted from"
    early = ", early, because it got no better" if record["stopped_early"] else ""
    kinds = {"likelihood, nats a token": "likelihood", "contrastive loss": "contrast", "anisotropy": "anisotropy"}
    values = [(label, f"{first[kind]:.4f}", f"{best[kind]:.4f}") for label, kind in kinds.items()]
    return f"""---
library_name: transformers
pipeline_tag: text-generation
base_model: {json.dumps(_hub_name(recipe["model"]))}
---

# A language model of {"stories" if story else "captions"}

Made by `seetell train lm` (SeeTell {markdown(str(record["seetell"]))}): {verb} {markdown(recipe["model"])}
(content {markdown(record["base"]["digest"][:12])}), with maximum likelihood {_second_loss(recipe["margin"])}.

## Texts

{corpus["train"]} training texts and {corpus["val"]} validation texts from {markdown(corpus["source"])}; content
{markdown(corpus["digest"][:12])}. The validation texts chose the update that was kept.

## Losses

The kept weights are those after update {losses["best"]}. Training ended after update {len(losses["updates"])}{early}.

{markdown_table(("validation texts", "before", "kept"), values)}

![The losses against updates](losses.png)

## Use

In a suite of SeeTell, with the path of this folder from the suite's:

```toml
[models]
language_model = "local:path/of/this/folder"

[text]
prompt = "{_STORY_PROMPT if story else _CAPTION_PROMPT}"
max_length = {100 if story else 16}
```

## Recipe

{markdown_table(("setting", "value"), [(name, _shown(value)) for name, value in recipe.items()], (0, 1))}

`training.json` has every loss and the versions of all packages.

## Limits

It writes like its texts and knows nothing else; what they get wrong about people, it repeats. Whoever passes it on keeps to the
licences of the base and of the texts.
"""


def _second_loss(margin: float) -> str:
    return f"and SimCTG's contrastive loss (margin {margin:g})" if margin else "alone (margin 0)"


def _shown(value: object) -> str:
    return {True: "yes", False: "no", None: "none"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)


def _hub_name(model: str) -> str:
    """`org/name` of a hub model; what else there is has no page."""
    return model.removeprefix("hf:").partition("@")[0]
