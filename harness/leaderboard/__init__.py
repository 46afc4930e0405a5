"""One frame of results, written as Markdown, CSV, JSON and one HTML page."""
