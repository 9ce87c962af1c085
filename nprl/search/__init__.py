"""Search: enumerated terms, and constants tuned on the return."""
