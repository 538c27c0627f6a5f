"""Project the trajectories of trainings onto the plane that contains most of them."""
