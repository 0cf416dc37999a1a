"""The Montreal Forced Aligner, driven from outside."""
