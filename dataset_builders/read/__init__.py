"""From paths, URLs and hub datasets to raw rows, one by one."""
