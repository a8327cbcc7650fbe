"""The score: what happens next. Pure; knows no player, no Ray, no network, no database."""
