"""An aggregator's directory: its layout, how it comes into being, who may use it."""
