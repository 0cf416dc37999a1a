"""Protocols, methods by corpora, and their tables."""
