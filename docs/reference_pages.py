"""The pages that are made from the code: docs/api.md, docs/suites.md and docs/decoders.md. `make docs` writes them again.

A test holds the pages to what this program makes. `python docs/reference_pages.py --check` says which are not current.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import seetell
from harness import datasets, metrics
from harness.store.markdown import markdown_table
from harness.suites import registry
from harness.suites.described import keys_of
from harness.suites.spec import (
    DataRef,
    DecoderRef,
    ImagesRef,
    MetricRef,
    ModelNames,
    RunRules,
    Suite,
    Sweep,
    TestedRef,
    TextRules,
)

FOLDER = Path(__file__).resolve().parent
MADE = "<!-- Made by `make docs` from the code; edit the docstrings instead. -->"
SECTIONS = {
    "": Suite,
    "data": TestedRef,
    "models": ModelNames,
    "captions": DataRef,
    "images": ImagesRef,
    "text": TextRules,
    "run": RunRules,
    "decoders.LABEL": DecoderRef,
    "metrics.LABEL": MetricRef,
    "sweep": Sweep,
}
NEEDS = {
    "language_model": "a language model",
    "image_text": "an image-text model",
    "image": "images",
    "caption_index": "captions to choose from",
    "sentence_encoder": "a sentence encoder",
}


def key_table(model: Any) -> str:
    """The keys of one table of a suite."""
    rows = [
        (f"`{key.name}`", key.values, f"`{key.default}`" if key.default else "required", key.meaning) for key in keys_of(model)
    ]
    if not rows:
        return "No keys."
    return markdown_table(("Key", "Values", "Default", "Meaning"), [[cell.replace("|", "\\|") for cell in row] for row in rows],
                          left=(0, 1, 2, 3), escape=False)  # fmt: skip


def prose(documented: Any) -> str:
    """A docstring without its sections for arguments and errors."""
    text = inspect.getdoc(documented) or ""
    return text.split("\n\nArgs:")[0].split("\n\nAttributes:")[0].split("\n\nReturns:")[0].split("\n\nRaises:")[0]


def suites_page() -> str:
    """Every key of a suite's TOML, of every data set format and of every metric."""
    parts = [
        "# Suites\n\n" + MADE,
        'A suite is a TOML file: which data, which models, which decoders with which settings, which metrics. `extends = "NAME"` '
        "starts from another suite: tables are merged key by key, values are replaced, and `greedy = false` under `[decoders]` "
        "takes a decoder away. `seetell run FILE --set magic.beta=1.5` changes a value for one run. Relative paths start at the "
        "suite's folder. [docs/data.md](data.md) has examples for each data set format, [docs/decoders.md](decoders.md) the "
        "settings of the decoders, and [docs/metrics.md](metrics.md) says what the metrics measure.",
        "```toml\n" + EXAMPLE + "```",
    ]
    for name, model in SECTIONS.items():
        title = f"`[{name}]`" if name else "Keys of the file itself"
        parts += [f"## {title}\n\n{prose(model)}", key_table(model)]
    parts.append("# Data set formats\n\nOptions of `[data]`, `[captions]` and `[images]`, by `dataset`.")
    for name in datasets.registry().entries:
        plugin = datasets.registry().load(name)
        parts += [f"## `{name}`\n\n{prose(plugin)}", key_table(plugin.Options)]
    parts.append("# Options of metrics\n\nKeys under `[metrics.LABEL]`.")
    for name in metrics.registry().entries:
        metric = metrics.registry().load(name)
        parts += [f"## `{name}`\n\n{prose(metric)}", key_table(metric.Config)]
    return "\n\n".join(parts) + "\n"


EXAMPLE = """name = "my-images"
data = { dataset = "jsonl", file = "captions.jsonl", images = "photos" }
models = { language_model = "hf:gpt2", image_text = "open_clip:ViT-B-32-quickgelu@openai" }
text = { prompt = "A picture of", max_new_tokens = 16 }

[decoders]
greedy = {}
magic = {}
mild = { decoder = "magic", beta = 0.5 }

[metrics]
cider = {}
clipscore = {}
"""


