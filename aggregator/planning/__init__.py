"""Who takes part in which run, along which edges: pure functions of what is known.

Read `presence` (a node as the aggregator knows it), `snapshot` (all that is known at one moment)
and `planner` (the decision). `tree` and `neighbours` draw a plan's edges; `obstacles`, `diagnosis`
and `refusals` say which edges and nodes can't be in it.
"""
