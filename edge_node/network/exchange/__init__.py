"""One sweep: messages go up the tree, edge by edge, and what they add up to comes down.

Read `relay` (a node's part in a sweep), `sweep` (the messages that it waits for), `exchange_client`
and `exchange_server` (the two ends of an edge). `feed` holds the newest plan; `records` holds what
is complete, in files that `checked_file` reads and writes; `step_log` tells the operator.
"""
