"""Models of one sum with noise: differential privacy.

Read `release` (what a row adds to the sum), `noisy_regression` (the posterior that accounts for the
noise) and `noisy_classification`. docs/privacy.md derives them.
"""
