"""Known answers for the secure sum, and the oracle that they were made with."""
