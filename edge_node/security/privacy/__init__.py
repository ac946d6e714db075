"""Differential privacy: the noise of a sum, its cost, and the ledger of what was spent."""
