"""Sums over the federation: in one process, or along a spanning tree over gRPC."""
