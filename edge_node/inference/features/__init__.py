"""Features: the finite map, spanned by landmarks, through which every node sees the kernel.

Read `landmarks` (the points), `nystrom` (the map that they span), `whitening` (how its sums are
taken), `metric` (how the inputs are stretched); `disjoint` keeps sums over subsets of the rows
apart, `relevance` reads a metric.
"""
