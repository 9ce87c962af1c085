"""From a sequent to a proof tree that the checkers verify: the searches for each kind of leaf."""
