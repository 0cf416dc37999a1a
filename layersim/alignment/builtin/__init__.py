"""The built-in aligner: needs no download, learns from the user's own recordings."""
