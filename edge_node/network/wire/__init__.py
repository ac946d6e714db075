"""What crosses an edge, and how it is read: plans, operations, chunks, words.

Read `plan`, `operation`, `fixed_point` (numbers as words), `combine` (how messages add up),
`framing` (messages as chunks).
"""
