"""nprl."""
