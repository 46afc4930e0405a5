"""One registry, filled by entry points: built-ins and plug-ins are in the same list.

Listing reads package metadata and source text only. A plug-in's code runs when it is used, never before, so a broken one
is an error for whoever names it and for nobody else.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import io
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from harness.errors import BrokenPlugin, ClashingPlugins, UnknownPlugin, did_you_mean
from harness.suites.code import Code, code_of

if TYPE_CHECKING:
    from decoders.base import Decoder


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered name, as its distribution's metadata gives it."""

    name: str
    target: str
    """`package.module:Class`."""
    distribution: str
    version: str

    def describe(self) -> str:
        """First line of the class docstring, read from the source without importing it; empty if that is not possible."""
        module, _, attribute = self.target.partition(":")
        source = _source_of(module)
        if source is None:
            return ""
        try:
            tree = ast.parse(source.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, UnicodeDecodeError):
            return ""
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == attribute:
                return (ast.get_docstring(node) or "").partition("\n")[0]
        return ""


class Registry(Generic[T]):
    """The plug-ins of one entry-point group.

    Args:
        group: the entry-point group, such as `seetell.decoders`.
        base: `package.module:Class` that every plug-in of the group derives from; a string, so that making a registry
            imports nothing.
        noun: what one plug-in is called in messages.
    """

    def __init__(self, group: str, base: str, noun: str) -> None:
        self.group = group
        self.base = base
        self.noun = noun

    @cached_property
    def entries(self) -> dict[str, tuple[Entry, ...]]:
        """Name to the distributions that claim it (normally one), sorted by name."""
        claims: dict[str, set[tuple[str, str, str]]] = {}
        named: dict[int, tuple[str, str]] = {}  # each look at a name or a version parses the metadata again
        points = list(metadata.entry_points(group=self.group))
        for point in points:
            # A checkout on sys.path may be seen twice under one distribution name; that is no clash.
            if id(point.dist) not in named:
                named[id(point.dist)] = (point.dist.name, point.dist.version) if point.dist else ("unknown", "")
            claims.setdefault(point.name, set()).add((point.value, *named[id(point.dist)]))
        return {name: tuple(Entry(name, *claim) for claim in sorted(claims[name])) for name in sorted(claims)}

    def find(self, name: str) -> Entry:
        """The one entry of that name.

        Raises:
            UnknownPlugin: nobody registers it; the text gives the nearest names.
            ClashingPlugins: two distributions do; the text names both.
        """
        claims = self.entries.get(name, ())
        if not claims:
            raise UnknownPlugin(
                f"there is no {self.noun} {name!r}{did_you_mean(name, self.entries)}. `seetell list` shows what is installed"
            )
        if len(claims) > 1:
            owners = " and ".join(f"{claim.distribution} {claim.version} ({claim.target})" for claim in claims)
            raise ClashingPlugins(
                f"the {self.noun} {name!r} is registered by {owners}; a name may have one owner. Uninstall one of them, or "
                "rename its entry point"
            )
        return claims[0]

    def load(self, name: str) -> type[T]:
        """Import the plug-in of that name.

        Raises:
            UnknownPlugin, ClashingPlugins: see `find`.
            BrokenPlugin: its module does not import, lacks the class, or the class is not of the right kind.
        """
        entry = self.find(name)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # what a plug-in prints must not run into a JSON document
                plugin = _resolve(entry.target)
        except (Exception, SystemExit) as error:  # the plug-in boundary: foreign code may raise anything
            raise BrokenPlugin(
                f"the {self.noun} {name!r} of {entry.distribution} {entry.version} cannot be loaded from {entry.target}: "
                f"{type(error).__name__}: {error}. Repair or uninstall {entry.distribution}"
            ) from error
        if not (isinstance(plugin, type) and issubclass(plugin, _resolve(self.base))):  # type: ignore[arg-type]
            raise BrokenPlugin(
                f"the {self.noun} {name!r} of {entry.distribution} is {entry.target}, which is not a class derived from "
                f"{self.base.replace(':', '.')}"
            )
        return cast("type[T]", plugin)

    def code(self, name: str) -> Code | None:
        """Where the code of a plug-in comes from; None for SeeTell's own. Raises as `load`."""
        entry = self.find(name)
        return code_of(self.load(name), entry.target.partition(":")[0], entry.distribution, entry.version)


def _resolve(target: str) -> object:
    module, _, attribute = target.partition(":")
    resolved: object = importlib.import_module(module)
    for part in attribute.split("."):
        resolved = getattr(resolved, part)
    return resolved


def _source_of(module: str) -> Path | None:
    """The file of a module, found without importing any of its parents."""
    top, *rest = module.split(".")
    if top in sys.modules and getattr(sys.modules[top], "__spec__", None) is None:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for folder in spec.submodule_search_locations or ():
        base = Path(folder, *rest)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def decoders() -> Registry[Decoder]:
    """Every decoder that is installed."""
    return Registry("seetell.decoders", "decoders.base:Decoder", "decoder")
