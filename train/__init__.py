"""Training: small students learn a task from the store alone, with a teacher's embeddings as a guide."""
