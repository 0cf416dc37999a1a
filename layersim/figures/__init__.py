"""Draws what the stages found: arrays and labels in, a matplotlib figure out, saved as PNG and SVG."""
