"""Proposals of impossibility certificates: states from which no controller keeps a model safe."""
