"""How layersim-mini is pretrained: made-up texts, synthetic speech, its units, and the training loop."""
