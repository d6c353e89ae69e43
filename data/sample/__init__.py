"""Bundled samples: tasks to try the page with, guidelines, and a judged project whose truth is known."""
