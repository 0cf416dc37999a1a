"""Trains emotion models on a labelled source, tied to an unlabelled target at chosen layers."""
