"""Data: what every room knows, the record types, the store, the ledger, manifests, text and statistics."""
