"""Gaussian belief propagation on graphs: linear systems solved by messages along edges.

Read `messages` (arrays of them), `factors` (families that answer them), `graph` (variables joined
by families), `schedules` (who sends when), `asynchronous` (some messages get lost), `two_pass`
(forests, exactly), `probe` (a random right-hand side beside them), `solve` (a run with an end),
`solution` (what it says, and the errors by name).
Below them: `stacks`, many small matrices at once.
"""
