"""Behaviour logs and item texts: types, sources, splits."""
