"""Domain-adversarial training: an encoder, a label head, and a domain head behind gradient reversal."""
