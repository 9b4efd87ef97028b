"""The library of the page: the data folders, the logs that are opened from them, and the jobs that add to them."""
