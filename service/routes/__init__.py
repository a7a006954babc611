"""HTTP routes, one module a group; each only translates between HTTP and `operations`."""
