"""Laws of conformal p-values and of decisions by them."""
