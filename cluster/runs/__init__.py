"""A run as doors know it: followed, folded into a picture, drawn, granted more, played again."""
