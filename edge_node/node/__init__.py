"""A node's life: how it is set up, how it runs, and how it is examined.

Read `setup` (from the node file to leaving), then `daemon`, which puts a running node together: its
`transport` is both ends of its edges in the tree, its `participation` takes part in runs. `preview`
says what a run would tell, `doctor` examines a node's directory; `checks` are what it examines.
"""
