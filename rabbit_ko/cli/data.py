"""`rabbit data`, `verify`, `diff`: the shards."""
