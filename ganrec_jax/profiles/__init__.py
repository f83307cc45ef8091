"""Synthetic behaviour logs: user profiles that are generated, and what they are worth."""
