"""One self-contained HTML page from what a workspace holds."""
