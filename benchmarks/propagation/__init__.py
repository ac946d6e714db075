"""Belief propagation against other ways to solve a sparse system, up to a million variables.

Read `system` (what is solved), `methods` (by what), `measuring` (a process a run), and `shown` (how
time grows, the picture and the table of docs/results.md).
"""
