"""Machine unlearning for JAX."""
