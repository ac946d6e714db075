"""The federation spec of tests to which its content doesn't matter."""

SPEC = """
name = "hospitals"
[data]
task = "regression"
target = "y"
columns = [{name = "x"}]
"""
