"""Small faults in changed lines: whether the tests notice says how much they prove."""
