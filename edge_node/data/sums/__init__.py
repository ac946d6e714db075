"""The sums from which an encoding is agreed, in the order in which they are taken.

Read `counts`, `labels`, `means`, `spread`.
"""
