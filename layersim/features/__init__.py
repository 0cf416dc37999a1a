"""Features of a corpus under an encoder: pooling, the HDF5 cache, the extract stage, and reading it back."""
