"""Sums and gathers along the spanning tree of the newest plan, over gRPC.

Read `tree` first; then `feed` (plans), `sweep` (one step's messages), `exchange_server` and
`exchange_client` (the two ends of an edge), `records` (what is complete, on disk). `keys`,
`claims`, `noisy` and `agreement` are what an epoch or a run agrees on, `signed` is how the first
two are told; `guard` is an interface.
"""
