"""Sums and gathers along the spanning tree of the newest plan, over gRPC.

Read `tree` first; then `relay` (a node's part in one sweep, that is, one traversal of the tree up
and down), `sweep` (its messages), `exchange_server` and `exchange_client` (the two ends of an
edge). `feed` has the plans; `records` has what is complete, in files that `checked_file` reads and
writes. `epoch` is what an epoch begins with; its nodes announce `claims` and `keys`, in the form of
`signed`. `contribution` is what a node adds to a sum, `agreement` what ends a run, `step_log` what
is logged; `guard` is an interface.
"""
