"""Manifests, folds and label maps of known corpora, shipped as data; never audio."""
