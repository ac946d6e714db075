"""The federation's certificate authority, here or on a machine of its own."""
