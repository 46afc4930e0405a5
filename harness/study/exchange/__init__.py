"""In and out: exports, imports, moves between databases, backups, the datasheet."""
