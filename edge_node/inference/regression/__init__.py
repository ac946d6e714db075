"""Regression: the posterior that all share, and a site's own rows on top of it.

Read `conditional` (the sums), `posterior`, `calibration` (how far it is believed), `prediction`
(the fast way); then `blocks`, `solved` and `refinement` (a site's own rows).
"""
