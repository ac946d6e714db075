"""The sums from which an encoding is agreed, in the order in which they are taken.

Read `given` (what a site gives, with `extremes` and `hardly_unknown`), then the sums: `counts`
(whose `census` is taken again after a loss), `labels`, `means`, `spread`.
"""
