"""Models from data: a simulator is sampled, its step fitted by a short formula, the rest bounded."""
