"""Differential privacy of sums: their noise, its cost, and the ledger of what was spent.

Read `privacy_cost` (from noise to epsilon), `discrete_gaussian` (the noise, and each node's share
of it), `privacy_ledger` (each cost is on disk before its sum is sent) and `spending_report`.
"""
