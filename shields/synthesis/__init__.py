"""Synthesis: sets (`sets`) seen through `views`, proved goal by goal (`proofs`), or starts that are lost."""
