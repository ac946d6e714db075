"""Mutual TLS between peers, and errors that say what failed."""
