"""The mathematics: pure functions and frozen values, no input or output."""
