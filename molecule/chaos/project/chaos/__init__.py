"""A Django app with tasks that misbehave, added to the tutorial's project for this scenario."""
