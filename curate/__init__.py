"""Curate: computes over many records. Pairs from judgments, exports that can prove themselves."""
