"""The demonstration: a whole federation on one machine, as real processes, with a report."""
