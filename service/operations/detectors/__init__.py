"""What a detector is asked: scores of rows, p-values, decisions, and reasons."""
