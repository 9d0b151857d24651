"""What a reader takes away: tables beside the paper's, effects, figures, submission files."""
