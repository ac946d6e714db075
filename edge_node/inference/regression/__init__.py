"""Regression: the posterior that all share, and a site's own rows on top of it.

Read `conditional` (the sums), `posterior`, `prediction` (the fast way); then `blocks` and
`refinement` (a site's own rows).
"""
