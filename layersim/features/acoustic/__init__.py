"""Acoustic features of a corpus, without an encoder: openSMILE's functionals and librosa's spectra."""
