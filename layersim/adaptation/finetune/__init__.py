"""Trains the encoder itself, whole or by low-rank adapters, together with an emotion classifier."""
