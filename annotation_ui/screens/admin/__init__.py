"""The screens of those who run the study: one way in, then progress, plan, quality, items, results, exports."""

from collections.abc import Callable

from annotation_ui.screens.admin import exports, items, overview, plan, quality, results
from annotation_ui.screens.admin.access import entered, signed_in, signed_on

__all__ = ["SCREENS", "signed_in", "signed_on"]

SCREENS: dict[str, Callable[[], None]] = {
    "admin": entered(overview.show),
    "admin-plan": entered(plan.show),
    "admin-quality": entered(quality.show),
    "admin-items": entered(items.show),
    "admin-results": entered(results.show),
    "admin-exports": entered(exports.show),
}
