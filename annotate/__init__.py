"""Annotate: asks a person. Load tasks, serve the labelling page, keep people and progress."""
