"""What `bijecta fit` makes of tables as people have them."""
