"""Distillation: a teacher's behaviour as data, and programs fitted to it."""
