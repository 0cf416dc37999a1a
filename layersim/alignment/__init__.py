"""Phones with times: reading, checking and writing them, and the vowel classes that languages share."""
