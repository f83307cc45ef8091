"""Ranking metrics, significance, tables and the leak check."""
