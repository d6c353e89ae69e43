"""Train: touches weights."""
