"""Mutated messages, files and calls: what can't be read is refused, and nothing else happens."""
