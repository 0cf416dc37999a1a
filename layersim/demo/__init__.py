"""Makes a small synthetic bilingual study, with exact phone times, and walks through the whole job in it."""
