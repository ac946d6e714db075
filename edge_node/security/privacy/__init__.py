"""Differential privacy of sums: their noise, its cost, and the ledger of what was spent.

Read `privacy_cost` (from noise to epsilon), `discrete_gaussian` (the noise, and each node's share
of it), `privacy_ledger` (what was spent, on disk before it is), `spending_report`.
"""
