"""Measurements, each a command: python -m bench.NAME prints a figure and what to hold it against."""
