"""Pictures of digits that the project makes itself, as people really have them, with the expected answers."""
