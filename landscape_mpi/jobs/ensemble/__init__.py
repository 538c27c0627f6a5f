"""Run fast geometric ensembling: collect members along one run, and evaluate them."""
