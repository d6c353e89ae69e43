"""Datagen: asks a model."""
