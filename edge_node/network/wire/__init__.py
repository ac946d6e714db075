"""What is sent, and how it is checked on arrival: plans, reports, operations, words, chunks.

With the aggregator: `plan` and `report`. Along an edge of the tree: `operation` (what a message is
for), `segments` (which words a vector takes), `fixed_point` (numbers as words), `check_word` (what
shows that a part is missing), `combine` (how messages add up) and `framing` (messages as chunks).
"""
