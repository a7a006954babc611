"""A structured fuzzer of every parser of `tests.helpers.parsers`: see `tests.hostile.fuzz`."""
