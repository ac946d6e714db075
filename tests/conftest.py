"""Makes the helpers in this folder importable from every test below it. No test asserts a time."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
