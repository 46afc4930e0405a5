"""Everything that reaches a browser, kept and searched for what it must not know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from playwright.sync_api import BrowserContext, Error, Page, Response, WebSocket

from harness.study.design.sources import Sources
from tests.studies import some_sources

DOM = """() => {
  const text = [document.documentElement.outerHTML];
  const visit = (root) => root.querySelectorAll('*').forEach((each) => {
    if (each.shadowRoot) { text.push(each.shadowRoot.innerHTML); visit(each.shadowRoot); }
  });
  visit(document);
  for (const store of [localStorage, sessionStorage]) text.push(JSON.stringify(Object.entries(store)));
  return text.join('\\n');
}"""


def telling_sources(items: int = 8, systems: int = 3) -> Sources:
    """Runs whose names, identities and example ids appear nowhere by chance."""
    plain = some_sources(items, systems)
    examples = {example.id: f"zqitem{number:04d}zq" for number, example in enumerate(plain.examples)}
    return replace(
        plain,
        examples=tuple(replace(example, id=examples[example.id]) for example in plain.examples),
        runs=tuple(
            replace(
                run,
                name=f"zqsystem{index}zq",
                decoder=f"zqdecoder{index}zq",
                identity=f"{index}abcdef9{index}" * 8,
                texts={examples[old]: text for old, text in run.texts.items()},
            )
            for index, run in enumerate(plain.runs)
        ),
    )


@dataclass
class Listener:
    """Hears every frame and every body of a browser."""

    heard: list[tuple[str, bytes]] = field(default_factory=list)
    frames: int = 0
    bodies: int = 0

    def attach(self, context: BrowserContext) -> None:
        context.on("response", self._response)
        context.on("page", self._page)

    def _page(self, page: Page) -> None:
        page.on("websocket", self._socket)
        page.on("console", lambda message: self.heard.append(("console", message.text.encode())))

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda payload: self._frame(payload))

    def _frame(self, payload: str | bytes) -> None:
        self.frames += 1
        self.heard.append(("frame", payload.encode() if isinstance(payload, str) else payload))

    def _response(self, response: Response) -> None:
        self.heard.append((f"headers of {response.url}", repr(response.headers).encode()))
        self.heard.append(("address", response.url.encode()))
        try:
            self.heard.append((f"body of {response.url}", response.body()))
            self.bodies += 1
        except Error:
            pass  # a redirect, or a page that is gone: nothing reached the browser

    def look(self, page: Page) -> None:
        """Keep the page as it is now: DOM, shadow roots, storage, cookies."""
        self.heard.append(("DOM and storage", page.evaluate(DOM).encode()))
        self.heard.append(("cookies", repr(page.context.cookies()).encode()))

    def find(self, words: list[str]) -> list[tuple[str, str]]:
        """Where any of the words was heard, whatever its case."""
        pattern = re.compile("|".join(re.escape(word) for word in words).encode(), re.IGNORECASE)
        return [(where, hit.group().decode()) for where, content in self.heard for hit in pattern.finditer(content)]


def secrets(folder: Path, sources: Sources, database: Path) -> list[str]:
    """What no browser may hear: names, identities, ids of examples, hashes of texts and images, where the study is."""
    import sqlite3

    words = [str(folder), folder.name, database.name, str(Path(__file__).resolve().parents[2])]
    for run in sources.runs:
        words += [run.name, run.decoder, run.identity, run.identity[:8]]
    words += [example.id for example in sources.examples]
    store = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    words += [str(row[0]) for row in store.execute("SELECT text_sha256 FROM origin")]
    store.close()
    return words
