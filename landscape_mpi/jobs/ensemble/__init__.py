"""Fast geometric ensembling: members collected along one run, and what they are worth."""
