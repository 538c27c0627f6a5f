"""Do one rank's work on one device: directions, perturbation, evaluation."""
