"""Sums over the federation: in one process, or along a spanning tree over gRPC.

Read `base` first: a network is two primitives. `memory` is the one in a process. A daemon's stands
on four rooms: `wire` (what crosses an edge), `exchange` (one sweep), `epoch` (what is agreed before
the first sum) and `tree` (the network). `discovery` talks to the aggregator; `threaded` carries a
network to a program in another thread.
"""
