"""layersim: find the layers in which two languages share emotion, and train on them.

The rooms, in the order in which they may import each other: ``errors``, ``settings``, ``workspace``,
``provenance``, ``corpus``, ``alignment``, ``encoders``, ``study``, ``features``, ``metrics``, ``figures``,
``similarity``, ``adaptation``, ``report``, ``demo``. Importing the package itself loads none of them.
"""

__version__ = "0.1.0"