def decoders_page() -> str:
    """What each decoder does, needs and takes."""
    parts = [
        "# Decoders\n\n" + MADE,
        "The defaults are the published settings. A suite changes them under `[decoders.LABEL]`, the command line with "
        "`--set LABEL.KEY=VALUE`, Python with keyword arguments of `seetell.decode`. `seetell list NAME` shows one decoder in a "
        "terminal. How a decoder of your own is written: [architecture.md](architecture.md#plug-ins-three-contracts).",
    ]
    for name in registry.decoders().entries:
        plugin = registry.decoders().load(name)
        needs = ", ".join(text for need, text in NEEDS.items() if need in {str(need) for need in plugin.needs}) or "nothing"
        draws = "It draws tokens at random: the text follows from the seed." if plugin.seeded else "It uses no randomness."
        parts += [f"## `{name}`\n\n{prose(plugin)}\n\nNeeds {needs}. {draws}", key_table(plugin.Config)]
    return "\n\n".join(parts) + "\n"


def api_page() -> str:
    """Functions, then classes, of `import seetell`."""
    parts = ["# Python API\n\n" + MADE, inspect.getdoc(seetell) or ""]
    public = {name: getattr(seetell, name) for name in seetell.__all__}
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    parts.append("## Functions")
    for name, function in functions.items():
        parts.append(f"### `seetell.{name}`\n\n```python\n{_signature(name, function)}\n```\n\n{_docstring(function)}")
    parts.append("## Classes")
    for name, value in public.items():
        if name not in functions:
            methods = "\n".join(_members(value))
            parts.append(f"### `seetell.{name}`\n\n{_docstring(value)}" + (f"\n\n{methods}" if methods else ""))
    return "\n\n".join(parts) + "\n"


def _signature(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    inside = ",\n    ".join(
        ("*,\n    " if place and first_keyword(signature) == parameter.name else "") + _parameter(parameter)
        for place, parameter in enumerate(signature.parameters.values())
    )
    return f"seetell.{name}(\n    {inside},\n) -> {signature.return_annotation}"


def _parameter(parameter: inspect.Parameter) -> str:
    """A parameter as it is written in the source, where annotations have no quotes."""
    text = str(parameter)
    return text.replace(repr(parameter.annotation), str(parameter.annotation))


def first_keyword(signature: inspect.Signature) -> str:
    """Name of the first parameter that is given by keyword only; empty if none is."""
    keywords = (parameter for parameter in signature.parameters.values() if parameter.kind is inspect.Parameter.KEYWORD_ONLY)
    return next((parameter.name for parameter in keywords), "")


def _docstring(documented: Any) -> str:
    """A docstring with its sections as lists."""
    lines = []
    for line in (inspect.getdoc(documented) or "").split("\n"):
        if line in ("Args:", "Attributes:", "Returns:", "Raises:"):
            lines.append(f"**{line}**\n")
        elif line.startswith("    ") and not line.startswith("     ") and ": " in line and line.strip()[0] not in "`{[":
            name, _, meaning = line.strip().partition(": ")
            lines.append(f"- `{name}`: {meaning}" if " " not in name.replace(", ", ",") else line.strip())
        else:
            lines.append(line.strip() if line.startswith("    ") and not line.startswith("     ") else line)
    return "\n".join(lines)


def _members(kind: Any) -> Iterator[str]:
    for name, value in vars(kind).items():
        if name.startswith("_") or not (inspect.isfunction(value) or isinstance(value, property | classmethod)):
            continue
        shown = value.fget if isinstance(value, property) else value.__func__ if isinstance(value, classmethod) else value
        call = "" if isinstance(value, property) else "()"
        first = (inspect.getdoc(shown) or "").partition("\n")[0]
        yield f"- `{name}{call}`: {first}"


PAGES: dict[str, Callable[[], str]] = {"api.md": api_page, "decoders.md": decoders_page, "suites.md": suites_page}


def main() -> None:
    """Write the pages, or say which are not current."""
    stale = []
    for name, make in PAGES.items():
        path, content = FOLDER / name, make()
        if not path.is_file() or path.read_text("utf-8") != content:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                path.write_text(content, "utf-8")
    if "--check" in sys.argv[1:] and stale:
        sys.exit(f"not current: {', '.join(stale)}; `make docs` writes them again")


if __name__ == "__main__":
    main()
