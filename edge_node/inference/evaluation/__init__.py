"""Questions to a posterior that has been learnt.

Read `metrics` (how good its predictions are), `loo` (how well it predicts each of its own rows
without that row), `sampling` (joint draws) and `flow` (predictions after a finite training time).
"""
