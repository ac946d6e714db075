"""Sums and gathers along the spanning tree of the newest plan, over gRPC.

Read `tree` (the network), `contribution` (what a node adds to a sum) and `agreement` (how a run
ends).
"""
