"""A finished run handed over: a branch, a patch file, a pull request and its words."""
