"""HTTP routes: each only translates between HTTP and `operations`."""
