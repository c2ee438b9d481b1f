"""`zf watch`: which files change, what that makes due, and the runs that follow."""
