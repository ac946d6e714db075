"""A running node: `setup` brings it into being, `daemon` puts it together, `doctor` examines it."""
