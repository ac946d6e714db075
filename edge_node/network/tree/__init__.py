"""Sums and gathers along the spanning tree of the newest plan, over gRPC.

Read `tree`; `contribution` is what a node adds to a sum, `agreement` what ends a run.
"""
