"""Speech transformers: loading one, and the hidden states of all its layers on a known frame grid."""
