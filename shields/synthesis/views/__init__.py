"""What the numeric methods see of a model: batches, inclusions, polytopes, volumes."""
