"""One process, one port: Streamlit's pages and plain HTTP routes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from annotation_ui.opened import RESULTS, open_study

_SCRIPT = "from annotation_ui.main import main\n\nmain()\n"
"""The script that Streamlit runs. It tells browsers the script's path, so its folder has a neutral name."""


def serve(where: str, host: str, port: int, *, browse: bool, results: Path = RESULTS) -> None:
    """Serve a study until the process is stopped.

    Raises:
        StudyError: there is none, or its layout is another one.
    """
    open_study(where, results)
    import streamlit as st
    from starlette.middleware import Middleware

    from annotation_ui import routes
    from annotation_ui.headers import SecurityHeaders

    sys.argv = [""]  # Streamlit would tell browsers the launcher's path
    with tempfile.TemporaryDirectory(prefix="seetell-") as folder:
        script = Path(folder) / "study.py"
        script.write_text(_SCRIPT, encoding="utf-8")
        app = st.App(
            script,
            routes=routes.ROUTES,
            middleware=[Middleware(SecurityHeaders)],
            exception_handlers={routes.Refused: routes.refuse},
        )
        app.run(config=_config(host, port, browse))


def _config(host: str, port: int, browse: bool) -> dict[str, object]:
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": not browse,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host,  # noqa: S104
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showSidebarNavigation": True,
        "global.developmentMode": False,
        "theme.light.primaryColor": "#0b57a4",
        "theme.dark.primaryColor": "#2b74c9",
    }
