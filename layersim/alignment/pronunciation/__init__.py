"""How the words of transcripts are pronounced, in many languages."""
