"""`list`, `doctor` and `train`: what is installed, what is missing, how to get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cli import console
from harness.cli.exits import DONE, USER_ERROR
from harness.datasets import registry as datasets_registry
from harness.metrics import registry as metrics_registry
from harness.suites import registry
from harness.suites.registry import Registry
from harness.suites.spec import Suite, packaged_suites


def list_(as_json: bool) -> int:
    """`seetell list`."""
    kinds: Mapping[str, Registry[Any]] = {
        "decoders": registry.decoders(),
        "metrics": metrics_registry(),
        "datasets": datasets_registry(),
    }
    suites = [{"name": name, "title": _title_of(name)} for name in packaged_suites()]
    listing: dict[str, list[dict[str, Any]]] = {"suites": suites}
    for kind, plugins in kinds.items():
        listing[kind] = [
            {
                "name": claim.name,
                "from": f"{claim.distribution} {claim.version}",
                "description": claim.describe()
                if len(claims) == 1
                else f"CLASH: {len(claims)} distributions claim this name",
            }
            for claims in plugins.entries.values()
            for claim in claims
        ]
    if as_json:
        console.emit(listing)
        return DONE
    console.show_table("Suites", ("suite", "what"), [(each["name"], each["title"]) for each in suites])
    for kind in kinds:
        rows = [(each["name"], each["from"], each["description"]) for each in listing[kind]]
        console.show_table(kind.capitalize(), (kind.removesuffix("s"), "from", "what"), rows)
    return DONE


def doctor(as_json: bool) -> int:
    """`seetell doctor`."""
    from harness.cli.doctor import check

    checks = check()
    if as_json:
        console.emit({"checks": [each.to_json() for each in checks]})
    else:
        marks = {True: "[green]ok[/]     ", None: "[yellow]without[/]", False: "[red]MISSING[/]"}
        for each in checks:
            console.out.print(f"{marks[each.ok]} {console.shown(each.name)}: {console.shown(each.detail)}")
            if each.remedy and not each.ok:
                console.out.print(f"          {console.shown(each.remedy)}")
    return USER_ERROR if any(each.ok is False for each in checks) else DONE


def train_toybox(out: Path, parts: Sequence[str], seed: int, as_json: bool) -> int:
    """`seetell train toybox`."""
    from harness.training.toybox.train import train_toybox as train

    manifest = train(out, parts=parts, seed=seed, progress=console.say)
    if as_json:
        console.emit(manifest)
    else:
        console.say(f"wrote {out}")
    return DONE


def _title_of(suite: str) -> str:
    loaded = Suite.load(suite)
    return loaded.title or loaded.task
