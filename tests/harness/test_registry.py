"""Plug-ins: found by name, described unloaded, and each fault named to whoever runs into it and to nobody else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from decoders.base import Decoder
from harness.datasets import registry as datasets
from harness.errors import BrokenPlugin, ClashingPlugins, UnknownPlugin
from harness.metrics import registry as metrics
from harness.suites import registry
from tests.plugins import ECHO, install

GROUP = "seetell.decoders"


@pytest.mark.parametrize("make", [registry.decoders, metrics, datasets])
def test_every_built_in_loads_and_is_described_in_one_line(make: object) -> None:
    plugins = make()  # type: ignore[operator]
    assert plugins.entries
    for name, claims in plugins.entries.items():
        assert len(claims) == 1
        assert plugins.load(name).__doc__.startswith(claims[0].describe())
        assert 10 < len(claims[0].describe()) < 130


def test_a_plugin_is_listed_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = 'raise SystemExit("imported")\nclass Mine:\n    """Tells it backwards."""\n'
    monkeypatch.syspath_prepend(
        install(tmp_path, "backwards", "backwards_decoder", source, {GROUP: {"backwards": "backwards_decoder:Mine"}})
    )
    (entry,) = registry.decoders().entries["backwards"]
    assert (entry.distribution, entry.version, entry.describe()) == ("backwards", "1.0", "Tells it backwards.")
    assert "backwards_decoder" not in sys.modules


def test_a_description_inside_a_package_is_found_without_importing_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep_pkg" / "inner").mkdir(parents=True)
    (tmp_path / "deep_pkg" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "deep_pkg" / "inner" / "__init__.py").write_text('class Deep:\n    """Looks deep.\n\n    More."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.Entry("deep", "deep_pkg.inner:Deep", "deep", "1").describe() == "Looks deep."


def test_a_plugin_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, "echo", "echo_loads", ECHO, {GROUP: {"echo": "echo_loads:Echo"}}))
    assert issubclass(registry.decoders().load("echo"), Decoder)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownPlugin, match="'majic'.*did you mean 'magic'"):
        registry.decoders().load("majic")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("raise ValueError('half written')", "broken_a:Mine", "half written"),
        ("import nowhere_to_be_found", "broken_b:Mine", "nowhere_to_be_found"),
        ("", "broken_c:Mine", "Mine"),
        ("class Mine: pass", "broken_d:Mine", r"not a class derived from decoders\.base\.Decoder"),
        ("Mine = 3", "broken_e:Mine", "not a class"),
    ],
)
def test_a_broken_plugin_is_named_when_it_is_used_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, message: str
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, "broken-one", target.split(":")[0], source, {GROUP: {"broken": target}}))
    plugins = registry.decoders()
    assert "broken" in plugins.entries
    assert plugins.load("greedy")
    with pytest.raises(BrokenPlugin, match=message) as caught:
        plugins.load("broken")
    assert "broken-one" in str(caught.value)


def test_two_distributions_with_one_name_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first-dist", "second-dist"):
        module = name.replace("-", "_")
        monkeypatch.syspath_prepend(install(tmp_path / name, name, module, ECHO, {GROUP: {"twice": f"{module}:Echo"}}))
    with pytest.raises(ClashingPlugins, match=r"first-dist 1\.0 .* and second-dist 1\.0"):
        registry.decoders().load("twice")
    assert registry.decoders().load("greedy")


def test_one_distribution_seen_twice_on_the_path_is_no_clash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for copy in ("a", "b"):
        monkeypatch.syspath_prepend(install(tmp_path / copy, "same", "same_echo", ECHO, {GROUP: {"same": "same_echo:Echo"}}))
    assert registry.decoders().load("same")
