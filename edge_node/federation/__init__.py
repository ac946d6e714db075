"""What nodes and aggregator tell each other, as values: plans down, reports up.

Read `plan` (who takes part in a run, and along which edges), then `report` (how far a node is).
Nothing here knows of protobuf: `edge_node.network.wire` writes and reads the messages.
"""
