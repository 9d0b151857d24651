"""What was recorded: names, attributes, splits, decoded clips, their problems, and what one machine's model hears."""
