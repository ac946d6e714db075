"""What the aggregator must not forget, in SQLite."""
