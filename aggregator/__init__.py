"""The thin discovery service: registry, planner, enrolment authority. It never imports JAX."""
