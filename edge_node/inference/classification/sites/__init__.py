"""A site's own classifier, on top of the one that all share.

Read `dense` and `others` (a few rows under a prior that all others leave), `refinement` and
`deviation` (blocks), and `graph_prior`, `site_classes` and `graph_refinement` (all rows at once).
"""
