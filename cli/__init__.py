"""The command line of layersim."""
