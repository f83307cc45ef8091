"""Answers of a finished run over HTTP, with a page to try them."""
