"""Questions to a posterior that has been learnt.

Read `metrics` (how good its predictions are), `loo` (how well it predicts each of its own rows
without that row), `held_out` and `preference` (what a site learns from such scores), `sampling`
(joint draws) and `flow` (predictions after a finite training time).
"""
