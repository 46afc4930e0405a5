"""Watching a study: what needs attention, decisions about raters, quality signals, verification."""
