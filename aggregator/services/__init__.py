"""The two services that nodes call, and the check of what they say."""
