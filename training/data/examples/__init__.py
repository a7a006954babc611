"""Tables that come along, for pages and `make serve`: each module writes one as CSV."""
