"""``edge-node demo --graph``: messages on a small kernel graph, watched step by step.

Read `rows` (which rows, and how alike they are), `joined` (a graph over them, and its exact
answer), `watched` (the phases) with `phase` (what is kept of a run) and `lessons` (what each
teaches), `telling` and `drawing` (what people see), `watch` (the command).
"""
