"""What is known of each node: its certificates, and whether it is alive.

Read `certificates` (a value: who holds which certificate), then `members`, the one place where a
node's state changes.
"""
