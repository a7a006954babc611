"""What is said of single rows: outside the support, without an answer, not coming back."""
