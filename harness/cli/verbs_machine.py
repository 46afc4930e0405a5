"""Verbs about this machine: what is installed, what is missing, what can be fetched."""

from __future__ import annotations

from harness.cli.flag_types import AsJson, Named, Settings, Switch


def list_(*, as_json: AsJson = False) -> int:
    """Show the suites, decoders, metrics and data sets that are installed, plug-ins included."""
    from harness.cli import machine

    return machine.list_(as_json)


def doctor(*, as_json: AsJson = False) -> int:
    """Check this machine: one line a check, and the command that mends what is wrong."""
    from harness.cli import machine

    return machine.doctor(as_json)


def prefetch(
    what: Named,
    /,
    *,
    mirror: str | None = None,
    update: Switch = False,
    settings: Settings = (),
    as_json: AsJson = False,
) -> int:
    """Download once what a suite needs: models (safetensors only) and data. Goes on where it stopped.

    It goes into $SEETELL_DATA, by default `data` in SeeTell's cache folder. The room it takes is said first, and refused where
    the disk has less. Commits and SHA-256 are pinned in seetell.lock.toml there; `seetell run SUITE --offline` checks them and
    needs no network. That folder, copied or served by any web server, is a --mirror for others. What needs a form is not
    fetched: the command says what to do, and pins it once it is there.

    Args:
        what: Suites, packaged or the paths of TOML files; or spice: Stanford CoreNLP 3.6.0, the parser that SPICE stands on.
        mirror: A folder, or its address, that holds the same, instead of where things come from. For spice, the address of a
            folder with the archive and its .sha256.
        update: Forget what was pinned for these suites and take what there is now.
    """
    from harness.cli import fetching

    return fetching.prefetch(what, mirror, update, settings, as_json)
