"""The screens of those who run the study: one way in, then progress, plan, quality, items, results, exports."""

from collections.abc import Callable

from annotation_ui.screens.admin import exports, items, overview, plan, quality, results
from annotation_ui.screens.admin.access import signed_in

__all__ = ["SCREENS", "signed_in"]

SCREENS: dict[str, Callable[[], None]] = {
    "admin": overview.show,
    "admin-plan": plan.show,
    "admin-quality": quality.show,
    "admin-items": items.show,
    "admin-results": results.show,
    "admin-exports": exports.show,
}
