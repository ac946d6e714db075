"""Gaussian messages: what a node computes from its rows, and what their sum says.

Read `canonical` (the algebra), `gaussian` (the canonical form), `statistics` (a node's message),
`evidence` (what a total says of a model), `uncollapsed` (the bound of any belief, with its
gradient), `moves` (uphill); then `propagation`, the same algebra on graphs, and `guarantees`.
"""
