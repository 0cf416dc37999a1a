"""Ranks an encoder's layers by how alike two corpora's emotions are in them."""
