"""Tests of the report on data."""
