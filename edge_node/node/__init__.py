"""A running node: `setup` brings it into being, `daemon` puts it together from its `transport` and its
`participation` in runs, `doctor` examines it.
"""
