"""Families of sets that may be invariant, each with its backup: proposals in floats."""
