"""What a model of typed columns can be asked: rows of values of each column's own kind."""
