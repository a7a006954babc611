"""From data to a verified bundle: recipes, data, maximum likelihood, checkpoints, export."""
