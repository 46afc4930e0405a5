"""HTML pages that need nothing else: no network, no second file, and no text that can act.

A page's own script and style are allowed by their SHA-256 in a content security policy (W3C CSP Level 3, section 2.3.1);
anything else that might get in, inline handlers and styles included, is refused by the browser. All text goes through
jinja2's autoescape.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from harness.store.text import one_line, printable


class Pages:
    """The pages made from the templates of one package.

    Args:
        package: its folder `templates` holds templates, style sheets and scripts.
        filters: for templates, beside jinja2's own and `one_line`.
        values: known to every template.
    """

    def __init__(self, package: str, filters: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None) -> None:
        self._package = package
        self._filters = {"one_line": one_line, **(filters or {})}
        self._values = dict(values or {})

    def render(
        self,
        template: str,
        *,
        styles: Sequence[str],
        scripts: Sequence[str] = (),
        images: str = "'none'",
        bundle: str = "",
        **values: object,
    ) -> str:
        """One page with its style and script inside, and a policy that allows these two and nothing else.

        Args:
            template: its file.
            styles: names of style sheets, joined.
            scripts: names of scripts, joined.
            images: sources of images that the policy allows.
            bundle: somebody else's script, put before ours; it must not hold `</script`.
            values: for the template.
        """
        style = "".join(_resource(self._package, f"{name}.css") for name in styles)
        script = "".join(filter(None, [bundle, *(_resource(self._package, f"{name}.js") for name in scripts)]))
        allowed = ["default-src 'none'", f"img-src {images}", f"style-src {_source(style)}"]
        allowed += [f"script-src {_source(script)}"] if script else []
        # Our own files, not text from outside: they hold neither `</script` nor `</style`.
        return self._environment.get_template(template).render(
            policy="; ".join([*allowed, "base-uri 'none'", "form-action 'none'"]),
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            **values,
        )

    @functools.cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=FunctionLoader(functools.partial(_resource, self._package)),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=lambda value: printable(value) if type(value) is str else value,
        )
        environment.filters |= self._filters
        environment.globals |= self._values
        return environment


@functools.cache
def _resource(package: str, name: str) -> str:
    # Browsers hash the text after turning CR LF into LF, so a checkout with other line ends must not change it.
    return (resources.files(package) / "templates" / name).read_text("utf-8").replace("\r\n", "\n")


def _source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
