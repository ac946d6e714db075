"""A running node: `daemon` puts it together, `setup` brings it into being, `doctor` examines it."""
