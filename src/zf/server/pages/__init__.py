"""What people look at: pages made on the server from the same folds as the report, without truth of
their own, readable without scripts.
"""
