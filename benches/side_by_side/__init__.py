"""mmr beside nginx and Synapse: the same requests to each in turn, in one run, told as ratios."""
