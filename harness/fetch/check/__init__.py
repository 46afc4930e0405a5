"""Is a suite's data there, whole and what it should be? The work behind `seetell data check`.

Nothing is downloaded. What is found comes as `Finding`s in the order of the suite: data, captions, images for titles, models.
`--deep` opens every image: broken ones are named, and equal ones found whatever they are called.
"""

from harness.fetch.check.findings import Finding, Report
from harness.fetch.check.suite import check_suite

__all__ = ["Finding", "Report", "check_suite"]
