"""The JSON lines that `--json` gives, by their `type`: published as `docs/schemas/lines.json`.

What is added later may add types and fields and leaves `v` as it is; programs pass over what they
do not know. Whatever is removed or means something else raises `v`.
"""
