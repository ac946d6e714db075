"""A running node: `setup` brings it into being, `daemon` puts it together, `doctor` examines it.

A daemon's two parts are its `transport` (both ends of its edges in the tree) and its
`participation` in runs; `checks` are the doctor's.
"""
